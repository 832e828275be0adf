"""Courier: sends the mail of one event once, and keeps what cannot be sent.

What was done for an alert is a record under (epoch, sequence, endpoint), written after the
server's 250 and before the event is acknowledged. A crash between the 250 and the record sends
the mail again, with the same `Message-ID`; at any other moment it repeats nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from types import MappingProxyType
from typing import Self

import msgspec
import structlog

from eventhub.alerts.addresses import why_malformed
from eventhub.alerts.limits import Limit, Waiting, digest
from eventhub.alerts.mail import Mail
from eventhub.alerts.mailer import Mailer, Service
from eventhub.alerts.rule import AlertRule
from eventhub.alerts.transaction import Outcome
from eventhub.channel import encode_token
from eventhub.errors import EventHubError, Rejected, Unavailable
from eventhub.event import Event, Position
from eventhub.metrics import ALERTS
from eventhub.stream import Log, Records

logger = structlog.get_logger(__name__)

SENT, DEAD = "alerts-sent", "alerts-dead"
"""Names of the records: what was done, and what nobody could be told."""
SENT_SECONDS = 30 * 86400.0
"""How long it is known: an event whose acknowledgement was lost returns when the hub is back."""
COMPOSE_SECONDS = 60.0
"""For templates, files and downloads of one mail: three slow downloads."""
COMPOSERS = 4
"""Threads that compose. A template that hangs keeps one of them, and nothing else."""

MAX_NAMED = 1000
"""Recipients that a dead letter names."""

_LETTERS = "letter"  # first token of the keys of dead letters: records are listed below a token
MESSAGE_ID_DOMAIN = "eventhub"
"""Right side of a `Message-ID`; the left side is unique by itself (RFC 5322 section 3.6.4)."""


class Progress(msgspec.Struct, kw_only=True):
    """What was done for one alert."""

    left: list[str] | None = None
    """Recipients that the server put off; none are left when it is done; None: not begun."""
    refused: dict[str, str] = {}
    """Recipient to the server's reason, for good."""

    @property
    def is_done(self) -> bool:
        """Tell whether nothing is left to send."""
        return self.left == []


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """An alert that could not be sent, or not to everybody. `eventhub alerts` shows it."""

    channel: str
    endpoint: str
    epoch: str
    sequence: int
    """Of the event: the mail is made from it again when the letter is retried."""
    reason: str
    attempts: int
    died_at: str
    """UTC, ISO 8601."""
    row_id: str = ""
    """Of the event; empty in letters of versions that did not write it."""
    to: list[str]
    """The rendered `to`, `cc` and `bcc`, the first of them; empty if they could not be rendered."""
    subject: str
    recipients: list[str] | None
    """Those who have not got it; None for everybody."""

    @property
    def id(self) -> str:
        """What people call it by: endpoint and sequence."""
        return f"{self.endpoint}:{self.sequence}"

    @property
    def missing(self) -> list[str]:
        """Those who have not got it, as far as it is known who they are."""
        return self.to if self.recipients is None else self.recipients

    @property
    def key(self) -> str:
        """Its record's."""
        return f"{_LETTERS}.{alert_key(Position(self.epoch, self.sequence), self.endpoint)}"


def utc_now() -> datetime:
    """Return the time for `Date` headers and dead letters."""
    return datetime.now(UTC)


def alert_key(position: Position, endpoint: str) -> str:
    """Return the key of an alert's records; also the left side of its `Message-ID`."""
    return f"{position}.{encode_token(endpoint)}"


@dataclass(slots=True, kw_only=True)
class Alert:
    """One alert on its way."""

    rule: AlertRule
    event: Event
    position: Position
    attempt: int
    progress: Progress = field(default_factory=Progress)
    mail: Mail | None = None
    """Once it is composed."""

    @property
    def key(self) -> str:
        """Names it in records."""
        return alert_key(self.position, self.rule.name)


