"""A mail names each recipient once, shows Bcc to nobody, and has a bounded size."""

from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default

import pytest

from eventhub.alerts.addresses import Address, parse_addresses
from eventhub.alerts.attachment import Attachment
from eventhub.alerts.mail import Mail, is_content_id
from eventhub.alerts.sources import MAX_BYTES
from eventhub.errors import Rejected

MAIL = Mail(
    message_id="<e.1.chat@eventhub>",
    date=datetime(2026, 11, 23, 10, tzinfo=UTC),
    sender=Address("", "hub", "example.org"),
    to=parse_addresses(["a@example.org, nonsense"]),
    cc=parse_addresses(["A@example.org, b@example.org"]),
    bcc=parse_addresses(["b@example.org, secret@example.org"]),
    text="Hello",
)


def test_each_recipient_is_named_once_over_all_fields() -> None:
    assert MAIL.recipients == ("a@example.org", "b@example.org", "secret@example.org")
    assert MAIL.malformed == ("nonsense",)


def test_bcc_is_in_no_header() -> None:
    data = MAIL.as_bytes()
    assert b"secret" not in data
    assert message_from_bytes(data, policy=default)["Cc"] == "A@example.org, b@example.org"


def test_programs_are_asked_not_to_answer() -> None:
    message = message_from_bytes(MAIL.as_bytes(), policy=default)
    assert message["Auto-Submitted"] == "auto-generated"


def test_addresses_outside_ascii_are_in_headers_only_with_smtputf8() -> None:
    mail = replace(MAIL, to=parse_addresses(["jörg@example.org, a@example.org"]), cc=MAIL.bcc)
    assert "jörg".encode() in mail.as_bytes(utf8=True)
    assert mail.as_bytes().split(b"\r\n\r\n")[0].isascii()


def test_files_that_are_too_large_together_are_refused() -> None:
    half = Attachment("a", "text/plain", bytes(MAX_BYTES // 2 + 1))
    replace(MAIL, attachments=(half,)).as_bytes()
    with pytest.raises(Rejected, match="larger than 25 MiB"):
        replace(MAIL, html="x", attachments=(half,), images={"a": half}).as_bytes()


@pytest.mark.parametrize(("text", "is_valid"), [("logo.1@x", True), ("", False), ("a b", False)])
def test_a_content_id_has_plain_characters(text: str, is_valid: bool) -> None:
    assert is_content_id(text) == is_valid
