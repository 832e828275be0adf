"""Headers read back as exactly the text that they were given, in short lines of ASCII."""

from email import message_from_string
from email.header import decode_header, make_header
from email.policy import default

import pytest

from eventhub.alerts.addresses import Address
from eventhub.alerts.headers import address_header, one_line, parameter_header, text_header

TEXTS = [
    "Hello",
    "two  spaces",
    "=?utf-8?q?encoded?=",
    "Grüße, 世界 🎉 " * 10,
    "a" * 200,
    "plain words, then ünïcode, then plain words again " * 3,
]


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_header_reads_back_unchanged_from_lines_of_at_most_78(text: str) -> None:
    header = text_header("Subject", text)
    assert header.isascii()
    assert max(map(len, header.split("\r\n"))) <= 78
    unfolded = header.removeprefix("Subject: ").replace("\r\n", "")
    assert str(make_header(decode_header(unfolded))) == text


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\r\nBcc: b", "a Bcc: b"),
        ("a \n\t b", "a b"),
        ("\na\u2028", "a"),
        ("a\x00b\x1bc", "abc"),
        ("a  b", "a  b"),
    ],
)
def test_line_breaks_become_a_space_and_controls_nothing(text: str, line: str) -> None:
    assert one_line(text) == line


@pytest.mark.parametrize("name", ["", "Ann Lee", "Lee, Ann", 'say "hi"', "Jürgen", "=?x?="])
def test_an_address_header_keeps_names_and_addresses_apart(name: str) -> None:
    listed = [Address(name, f"u{number}", "example.org") for number in range(5)]
    header = address_header("To", listed)
    parsed = message_from_string(f"{header}\r\n", policy=default)["To"].addresses
    assert [each.addr_spec for each in parsed] == [each.addr_spec for each in listed]
    assert {each.display_name for each in parsed} == {name}


@pytest.mark.parametrize("name", ["report.pdf", 'a "b" c.pdf', "naïve 世.pdf", "a" * 150, "=?x?="])
def test_a_parameter_reads_back_unchanged(name: str) -> None:
    header = parameter_header("Content-Disposition", "attachment", filename=name)
    assert header.isascii()
    assert max(map(len, header.split("\r\n"))) <= 78
    assert message_from_string(f"{header}\r\n", policy=default).get_filename() == name
