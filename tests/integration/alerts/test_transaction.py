"""One mail in one dialogue: each recipient has its own outcome, and the envelope is as decided."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from aiosmtplib import SMTP, SMTPResponseException

from eventhub.alerts.addresses import Address, parse_addresses
from eventhub.alerts.mail import Mail
from eventhub.alerts.transaction import Content, Outcome, transfer
from eventhub.errors import Rejected
from tests.integration.alerts.sink import Sink

MAIL = Mail(
    message_id="<e.1.chat@eventhub>",
    date=datetime(2026, 11, 23, 10, tzinfo=UTC),
    sender=Address("", "hub", "example.org"),
    to=parse_addresses(["a@example.org, b@example.org"]),
    text="Hello",
)


@pytest.fixture
async def client(sink: Sink) -> AsyncIterator[SMTP]:
    async with SMTP(hostname="127.0.0.1", port=sink.port, start_tls=False) as connected:
        yield connected


async def test_a_mail_without_any_accepted_recipient_is_not_sent(sink: Sink, client: SMTP) -> None:
    sink.refusals = {"a@example.org": "550 no", "b@example.org": "451 later"}
    outcome = await transfer(client, Content.of(MAIL), MAIL.recipients)
    assert outcome == Outcome({"a@example.org": "550 no"}, {"b@example.org": "451 later"})
    assert sink.attempts == []


async def test_only_the_given_recipients_are_in_the_envelope(sink: Sink, client: SMTP) -> None:
    assert await transfer(client, Content.of(MAIL), ["b@example.org"]) == Outcome()
    assert sink.taken[0].recipients == ["b@example.org"]
    assert sink.taken[0].mail["To"] == "a@example.org, b@example.org"


async def test_a_permanent_refusal_and_a_temporary_one_differ(sink: Sink, client: SMTP) -> None:
    sink.answers = ["554 spam", "451 later"]
    with pytest.raises(Rejected, match="554 spam"):
        await transfer(client, Content.of(MAIL), MAIL.recipients)
    await client.rset()
    with pytest.raises(SMTPResponseException):
        await transfer(client, Content.of(MAIL), MAIL.recipients)
    assert sink.taken == []


async def test_a_mail_has_a_second_form_only_with_addresses_outside_ascii() -> None:
    assert Content.of(MAIL).utf8 is None
    content = Content.of(replace(MAIL, to=parse_addresses(["jörg@example.org"])))
    assert content.utf8 is not None
    assert content.plain.isascii()
