"""Operations: what an operator does about alerts: list dead letters, retry them, send tests."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any
from uuid import uuid4

from eventhub.alerts.addresses import NO_ADDRESSES, parse_addresses
from eventhub.alerts.dead_letters import DeadLetter, DeadLetters
from eventhub.alerts.mail import Mail
from eventhub.alerts.pending import PendingAlert, Progress
from eventhub.alerts.rule import AlertRule, rules_of, services_of
from eventhub.alerts.sender import MESSAGE_ID_DOMAIN, Sender, utc_now
from eventhub.alerts.smtp import SmtpServices
from eventhub.channel import Endpoint
from eventhub.columns import Columns, Kind
from eventhub.config import Config
from eventhub.errors import EventHubError, Misconfigured, Rejected
from eventhub.event import Position
from eventhub.stream import Log

TEST_ID = "test"
"""`id` of the invented message of a test."""

_SAMPLES: dict[Kind, Any] = {
    Kind.TEXT: "test",
    Kind.INTEGER: 1,
    Kind.REAL: 1.5,
    Kind.DECIMAL: Decimal("1.5"),
    Kind.BOOLEAN: True,
    Kind.DATE: "2026-01-02",
    Kind.TIMESTAMP: "2026-01-02T03:04:05",
    Kind.TIMESTAMPTZ: "2026-01-02T03:04:05Z",
    Kind.JSON: {},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryResult:
    """What the retry of one dead letter led to."""

    letter: DeadLetter
    """As it was before the retry."""
    error: str | None
    """None: the mail was sent, and the dead letter is deleted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TestResult:
    """What the test of one alert led to."""

    endpoint: str
    service: str
    recipients: list[str]
    subject: str
    error: str | None
    """None: the mail server has accepted the mail."""


async def list_dead_letters(event_log: Log) -> list[DeadLetter]:
    """Return the dead letters, oldest first."""
    return await (await DeadLetters.open(event_log)).all()


async def retry_dead_letters(
    config: Config, endpoints: Iterable[Endpoint], event_log: Log, ids: Sequence[str] = ()
) -> list[RetryResult]:
    """Send dead letters once more, to the recipients who have not received the mail.

    The mails are composed again from their events, with the templates and services of today. A
    letter that fails again is kept, with the new reason.

    Args:
        config: names the services.
        endpoints: have the alerts.
        event_log: holds the letters and their events.
        ids: which letters: by their id, the sequence of their event, or their row; none for all.

    Raises:
        Rejected: an id matches no dead letter; nothing was sent.
    """
    rules = rules_of(config, endpoints)
    async with Sender.open(SmtpServices(services_of(config)), event_log) as sender:
        return [
            RetryResult(letter=letter, error=await _retry(letter, rules, sender, event_log))
            for letter in _pick(await sender.dead_letters.all(), ids)
        ]


def _pick(letters: list[DeadLetter], ids: Sequence[str]) -> list[DeadLetter]:
    names = [{letter.id, str(letter.sequence), letter.row_id} for letter in letters]
    for each in ids:
        if not any(each in known for known in names):
            raise Rejected("not_found", f"no dead letter {each!r}: see `eventhub alerts list`")
    return [
        letter for letter, known in zip(letters, names, strict=True) if not ids or known & {*ids}
    ]


async def _retry(
    letter: DeadLetter, rules: dict[str, AlertRule], sender: Sender, event_log: Log
) -> str | None:
    """Send the mail of a dead letter; return the error, or None if it was sent."""
    try:
        alert = await _alert_of(letter, rules, event_log)
    except EventHubError as error:
        return error.message
    try:
        await sender.send(alert)
    except EventHubError as error:
        await sender.give_up(alert, error.message)
        return error.message
    if alert.progress.refused:
        return "; ".join(f"{address}: {why}" for address, why in alert.progress.refused.items())
    await sender.dead_letters.delete(letter)
    return None


async def _alert_of(
    letter: DeadLetter, rules: dict[str, AlertRule], event_log: Log
) -> PendingAlert:
    """Return the alert of a dead letter, made from its event.

    Raises:
        Misconfigured: the endpoint no longer has an alert.
        Rejected: the event is no longer in the log.
        Unavailable: the log cannot be read now.
    """
    rule = rules.get(letter.endpoint)
    if rule is None:
        raise Misconfigured(f"url: {letter.endpoint}: no longer has an alert")
    stream = await event_log.open(rule.channel)
    stored = await stream.get(letter.sequence) if stream.epoch == letter.epoch else None
    if stored is None:
        raise Rejected("not_found", "its event is no longer in the log")
    return PendingAlert(
        rule=rule,
        event=stored.event,
        position=Position(letter.epoch, letter.sequence),
        attempt=letter.attempts + 1,
        progress=Progress(remaining=letter.recipients),
    )


async def send_test(
    config: Config, endpoints: Iterable[Endpoint], *, to: str | None = None
) -> list[TestResult]:
    """Send the alert of each endpoint for an invented message, whatever its methods and condition.

    Args:
        config: names the services.
        endpoints: have the alerts.
        to: replaces the recipients of the alerts.
    """
    services = SmtpServices(services_of(config))
    return [await _test(rule, services, to) for rule in rules_of(config, endpoints).values()]


async def _test(rule: AlertRule, services: SmtpServices, to: str | None) -> TestResult:
    mail: Mail | None = None
    error: str | None = None
    try:
        mail = await _test_mail(rule, to)
        async with services.turn(rule.service) as server:
            outcome = await server.send(mail, mail.recipients)
        failed = {**outcome.refused, **outcome.deferred}
        error = "; ".join(f"{address}: {why}" for address, why in failed.items()) or None
    except EventHubError as failure:
        error = failure.message
    return TestResult(
        endpoint=rule.name,
        service=rule.service,
        recipients=list(mail.recipients) if mail else [],
        subject=mail.subject if mail else "",
        error=error,
    )


async def _test_mail(rule: AlertRule, to: str | None) -> Mail:
    message_id = f"test.{uuid4().hex}@{MESSAGE_ID_DOMAIN}"
    values = _sample(rule.channel.columns)
    mail = await asyncio.to_thread(
        rule.template.compose, values, message_id=message_id, date=utc_now()
    )
    if to is None:
        return mail
    return replace(mail, to=parse_addresses([to]), cc=NO_ADDRESSES, bcc=NO_ADDRESSES)


def _sample(columns: Columns) -> dict[str, Any]:
    values = {column.name: _SAMPLES[column.kind] for column in columns}
    return {**values, "id": TEST_ID, "timestamp": _SAMPLES[Kind.TIMESTAMP], "_method": "POST"}
