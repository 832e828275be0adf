"""Sender: composes the mail of one alert, sends it once, and records what was done.

The record of an alert has the key (epoch, sequence, endpoint). It is written after the server's
250 and before the event is acknowledged; while the broker stores nothing, the worker tries again. A
crash between the 250 and the record sends the mail again, with the same `Message-ID`; a crash at
any other moment repeats nothing.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from types import MappingProxyType
from typing import Self

import msgspec
import structlog

from eventhub.alerts.addresses import why_malformed
from eventhub.alerts.dead_letters import DeadLetter, DeadLetters, letter_key
from eventhub.alerts.digest import DigestEntry, compose_digest
from eventhub.alerts.limits import Limit
from eventhub.alerts.mail import Mail
from eventhub.alerts.pending import PendingAlert, Progress
from eventhub.alerts.rule import AlertRule
from eventhub.alerts.smtp import SmtpService, SmtpServices
from eventhub.alerts.transaction import Outcome
from eventhub.errors import EventHubError, Unavailable
from eventhub.stream import Log, Records

logger = structlog.get_logger(__name__)

RECORDS = "alerts-sent"
"""Name of the records of what was done."""
RECORD_SECONDS = 30 * 86400.0
"""How long a record is kept: an event whose acknowledgement was lost is delivered again as soon as
the hub is back."""
STORE_SECONDS = 60.0
"""How long the broker is asked to store what was done: some times as long as servers take to elect
a leader, at most 9 s."""
STORE_PAUSE_SECONDS = 0.1
"""Between two attempts, each of which waits for the broker by itself."""
COMPOSE_SECONDS = 60.0
"""For the templates, files and downloads of one mail: enough for three slow downloads."""
COMPOSERS = 4
"""Threads that compose. A template that hangs blocks one of them, and nothing else."""
MAX_COMPOSED = 8
"""Mails of one service in memory: with files each may have 25 MiB. Four are being sent, and as many
are composed meanwhile."""
MESSAGE_ID_DOMAIN = "eventhub"
"""Right side of a `Message-ID`; the left side is unique by itself (RFC 5322 section 3.6.4)."""


def utc_now() -> datetime:
    """Return the time for `Date` headers and dead letters."""
    return datetime.now(UTC)


class Sender:
    """Sends alerts, and remembers which were sent. What it cannot send is a dead letter."""

    def __init__(
        self,
        services: SmtpServices,
        sent: Records,
        dead_letters: DeadLetters,
        limits: Mapping[str, Limit],
    ) -> None:
        self.dead_letters = dead_letters
        self._services = services
        self._sent = sent
        self._limits = limits
        self._composers = ThreadPoolExecutor(COMPOSERS, thread_name_prefix="alerts")
        self._composing = asyncio.Semaphore(COMPOSERS)
        self._composed: defaultdict[str, asyncio.Semaphore]
        self._composed = defaultdict(lambda: asyncio.Semaphore(MAX_COMPOSED))

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        services: SmtpServices,
        event_log: Log,
        limits: Mapping[str, Limit] = MappingProxyType({}),
    ) -> AsyncIterator[Self]:
        """Open a sender with the records of a log.

        Args:
            services: the mail servers.
            event_log: holds the records.
            limits: by endpoint, how much its alert may send; an alert without one is not limited.
        """
        sent = await event_log.records(RECORDS, max_age_seconds=RECORD_SECONDS)
        sender = cls(services, sent, await DeadLetters.open(event_log), limits)
        try:
            yield sender
        finally:
            sender._composers.shutdown(wait=False, cancel_futures=True)

    async def load(self, alert: PendingAlert) -> None:
        """Read what was done for an alert before."""
        found = await self._sent.get(alert.key)
        if found is not None:
            alert.progress = msgspec.json.decode(found, type=Progress)

    async def send(self, alert: PendingAlert) -> None:
        """Send the mail to all recipients who have not received it, and record that.

        The mail is composed first. So a slow download or template does not keep other mails from
        the mail server.

        Raises:
            Unavailable: some recipients have not received it; try again later.
            EventHubError: any other: a retry makes no difference.
        """
        service = alert.rule.service
        async with self._composed[service]:
            mail = await self._compose(alert)
            remaining = alert.progress.remaining
            left = mail.recipients if remaining is None else remaining
            recipients = [address for address in mail.recipients if address in left]
            async with self._services.turn(service) as server:
                outcome, over_limit = await self._send(server, alert.rule, mail, recipients)
        malformed = {each: why_malformed(each) for each in mail.malformed}
        alert.progress.remaining = list(outcome.deferred)
        alert.progress.refused |= {**malformed, **outcome.refused, **over_limit}
        if outcome.deferred:
            await self._record(alert)
            raise Unavailable(_joined(outcome.deferred))
        await self._finish(alert)
        limit = self._limits.get(alert.rule.name)
        if limit is not None:
            for address in mail.addressees:
                if address.addr_spec in over_limit:
                    limit.hold(DigestEntry.of(letter_key(alert.key), address, mail))

    async def give_up(self, alert: PendingAlert, reason: str) -> None:
        """Keep an alert as a dead letter; no later delivery of its event sends it again."""
        remaining = alert.progress.remaining
        missing = None if remaining is None else [*remaining, *alert.progress.refused]
        await self._keep(alert, reason, missing)
        alert.progress.remaining = []
        await self._record(alert)

    async def send_digests(self, rules: Mapping[str, AlertRule]) -> None:
        """Send a digest to each address whose hour is over, about the mails that were held back."""
        for name, limit in self._limits.items():
            for entries in limit.due():
                try:
                    mail = compose_digest(name, entries, utc_now())
                    async with self._services.turn(rules[name].service) as server:
                        outcome = await server.send(mail, mail.recipients)
                    if outcome.refused or outcome.deferred:
                        raise Unavailable(_joined({**outcome.refused, **outcome.deferred}))
                except EventHubError as error:
                    logger.warning("alert_digest_failed", endpoint=name, reason=error.message)
                    limit.hold_again(entries)
                else:
                    logger.info("alert_digest_sent", endpoint=name, mails=len(entries))
                    for entry in entries:
                        address = entry.address.addr_spec
                        await self.dead_letters.remove_recipient(entry.letter, address)

    async def _compose(self, alert: PendingAlert) -> Mail:
        loop = asyncio.get_running_loop()
        compose = partial(
            alert.rule.template.compose,
            alert.rule.values_of(alert.event),
            message_id=f"{alert.key}@{MESSAGE_ID_DOMAIN}",
            date=utc_now(),
        )
        try:
            async with self._composing, asyncio.timeout(COMPOSE_SECONDS):
                mail = alert.mail = await loop.run_in_executor(self._composers, compose)
        except TimeoutError as error:
            raise Unavailable(f"templates took longer than {COMPOSE_SECONDS:g} s") from error
        alert.rule.check_recipients(mail)
        return mail

    async def _send(
        self, server: SmtpService, rule: AlertRule, mail: Mail, recipients: list[str]
    ) -> tuple[Outcome, dict[str, str]]:
        """Send a mail to the recipients that the alert's limit allows.

        Returns:
            The outcome, and the recipients above the limit, each with the reason.
        """
        limit = self._limits.get(rule.name)
        if limit is None:
            return await server.send(mail, recipients), {}
        allowed = [address for address in recipients if limit.take(address)]
        reason = f"above max_per_hour: {limit.per_hour}"
        over_limit = {each: reason for each in recipients if each not in allowed}
        if over_limit and not allowed:
            return Outcome(), over_limit
        unsent = allowed
        try:
            outcome = await server.send(mail, allowed)
            unsent = [*outcome.refused, *outcome.deferred]
        finally:
            for address in unsent:
                limit.give_back(address)
        return outcome, over_limit

    async def _finish(self, alert: PendingAlert) -> None:
        """Keep a dead letter for refused recipients, then record that the alert is done."""
        refused = alert.progress.refused
        if refused:
            logger.warning("alert_refused", alert=alert.key, recipients=list(refused))
            await self._keep(alert, _joined(refused), list(refused))
        await self._record(alert)

    async def _keep(self, alert: PendingAlert, reason: str, recipients: list[str] | None) -> None:
        letter = DeadLetter.of(alert, reason, recipients, utc_now())
        await _store(lambda: self.dead_letters.keep(letter))

    async def _record(self, alert: PendingAlert) -> None:
        progress = msgspec.json.encode(alert.progress)
        await _store(lambda: self._sent.put(alert.key, progress))


async def _store(attempt: Callable[[], Awaitable[object]]) -> None:
    """Store what was done, over an outage of the broker: without it the mail is sent again.

    Raises:
        Unavailable: the outage is longer than `STORE_SECONDS`.
    """
    give_up = time.monotonic() + STORE_SECONDS
    while True:
        try:
            await attempt()
        except Unavailable as error:
            if time.monotonic() >= give_up:
                raise
            logger.warning("alert_not_recorded", reason=error.message)
            await asyncio.sleep(STORE_PAUSE_SECONDS)
        else:
            return


def _joined(reasons: Mapping[str, str]) -> str:
    return "; ".join(f"{address}: {reason}" for address, reason in reasons.items())