class Courier:
    """Sends alerts, and remembers."""

    def __init__(
        self,
        mailer: Mailer,
        sent: Records,
        dead: Records,
        now: Callable[[], datetime],
        limits: Mapping[str, Limit],
    ) -> None:
        self._mailer = mailer
        self._sent = sent
        self._dead = dead
        self._now = now
        self._limits = limits
        self._composers = ThreadPoolExecutor(COMPOSERS, thread_name_prefix="alerts")

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        mailer: Mailer,
        event_log: Log,
        now: Callable[[], datetime],
        limits: Mapping[str, Limit] = MappingProxyType({}),
    ) -> AsyncIterator[Self]:
        """Open a courier with the records of a log.

        Args:
            mailer: with the services.
            event_log: has the records.
            now: the time.
            limits: what each alert, by its endpoint, may send; those without one are not limited.
        """
        sent = await event_log.records(SENT, max_age_seconds=SENT_SECONDS)
        courier = cls(mailer, sent, await event_log.records(DEAD), now, limits)
        try:
            yield courier
        finally:
            courier._composers.shutdown(wait=False, cancel_futures=True)

    async def load(self, alert: Alert) -> None:
        """Read what was done for an alert before."""
        found = await self._sent.get(alert.key)
        if found is not None:
            alert.progress = msgspec.json.decode(found, type=Progress)

    async def send(self, alert: Alert) -> None:
        """Send the mail to everyone who has not got it, and record that.

        Raises:
            Unavailable: not all have it; try again later.
            EventHubError: any other: a retry makes no difference.
        """
        async with self._mailer.turn(alert.rule.service) as service:
            mail = alert.mail = await self._composed(alert)
            left = mail.recipients if alert.progress.left is None else alert.progress.left
            _check_count(mail, alert.rule.max_recipients)
            recipients = [address for address in mail.recipients if address in left]
            outcome, over = await self._send(service, alert.rule, mail, recipients)
        malformed = {each: why_malformed(each) for each in mail.malformed}
        alert.progress.left = list(outcome.deferred)
        alert.progress.refused |= {**malformed, **outcome.refused, **over}
        if outcome.deferred:
            await self._record(alert)
            raise Unavailable(_joined(outcome.deferred))
        await self._settle(alert)
        limit = self._limits.get(alert.rule.name)
        if limit is not None:
            for address in mail.addressees:
                if address.addr_spec in over:
                    limit.wait(Waiting.of(f"{_LETTERS}.{alert.key}", address, mail))

    async def _send(
        self, service: Service, rule: AlertRule, mail: Mail, recipients: list[str]
    ) -> tuple[Outcome, dict[str, str]]:
        """Send a mail to those whom its alert may still send one; return also who is left over."""
        limit = self._limits.get(rule.name)
        if limit is None:
            return await service.send(mail, recipients), {}
        taken = [address for address in recipients if limit.take(address)]
        over = {
            each: f"max_per_hour: is {limit.per_hour}" for each in recipients if each not in taken
        }
        if over and not taken:
            return Outcome(), over
        given_back = taken
        try:
            outcome = await service.send(mail, taken)
            given_back = [*outcome.refused, *outcome.deferred]
        finally:
            for address in given_back:
                limit.give_back(address)
        return outcome, over

    async def send_digests(self, rules: Mapping[str, AlertRule]) -> None:
        """Tell each address whose hour is over, in one mail, of those that it has not got."""
        for name, limit in self._limits.items():
            for waiting in limit.due():
                try:
                    async with self._mailer.turn(rules[name].service) as service:
                        mail = digest(name, waiting, self._now())
                        outcome = await service.send(mail, mail.recipients)
                    if outcome.refused or outcome.deferred:
                        raise Unavailable(_joined({**outcome.refused, **outcome.deferred}))
                except EventHubError as error:
                    logger.warning("alert_digest_failed", endpoint=name, reason=error.message)
                    limit.put_back(waiting)
                else:
                    logger.info("alert_digest_sent", endpoint=name, mails=len(waiting))
                    for each in waiting:
                        await self._release(each)

    async def _release(self, waiting: Waiting) -> None:
        """Take an address out of a dead letter: it was told by a digest."""
        found = await self._dead.get(waiting.letter)
        if found is None:
            return
        letter = msgspec.json.decode(found, type=DeadLetter)
        missing = [each for each in letter.missing if each != waiting.address.addr_spec]
        if missing:
            rest = msgspec.structs.replace(letter, recipients=missing)
            await self._dead.put(letter.key, msgspec.json.encode(rest))
        else:
            await self._dead.delete(letter.key)

    async def bury(self, alert: Alert, reason: str) -> None:
        """Keep an alert as a dead letter; no delivery of its event sends it again."""
        begun = alert.progress.left is not None
        missing = [*(alert.progress.left or ()), *alert.progress.refused] if begun else None
        await self._keep(alert, reason, missing)
        alert.progress.left = []
        await self._record(alert)

    async def dead_letters(self) -> list[DeadLetter]:
        """Return the dead letters, oldest first."""
        return [
            msgspec.json.decode(value, type=DeadLetter)
            for _, value in await self._dead.items(_LETTERS)
        ]

    async def forget(self, letter: DeadLetter) -> None:
        """Delete a dead letter."""
        await self._dead.delete(letter.key)

    async def _settle(self, alert: Alert) -> None:
        """Keep whom the server refused, then record that nothing is left to do."""
        refused = alert.progress.refused
        if refused:
            logger.warning("alert_refused", alert=alert.key, recipients=list(refused))
            await self._keep(alert, _joined(refused), list(refused))
        await self._record(alert)

    async def _composed(self, alert: Alert) -> Mail:
        loop = asyncio.get_running_loop()
        compose = partial(
            alert.rule.letter.compose,
            alert.rule.values_of(alert.event),
            message_id=f"{alert.key}@{MESSAGE_ID_DOMAIN}",
            date=self._now(),
        )
        try:
            async with asyncio.timeout(COMPOSE_SECONDS):
                return await loop.run_in_executor(self._composers, compose)
        except TimeoutError as error:
            raise Unavailable(f"templates took longer than {COMPOSE_SECONDS:g} s") from error

    async def _record(self, alert: Alert) -> None:
        await self._sent.put(alert.key, msgspec.json.encode(alert.progress))

    async def _keep(self, alert: Alert, reason: str, recipients: list[str] | None) -> None:
        mail = alert.mail
        letter = DeadLetter(
            channel=alert.rule.channel.name,
            endpoint=alert.rule.name,
            epoch=alert.position.epoch,
            sequence=alert.position.sequence,
            row_id=alert.event.id,
            reason=reason,
            attempts=alert.attempt,
            died_at=self._now().astimezone(UTC).isoformat(timespec="seconds"),
            to=[*mail.recipients, *mail.malformed][:MAX_NAMED] if mail else [],
            subject=mail.subject if mail else "",
            recipients=recipients,
        )
        await self._dead.put(letter.key, msgspec.json.encode(letter))
        logger.error("alert_dead", alert=alert.key, attempts=alert.attempt, reason=reason)
        ALERTS.labels(alert.rule.name, "dead").inc()


def _check_count(mail: Mail, most: int) -> None:
    count = len(mail.recipients) + len(mail.malformed)
    if count > most:
        raise Rejected("too_large", f"{count} recipients, and max_recipients: is {most}")


def _joined(reasons: Mapping[str, str]) -> str:
    return "; ".join(f"{address}: {reason}" for address, reason in reasons.items())
