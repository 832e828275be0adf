"""The text of a frame or a body becomes messages, or is refused."""

import pytest

from eventhub.errors import Rejected
from eventhub.ingest.decoding import MAX_MESSAGES, parse_json, parse_lines


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


def test_each_line_is_a_message() -> None:
    text = b'{"a": 1}\r\n\n  {"b": "\xc3\xa9"} \n\t\n{}'
    assert parse_lines(text) == [{"a": 1}, {"b": "é"}, {}]
    assert parse_lines(b"") == parse_lines(b"\n\n") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"a": 1}\n{"a": \n{}', "line 2: the text is not JSON: it ends too early"),
        (b'{}\n\n{"a": 1} {"b": 2}\n', "line 3: the text is not JSON: see byte 10"),
        (b'{}\n{"a": "\xff"}\n', "line 2: the text is not JSON: it is not UTF-8"),
        (b'[{"a": 1}]\n', "line 1: each line must be one JSON object"),
        (b"{}\n5\n", "line 2: each line must be one JSON object"),
    ],
)
def test_a_line_that_is_no_message_is_named_by_its_number(text: bytes, message: str) -> None:
    with pytest.raises(Rejected) as caught:
        parse_lines(text)
    assert (caught.value.code, caught.value.message) == ("bad_json", message)


def test_lines_are_bounded_blank_ones_too() -> None:
    assert len(parse_lines(b"{}\n" * MAX_MESSAGES)) == MAX_MESSAGES
    with pytest.raises(Rejected) as caught:
        parse_lines(b"\n" * (MAX_MESSAGES + 1))
    assert caught.value.code == "too_large"
