"""AlertWorker: takes each event of channels with alerts from the work queue, and sends its mail.

An event is acknowledged when its mail is sent and recorded, or kept as a dead letter because it is
refused permanently. After a temporary failure, or a bug, the event is delivered again after a
delay that doubles; after the last attempt its mail is a dead letter. If the worker is cancelled,
the event is not acknowledged, so that it is delivered again.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import structlog

from eventhub.alerts.limits import Limit
from eventhub.alerts.pending import PendingAlert
from eventhub.alerts.rule import rules_of, services_of
from eventhub.alerts.sender import Sender
from eventhub.alerts.smtp import SmtpServices
from eventhub.background import background
from eventhub.channel import Endpoint
from eventhub.config import Config
from eventhub.errors import EventHubError, Unavailable
from eventhub.event import Position
from eventhub.metrics import ALERTS
from eventhub.stream import ACK_WAIT_SECONDS, WORK_QUEUE, Delivery, EventStream, Log

logger = structlog.get_logger(__name__)

DIGEST_SECONDS = 30.0
"""Between two checks for digests that are due."""
MAX_HELD = 256
"""Deliveries of one channel in memory; the broker holds those that wait for a retry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """When an alert that failed is retried."""

    first_seconds: float = 1.0
    longest_seconds: float = 300.0
    """Once a server is back, it gets the mails that it missed within this time."""
    attempts: int = 20
    """They take over an hour: longer than the restart of a mail server, or greylisting (RFC 5321
    section 4.5.4.1 asks for 30 minutes); short enough to be noticed the same day."""

    def delay_seconds(self, attempt: int) -> float:
        """Return how long to wait after an attempt; the first is 1."""
        return min(self.longest_seconds, self.first_seconds * 2.0 ** (attempt - 1))


class AlertWorker:
    """Sends the alerts of a hub's endpoints."""

    def __init__(
        self,
        config: Config,
        endpoints: Iterable[Endpoint],
        event_log: Log,
        streams: Mapping[str, EventStream],
        *,
        policy: RetryPolicy = RetryPolicy(),
    ) -> None:
        """Compile all alerts.

        Raises:
            Misconfigured: names the endpoint and the key, and the line of a template.
        """
        self._rules = rules_of(config, endpoints)
        self._services = SmtpServices(services_of(config))
        self._log = event_log
        channels = {rule.channel.name for rule in self._rules.values()}
        self._streams = [stream for name, stream in streams.items() if name in channels]
        self._policy = policy

    async def prepare(self) -> None:
        """Create the work queues: events from now on are alerted, even if no worker runs yet."""
        for stream in self._streams:
            await stream.enlist(WORK_QUEUE)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then finish the deliveries in hand."""
        if not self._streams:
            await stop.wait()
            return
        limits = {name: Limit(rule.max_per_hour) for name, rule in self._rules.items()}
        async with (
            Sender.open(self._services, self._log, limits) as sender,
            asyncio.TaskGroup() as group,
        ):
            group.create_task(self._send_digests(sender, stop), name="digests")
            for stream in self._streams:
                group.create_task(self._serve(stream, sender, stop), name=stream.channel.name)
            await stop.wait()

    async def _send_digests(self, sender: Sender, stop: asyncio.Event) -> None:
        while not stop.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(DIGEST_SECONDS):
                    await stop.wait()
                    return
            try:
                await sender.send_digests(self._rules)
            except Exception as error:  # noqa: BLE001 - the mails are dead letters as well
                logger.warning("alert_digest_failed", reason=str(error))

    async def _serve(self, stream: EventStream, sender: Sender, stop: asyncio.Event) -> None:
        """Handle deliveries concurrently, so that a slow server delays only its own mails."""
        held = asyncio.Semaphore(MAX_HELD)

        async def take(group: asyncio.TaskGroup) -> None:
            while True:
                await held.acquire()
                delivery = await anext(deliveries)
                task = group.create_task(self._handle(delivery, stream.epoch, sender))
                task.add_done_callback(lambda _: held.release())

        async with stream.work(WORK_QUEUE) as deliveries, asyncio.TaskGroup() as group:
            taking = group.create_task(take(group))
            await stop.wait()
            taking.cancel()

    async def _handle(self, delivery: Delivery, epoch: str, sender: Sender) -> None:
        """Handle one delivery. No failure leaves this function: it would end the others."""
        event = delivery.stored.event
        rule = self._rules.get(event.endpoint)
        try:
            if rule is None:
                await delivery.ack()
                return
            alert = PendingAlert(
                rule=rule,
                event=event,
                position=Position(epoch, delivery.stored.sequence),
                attempt=delivery.attempt,
            )
            async with _extended(delivery):
                await self._answer(delivery, alert, sender)
        except Exception as error:  # noqa: BLE001 - not acknowledged, so it is delivered again
            logger.warning("alert_unanswered", sequence=delivery.stored.sequence, reason=str(error))

    async def _answer(self, delivery: Delivery, alert: PendingAlert, sender: Sender) -> None:
        try:
            await self._send(alert, sender)
        except Unavailable as error:
            await self._retry(delivery, alert, sender, error.message)
        except EventHubError as error:
            await sender.give_up(alert, error.message)
            await delivery.ack()
        except Exception as error:
            logger.exception("alert_bug", alert=alert.key)
            await self._retry(delivery, alert, sender, f"{type(error).__name__}: {error}")
        else:
            await delivery.ack()

    async def _send(self, alert: PendingAlert, sender: Sender) -> None:
        started = time.monotonic()
        if not await alert.rule.fires(alert.event):
            return
        await sender.load(alert)
        if alert.progress.is_done:
            return
        await sender.send(alert)
        duration_ms = round((time.monotonic() - started) * 1000)
        logger.info("alert_sent", alert=alert.key, attempt=alert.attempt, duration_ms=duration_ms)
        ALERTS.labels(alert.rule.name, "sent").inc()

    async def _retry(
        self, delivery: Delivery, alert: PendingAlert, sender: Sender, reason: str
    ) -> None:
        if alert.attempt >= self._policy.attempts:
            await sender.give_up(alert, reason)
            await delivery.ack()
            return
        delay = self._policy.delay_seconds(alert.attempt)
        logger.warning(
            "alert_failed", alert=alert.key, attempt=alert.attempt, reason=reason, retry_s=delay
        )
        ALERTS.labels(alert.rule.name, "failed").inc()
        await delivery.retry(delay)


@asynccontextmanager
async def _extended(delivery: Delivery) -> AsyncIterator[None]:
    """Keep a delivery from other workers for the length of the block."""
    async with background() as owner:
        owner.start(_extend(delivery), name="extend")
        yield


async def _extend(delivery: Delivery) -> None:
    while True:
        await asyncio.sleep(ACK_WAIT_SECONDS / 3)
        try:
            await delivery.extend()
        except Unavailable as error:  # at worst it is delivered twice, and the record says so
            logger.warning("alert_not_extended", reason=error.message)
