"""Parts of a mail hold their text and files exactly, in an encoding that every server accepts."""

from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

import pytest

from eventhub.alerts.mime import Part, file_part, multipart, text_part


def read(part: Part) -> EmailMessage:
    message = message_from_bytes(bytes(part), policy=default)
    assert isinstance(message, EmailMessage)
    return message


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("plain\n.\n", "7bit"),
        ("mostly plain, one ü\n", "quoted-printable"),
        ("世界" * 50, "base64"),
        ("x" * 2000, "quoted-printable"),
        ("trailing space \n", "7bit"),
    ],
)
def test_a_text_is_readable_where_it_can_be(text: str, encoding: str) -> None:
    message = read(text_part(text, "plain"))
    assert message["Content-Transfer-Encoding"] == encoding
    assert message.get_content().splitlines() == text.splitlines()
    assert max(map(len, bytes(text_part(text, "plain")).split(b"\r\n"))) <= 998


def test_line_breaks_become_crlf_and_nul_is_left_out() -> None:
    assert text_part("a\nb\rc\r\nd\0", "plain").content == b"a\r\nb\r\nc\r\nd\r\n"


@pytest.mark.parametrize(
    "media_type", ["message/rfc822", "multipart/mixed", "no type", "a/b\r\nX: y"]
)
def test_a_file_whose_type_cannot_be_base64_is_sent_as_bytes(media_type: str) -> None:
    message = read(file_part(media_type, b"\x00\xff", name="file"))
    assert message.get_content_type() == "application/octet-stream"
    assert message.get_content() == b"\x00\xff"


def test_an_image_has_a_content_id_and_an_attachment_a_name() -> None:
    image = read(file_part("image/png", b"png", content_id="logo"))
    assert (image["Content-ID"], image.get_content_disposition()) == ("<logo>", "inline")
    attached = read(file_part("text/csv", b"csv", name="a.csv"))
    assert (attached.get_filename(), attached["Content-ID"]) == ("a.csv", None)


def test_a_single_part_stays_itself_and_several_are_kept_in_order() -> None:
    first, second = text_part("one", "plain"), text_part("two", "html")
    assert multipart("alternative", [first]) is first
    message = read(multipart("alternative", [first, second]))
    contents = [part.get_content().strip() for part in message.iter_parts()]
    assert (message.get_content_type(), contents) == ("multipart/alternative", ["one", "two"])


def test_no_text_can_guess_the_boundary() -> None:
    parts = [text_part("one", "plain"), text_part("two", "plain")]
    assert multipart("mixed", parts).headers != multipart("mixed", parts).headers
