"""Backtest: which mails the alerts of a configuration would have sent for events of the past.

Nothing is sent, recorded or downloaded: attachments and images are left out. Limits of mails an
hour are not applied.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime

from eventhub.alerts.addresses import why_malformed
from eventhub.alerts.mail import Mail
from eventhub.alerts.rule import AlertRule
from eventhub.alerts.sender import MESSAGE_ID_DOMAIN
from eventhub.errors import EventHubError
from eventhub.event import StoredEvent
from eventhub.stream import EventStream, Log


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What an alert would have done about one event."""

    endpoint: str
    sequence: int
    time: str
    """When the event was accepted, in UTC."""
    row: str
    """Its id."""
    method: str
    recipients: list[str]
    subject: str
    error: str | None
    """Why some or all recipients would have missed the mail; None if nothing is known to."""


async def backtest(
    rules: Iterable[AlertRule], event_log: Log, since: datetime | None
) -> AsyncGenerator[Verdict | None, None]:
    """Try alerts with the events of their endpoints, channel by channel in order.

    Args:
        rules: the alerts.
        event_log: holds the events.
        since: an aware instant; events stored before it are left out.

    Yields:
        For each event of these endpoints what its alert would have done; None if it would not
        have fired.

    Raises:
        Unavailable: the log cannot be read now.
    """
    of_channel: dict[str, dict[str, AlertRule]] = {}
    for each in rules:
        of_channel.setdefault(each.channel.name, {})[each.name] = each
    for by_endpoint in of_channel.values():
        stream = await event_log.open(next(iter(by_endpoint.values())).channel)
        after = 0 if since is None else await stream.sequence_before(since)
        async with aclosing(events_after(stream, after)) as events:
            async for stored in events:
                if rule := by_endpoint.get(stored.event.endpoint):
                    yield await verdict_of(rule, stored)


async def events_after(stream: EventStream, after: int) -> AsyncGenerator[StoredEvent, None]:
    """Yield the events that there are now after a sequence; leave out, and log, damaged ones."""
    last = (await stream.bounds()).last
    if after >= last:
        return
    async with stream.follow(after) as batches:
        async for batch in batches:
            for stored in batch:
                if stored.sequence <= last:
                    yield stored
            if batch[-1].sequence >= last:
                return


async def verdict_of(rule: AlertRule, stored: StoredEvent) -> Verdict | None:
    """Return what an alert would have done about an event of its endpoint; None if nothing."""
    event = stored.event
    mail: Mail | None = None
    error: str | None = None
    try:
        if not await rule.fires(event):
            return None
        message_id = f"{stored.sequence}.{rule.name}@{MESSAGE_ID_DOMAIN}"
        date = datetime.fromisoformat(event.time)
        values = rule.values_of(event)
        mail = await asyncio.to_thread(
            rule.template.compose, values, message_id, date, attached=False
        )
        error = _wrong(mail, rule)
    except EventHubError as failure:
        error = failure.message
    return Verdict(
        endpoint=rule.name,
        sequence=stored.sequence,
        time=event.time,
        row=event.id,
        method=event.method,
        recipients=list(mail.recipients) if mail else [],
        subject=mail.subject if mail else "",
        error=error,
    )


def _wrong(mail: Mail, rule: AlertRule) -> str | None:
    rule.check_recipients(mail)
    if mail.malformed:
        return "; ".join(f"{each}: {why_malformed(each)}" for each in mail.malformed)
    return None if mail.recipients else "no recipients"
