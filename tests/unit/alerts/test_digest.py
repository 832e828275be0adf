"""A digest reports each mail that one address has not received, and stays small."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from eventhub.alerts.addresses import Address
from eventhub.alerts.digest import MAX_TEXTS, DigestEntry, compose_digest
from eventhub.alerts.mail import Mail

MAIL = Mail(
    message_id="<e.1.chat@eventhub>",
    date=datetime(2026, 11, 23, 10, tzinfo=UTC),
    sender=Address("Hub", "hub", "x.org"),
    subject="Hello",
    text="The text",
)


def entry(mail: Mail) -> DigestEntry:
    return DigestEntry.of("letter.e.1.chat", Address("", "a", "x.org"), mail)


@pytest.mark.parametrize(
    ("mail", "shown"),
    [
        (MAIL, "Hello\n  The text"),
        (replace(MAIL, text=None, html="<p>a &lt; b</p>"), "Hello\n  a < b"),
        (replace(MAIL, subject="x\nBcc: y", text="a\nb"), "x Bcc: y\n  a\n  b"),
        (replace(MAIL, text=None, html="<" * 1_000_000), "Hello\n"),
    ],
)
def test_a_digest_has_time_subject_and_text_of_each_mail(mail: Mail, shown: str) -> None:
    digest = compose_digest("chat", [entry(mail)] * 2, MAIL.date)
    assert digest.recipients == ("a@x.org",)
    assert digest.subject == "2 more messages of chat"
    assert (digest.text or "").count(f"2026-11-23 10:00:00 UTC  {shown}") == 2


def test_a_digest_of_large_mails_is_small() -> None:
    large = replace(MAIL, subject="s" * 100_000, text="t" * 100_000)
    count = 2 * MAX_TEXTS
    text = f"{compose_digest('chat', [entry(large)] * count, MAIL.date).text}\n"
    assert text.count("sss\n") == count
    assert text.count("ttt\n") == MAX_TEXTS
    assert len(text) < count * 250 + MAX_TEXTS * 550


def test_a_digest_has_the_sender_of_its_mails_and_an_id_of_its_own() -> None:
    digest = compose_digest("chat", [entry(MAIL)], MAIL.date)
    assert digest.sender == MAIL.sender
    assert digest.message_id == "<digest.e.1.chat@eventhub>"
