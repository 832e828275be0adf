"""The text of a frame or a body becomes messages, or is refused."""

import pytest

from eventhub.errors import Rejected
from eventhub.ingest.decoding import parse_json


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"nonsense",
        b'{"a":NaN}',
        b'{"a":1e999}',
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"a":"\xff"}',
        b'{"a":"\\ud800"}',
        b'{"a":"\\ud800\\ud800"}',
        b"\xef\xbb\xbf{}",
        b"{} {}",
        b"[" * 100_000,
        b"[" * 5000 + b"]" * 5000,
        b'{"a":' * 5000 + b"1" + b"}" * 5000,
    ],
    ids=range(14),
)
def test_a_text_that_is_not_json_is_refused(text: bytes) -> None:
    with pytest.raises(Rejected) as caught:
        parse_json(text)
    assert caught.value.code == "bad_json"


def test_an_array_is_several_messages() -> None:
    assert parse_json(b' {"a": 1}') == [{"a": 1}]
    assert parse_json(b'[{"a": 1}, 2, []]') == [{"a": 1}, 2, []]
    assert parse_json(b"[]") == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b'{"x', "it ends too early"),
        (b"", "it ends too early"),
        (b"{x}", "see byte 1"),
        (b'"\xff"', "it is not UTF-8"),
        (b"[1e999999]", "a number is out of range"),
        (b"[" * 5000, "it is nested too deep"),
    ],
)
def test_the_reason_why_a_text_is_not_json_is_in_our_own_words(text: bytes, reason: str) -> None:
    with pytest.raises(Rejected) as caught:
        parse_json(text)
    assert (caught.value.code, caught.value.message) == (
        "bad_json",
        f"the text is not JSON: {reason}",
    )
