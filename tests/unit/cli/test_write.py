"""Words of the command line become the message that the user typed, with all digits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventhub.cli.write import parse_message
from eventhub.errors import Rejected

KEYS = st.text(min_size=1).filter(lambda key: "=" not in key and not key.lstrip().startswith("{"))


@given(st.dictionaries(KEYS, st.text(), min_size=1))
def test_pairs_are_texts_by_key(message: dict[str, str]) -> None:
    assert parse_message([f"{key}={value}" for key, value in message.items()]) == message


def test_one_word_may_be_a_json_object_whose_numbers_keep_their_digits() -> None:
    text = '{"n": 0.1000000000000000055511151231257827, "tags": ["a"], "none": null}'
    message = parse_message([text])
    assert str(message["n"]) == "0.1000000000000000055511151231257827"
    assert (message["tags"], message["none"]) == (["a"], None)


@pytest.mark.parametrize("words", [["n"], ["a=1", "n"], ["{n"], ['{"n": }'], ["{}", "n"]])
def test_other_words_are_refused_as_they_were_typed(words: list[str]) -> None:
    with pytest.raises(Rejected) as caught:
        parse_message(words)
    assert caught.value.code == "bad_json"
