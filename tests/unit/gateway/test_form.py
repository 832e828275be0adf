"""A form is one message of text values, in any charset and encoding that a form may have."""

from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventhub.columns import Column, Columns
from eventhub.errors import Rejected
from eventhub.gateway import form

COLUMNS = Columns([Column("topic"), Column("body")])


def part(name: str, value: bytes, *headers: str, filename: str = "") -> bytes:
    """One part of a multipart form."""
    named = f'Content-Disposition: form-data; name="{name}"' + (
        f'; filename="{filename}"' if filename else ""
    )
    lines = "\r\n".join([named, *headers])
    return f"--b\r\n{lines}\r\n\r\n".encode() + value + b"\r\n"


def multipart(*parts: bytes, end: bytes = b"--b--\r\n", charset: str = "utf-8") -> dict[str, Any]:
    return form.multipart(b"".join(parts) + end, "b", charset, COLUMNS)


@given(st.dictionaries(st.sampled_from(["topic", "body", "x"]), st.text(min_size=1), min_size=1))
def test_url_encoded_fields_are_what_was_encoded(fields: dict[str, str]) -> None:
    fields = {"topic": "Help", **fields}
    body = urlencode(fields, errors="ignore").encode()
    expected = {name: value.encode(errors="ignore").decode() for name, value in fields.items()}
    assert form.urlencoded(body, "utf-8", COLUMNS) == expected


@given(st.text())
def test_multipart_fields_are_what_was_sent(value: str) -> None:
    sent = value.encode(errors="ignore")
    assert multipart(part("body", sent)) == {"body": sent.decode()}


def test_repeated_fields_are_a_list_and_files_are_ignored() -> None:
    assert form.urlencoded(b"topic=a&topic=b", "utf-8", COLUMNS) == {"topic": ["a", "b"]}
    sent = (part("topic", b"a"), part("body", b"\xff", filename="x.png"))
    assert multipart(*sent) == {"topic": "a"}


@pytest.mark.parametrize(
    ("encoding", "sent"),
    [
        ("base64", b"R3LDvMOfZQ=="),
        ("quoted-printable", b"Gr=C3=BC=C3=9Fe"),
        ("8bit", b"Gr\xc3\xbc\xc3\x9fe"),
    ],
)
def test_transfer_encodings_are_undone(encoding: str, sent: bytes) -> None:
    header = f"Content-Transfer-Encoding: {encoding}"
    assert multipart(part("body", sent, header)) == {"body": "Grüße"}


def test_a_part_may_have_a_charset_of_its_own() -> None:
    own = part("body", "Grüße".encode("latin-1"), "Content-Type: text/plain; charset=latin-1")
    assert multipart(own, part("topic", "ü".encode())) == {"body": "Grüße", "topic": "ü"}


@pytest.mark.parametrize(
    ("label", "name"), [(None, "utf-8"), (" UTF8 ", "utf-8"), ("latin-1", "iso8859-1")]
)
def test_charsets_have_the_names_of_python(label: str | None, name: str) -> None:
    assert form.charset_of(label) == name


@pytest.mark.parametrize("label", ["klingon", "zip", "idna", "utf-16", "a\0b"])
def test_a_charset_that_forms_cannot_have_is_refused(label: str) -> None:
    with pytest.raises(Rejected, match="send UTF-8") as caught:
        form.charset_of(label)
    assert caught.value.code == "bad_type"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"no field", "bad_json"),
        (b"topic=%ff", "bad_body"),
        (b"other=1", "bad_body"),
        (b"_key=a&_key=b&topic=c", "bad_control"),
        (b"&topic=a" * 1001, "too_large"),
    ],
)
def test_url_encoded_mistakes_have_their_codes(body: bytes, code: str) -> None:
    with pytest.raises(Rejected) as caught:
        form.urlencoded(body, "utf-8", COLUMNS)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("parts", "end", "code"),
    [
        ((part("topic", b"a"),), b"", "bad_body"),  # cut off
        ((part("", b"a"),), b"--b--\r\n", "bad_body"),
        ((part("topic", b"\xff"),), b"--b--\r\n", "bad_body"),
        ((part("topic", b"a", "Content-Transfer-Encoding: uuencode"),), b"--b--\r\n", "bad_type"),
        ((part("topic", b"a", "Content-Transfer-Encoding: base64"),), b"--b--\r\n", "bad_body"),
        ((part("topic", b"a"),) * 101, b"--b--\r\n", "too_large"),
    ],
)
def test_multipart_mistakes_have_their_codes(
    parts: tuple[bytes, ...], end: bytes, code: str
) -> None:
    with pytest.raises(Rejected) as caught:
        multipart(*parts, end=end)
    assert caught.value.code == code


def test_a_multipart_form_needs_a_boundary() -> None:
    with pytest.raises(Rejected, match="boundary"):
        form.multipart(b"", None, "utf-8", COLUMNS)
