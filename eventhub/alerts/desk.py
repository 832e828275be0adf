"""Desk: what an operator does about alerts by hand: list dead letters, retry them, send a test."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any
from uuid import uuid4

from eventhub.alerts.addresses import NOBODY, addresses
from eventhub.alerts.courier import Alert, Courier, DeadLetter, Progress, utc_now
from eventhub.alerts.mail import Mail
from eventhub.alerts.mailer import Mailer
from eventhub.alerts.rule import AlertRule, rules_of, services_of
from eventhub.channel import Endpoint
from eventhub.columns import Columns, Kind
from eventhub.config import Config
from eventhub.errors import EventHubError, Misconfigured, Rejected
from eventhub.event import Position
from eventhub.stream import Log

TEST_ID = "test"
"""`id` of the message of a test."""

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
class Retried:
    """What a retry of one dead letter came to."""

    letter: DeadLetter
    error: str | None
    """None: it is sent, and no dead letter any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """What a test of one alert came to."""

    endpoint: str
    service: str
    recipients: list[str]
    subject: str
    error: str | None
    """None: the server took it."""


async def list_dead(event_log: Log) -> list[DeadLetter]:
    """Return the dead letters, oldest first."""
    async with Courier.open(Mailer({}), event_log, utc_now) as courier:
        return await courier.dead_letters()


async def retry_dead(
    config: Config, endpoints: Iterable[Endpoint], event_log: Log, ids: Sequence[str] = ()
) -> list[Retried]:
    """Send dead letters now, once, with today's templates and services, to those who lack them.

    What is sent, is no dead letter any more; what fails again stays one, with the new reason.

    Args:
        config: with the services.
        endpoints: with the alerts.
        event_log: has the letters and their events.
        ids: which letters: by their id, the sequence of their event, or their row; none for all.

    Raises:
        Rejected: there is no dead letter of an id; nothing was sent.
    """
    rules = rules_of(config, endpoints)
    mailer = Mailer(services_of(config))
    async with Courier.open(mailer, event_log, utc_now) as courier:
        return [
            Retried(letter=letter, error=await _retried(letter, rules, courier, event_log))
            for letter in _picked(await courier.dead_letters(), ids)
        ]


def _picked(letters: list[DeadLetter], ids: Sequence[str]) -> list[DeadLetter]:
    names = [{letter.id, str(letter.sequence), letter.row_id} for letter in letters]
    for each in ids:
        if not any(each in known for known in names):
            raise Rejected("not_found", f"no dead letter {each!r}: see `eventhub alerts list`")
    return [
        letter for letter, known in zip(letters, names, strict=True) if not ids or known & {*ids}
    ]


async def _retried(
    letter: DeadLetter, rules: dict[str, AlertRule], courier: Courier, event_log: Log
) -> str | None:
    try:
        alert = await _alert_of(letter, rules, event_log)
    except EventHubError as error:
        return error.message
    try:
        await courier.send(alert)
    except EventHubError as error:
        await courier.bury(alert, error.message)
        return error.message
    if alert.progress.refused:
        return "; ".join(f"{who}: {why}" for who, why in alert.progress.refused.items())
    await courier.forget(letter)
    return None


async def _alert_of(letter: DeadLetter, rules: dict[str, AlertRule], event_log: Log) -> Alert:
    """Return the alert to send again, made from its event.

    Raises:
        Misconfigured: the endpoint has no alert any more.
        Rejected: the event is gone.
        Unavailable: the log cannot be read now.
    """
    rule = rules.get(letter.endpoint)
    if rule is None:
        raise Misconfigured(f"url: {letter.endpoint}: has no alert now")
    stream = await event_log.open(rule.channel)
    stored = await stream.get(letter.sequence) if stream.epoch == letter.epoch else None
    if stored is None:
        raise Rejected("not_found", "its event is not in the log any more")
    return Alert(
        rule=rule,
        event=stored.event,
        position=Position(letter.epoch, letter.sequence),
        attempt=letter.attempts + 1,
        progress=Progress(left=letter.recipients),
    )


async def send_test(
    config: Config, endpoints: Iterable[Endpoint], *, to: str | None = None
) -> list[Tested]:
    """Send the alert of each endpoint for a made-up message; methods and condition do not count.

    Args:
        to: who gets it, instead of the alert's own recipients.
    """
    mailer = Mailer(services_of(config))
    return [await _tested(rule, mailer, to) for rule in rules_of(config, endpoints).values()]


async def _tested(rule: AlertRule, mailer: Mailer, to: str | None) -> Tested:
    mail: Mail | None = None
    error: str | None = None
    try:
        async with mailer.turn(rule.service) as service:
            mail = await _test_mail(rule, to)
            outcome = await service.send(mail, mail.recipients)
        failed = {**outcome.refused, **outcome.deferred}
        error = "; ".join(f"{who}: {why}" for who, why in failed.items()) or None
    except EventHubError as failure:
        error = failure.message
    return Tested(
        endpoint=rule.name,
        service=rule.service,
        recipients=list(mail.recipients) if mail else [],
        subject=mail.subject if mail else "",
        error=error,
    )


async def _test_mail(rule: AlertRule, to: str | None) -> Mail:
    values = _sample(rule.channel.columns)
    mail = await asyncio.to_thread(
        rule.letter.compose, values, message_id=f"test.{uuid4().hex}@eventhub", date=utc_now()
    )
    if to is None:
        return mail
    return replace(mail, to=addresses([to]), cc=NOBODY, bcc=NOBODY)


def _sample(columns: Columns) -> dict[str, Any]:
    values = {column.name: _SAMPLES[column.kind] for column in columns}
    return {**values, "id": TEST_ID, "timestamp": _SAMPLES[Kind.TIMESTAMP], "_method": "POST"}
