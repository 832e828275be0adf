"""AlertWorker: takes each event of channels with alerts, and answers for the mail that it causes.

Done, and durable: acknowledged. Refused for good: a dead letter, acknowledged. Not now, or a bug:
delivered again after a delay that doubles, and a dead letter after the last attempt. Cancelled:
not answered, so that the event is delivered again.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import structlog

from eventhub.alerts.courier import Alert, Courier, utc_now
from eventhub.alerts.limits import Limit
from eventhub.alerts.mailer import Mailer
from eventhub.alerts.rule import rules_of, services_of
from eventhub.background import background
from eventhub.channel import Endpoint
from eventhub.config import Config
from eventhub.errors import EventHubError, Unavailable
from eventhub.event import Position
from eventhub.metrics import ALERTS
from eventhub.stream import ACK_WAIT_SECONDS, Delivery, EventStream, Log

logger = structlog.get_logger(__name__)

QUEUE = "alerts"
"""Name of the work queue on each channel: all alert workers share it."""
DIGEST_SECONDS = 30.0
"""Between two looks at whose hour is over."""
MAX_HELD = 256
"""Deliveries of a channel in memory; those that wait for a retry are the broker's to hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """When an alert that failed is tried again."""

    first_seconds: float = 1.0
    longest_seconds: float = 300.0
    """A server that is back waits no longer for what it missed."""
    attempts: int = 20
    """Over an hour: longer than a mail server's restart, or greylisting (RFC 5321 section
    4.5.4.1 asks for 30 minutes); short enough that somebody learns of it the same day."""

    def delay_seconds(self, attempt: int) -> float:
        """Return how long to wait after an attempt, the first being 1."""
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
            Misconfigured: naming endpoint and key, and of a template the line.
        """
        self._rules = rules_of(config, endpoints)
        self._mailer = Mailer(services_of(config))
        self._log = event_log
        channels = {rule.channel.name for rule in self._rules.values()}
        self._streams = [stream for name, stream in streams.items() if name in channels]
        self._policy = policy

    async def prepare(self) -> None:
        """Make the work queues: what is appended from now on is alerted, whoever runs."""
        for stream in self._streams:
            await stream.enlist(QUEUE)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until the event is set, then finish what was taken."""
        if not self._streams:
            await stop.wait()
            return
        limits = {name: Limit(rule.max_per_hour) for name, rule in self._rules.items()}
        async with (
            Courier.open(self._mailer, self._log, utc_now, limits) as courier,
            asyncio.TaskGroup() as group,
        ):
            group.create_task(self._send_digests(courier, stop), name="digests")
            for stream in self._streams:
                group.create_task(self._serve(stream, courier, stop), name=stream.channel.name)
            await stop.wait()

    async def _send_digests(self, courier: Courier, stop: asyncio.Event) -> None:
        while not stop.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(DIGEST_SECONDS):
                    await stop.wait()
                    return
            try:
                await courier.send_digests(self._rules)
            except Exception as error:  # noqa: BLE001 - its mails are dead letters as well
                logger.warning("alert_digest_failed", reason=str(error))

    async def _serve(self, stream: EventStream, courier: Courier, stop: asyncio.Event) -> None:
        """Handle deliveries side by side, so that none waits for a slow server of another."""
        held = asyncio.Semaphore(MAX_HELD)

        async def take(group: asyncio.TaskGroup) -> None:
            while True:
                await held.acquire()
                delivery = await anext(deliveries)
                task = group.create_task(self._handle(delivery, stream.epoch, courier))
                task.add_done_callback(lambda _: held.release())

        async with stream.work(QUEUE) as deliveries, asyncio.TaskGroup() as group:
            taking = group.create_task(take(group))
            await stop.wait()
            taking.cancel()

    async def _handle(self, delivery: Delivery, epoch: str, courier: Courier) -> None:
        """Own one delivery: nothing that happens to it may end another's."""
        event = delivery.stored.event
        rule = self._rules.get(event.endpoint)
        try:
            if rule is None:
                await delivery.ack()
                return
            alert = Alert(
                rule=rule,
                event=event,
                position=Position(epoch, delivery.stored.sequence),
                attempt=delivery.attempt,
            )
            async with _kept(delivery):
                await self._answer(delivery, alert, courier)
        except Exception as error:  # noqa: BLE001 - unanswered, so it is delivered again
            logger.warning("alert_unanswered", sequence=delivery.stored.sequence, reason=str(error))

    async def _answer(self, delivery: Delivery, alert: Alert, courier: Courier) -> None:
        try:
            await self._send(alert, courier)
        except Unavailable as error:
            await self._retry(delivery, alert, courier, error.message)
        except EventHubError as error:
            await courier.bury(alert, error.message)
            await delivery.ack()
        except Exception as error:
            logger.exception("alert_bug", alert=alert.key)
            await self._retry(delivery, alert, courier, f"{type(error).__name__}: {error}")
        else:
            await delivery.ack()

    async def _send(self, alert: Alert, courier: Courier) -> None:
        started = time.monotonic()
        if not await alert.rule.fires(alert.event):
            return
        await courier.load(alert)
        if alert.progress.is_done:
            return
        await courier.send(alert)
        duration_ms = round((time.monotonic() - started) * 1000)
        logger.info("alert_sent", alert=alert.key, attempt=alert.attempt, duration_ms=duration_ms)
        ALERTS.labels(alert.rule.name, "sent").inc()

    async def _retry(self, delivery: Delivery, alert: Alert, courier: Courier, reason: str) -> None:
        if alert.attempt >= self._policy.attempts:
            await courier.bury(alert, reason)
            await delivery.ack()
            return
        delay = self._policy.delay_seconds(alert.attempt)
        logger.warning(
            "alert_failed", alert=alert.key, attempt=alert.attempt, reason=reason, retry_s=delay
        )
        ALERTS.labels(alert.rule.name, "failed").inc()
        await delivery.retry(delay)


@asynccontextmanager
async def _kept(delivery: Delivery) -> AsyncIterator[None]:
    """Keep a delivery from others while it is worked on."""
    async with background() as owner:
        owner.start(_extend(delivery), name="extend")
        yield


async def _extend(delivery: Delivery) -> None:
    while True:
        await asyncio.sleep(ACK_WAIT_SECONDS / 3)
        try:
            await delivery.extend()
        except Unavailable as error:  # at worst it is delivered twice; the record knows
            logger.warning("alert_not_extended", reason=error.message)
