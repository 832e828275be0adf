"""WorkQueue: the deliveries of a durable consumer, shared by all who work under one name.

Delivery is at least once: the server stores acknowledgements lazily, so after a crash of the broker
within some 50 ms an event may be delivered again. One delivery is requested at a time, because one
that waits here unanswered would be delivered again, to another worker.
"""

from dataclasses import dataclass
from typing import Self

import msgspec
import structlog

from eventhub.channel import Channel, encode_token
from eventhub.event import StoredEvent
from eventhub.jetstream import api
from eventhub.jetstream.api import NANOSECONDS
from eventhub.jetstream.connection import Connection
from eventhub.jetstream.damage import read_or_report
from eventhub.jetstream.pull import Pull
from eventhub.jetstream.puller import Puller
from eventhub.jetstream.stream_state import state_in_epoch
from eventhub.stream import ACK_WAIT_SECONDS, Delivery

MAX_UNANSWERED = 10_000
"""Deliveries. Those that wait for a retry count: an outage of one mail server fills it."""
_WITHOUT_END = -1  # deliveries of one event: the worker decides when to give up

logger = structlog.get_logger(__name__)


@dataclass(slots=True)
class JetStreamDelivery:
    """A delivery; its answers are confirmed by the server.

    Raises:
        Unavailable: from each answer: the server did not confirm it; expect a redelivery.
    """

    stored: StoredEvent
    attempt: int
    _reply: str
    _connection: Connection

    async def ack(self) -> None:
        """Done: never deliver it again."""
        await self._connection.request(self._reply, b"+ACK")

    async def retry(self, delay_seconds: float) -> None:
        """Deliver it again, not before the delay; without one the server would do so at once."""
        delay = msgspec.json.encode({"delay": max(1, int(delay_seconds * NANOSECONDS))})
        await self._connection.request(self._reply, b"-NAK " + delay)

    async def extend(self) -> None:
        """Restart the time to answer."""
        await self._connection.request(self._reply, b"+WPI")


class WorkQueue:
    """An asynchronous iterator of deliveries. A cancelled `anext` loses nothing."""

    def __init__(self, connection: Connection, channel: Channel, epoch: str, worker: str) -> None:
        self._connection = connection
        self._channel = channel
        self._epoch = epoch
        self._worker = worker
        self._puller = Puller(connection, self._start, self._on_reset)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Delivery:
        while True:
            pull = await self._puller.ready()
            place, message = pull.messages.popleft()
            stored = read_or_report(StoredEvent.read, message, place.sequence, self._channel)
            if stored is not None:
                return JetStreamDelivery(stored, place.attempt, message.reply, self._connection)
            await self._connection.publish(message.reply, b"+TERM damaged")

    async def close(self) -> None:
        """Stop working."""
        await self._puller.close()

    async def _start(self) -> Pull:
        await enlist(self._connection, self._channel, self._worker)
        await state_in_epoch(self._connection, self._channel.stream, self._epoch)
        consumer = f"{self._channel.stream}.{encode_token(self._worker)}"
        pull = Pull(self._connection, consumer, count=1)
        return await pull.open()

    def _on_reset(self, reason: str) -> None:
        logger.info(
            "work_queue_reset", channel=self._channel.name, worker=self._worker, reason=reason
        )


async def enlist(connection: Connection, channel: Channel, worker: str) -> None:
    """Make the durable consumer of a worker; nothing changes if it exists."""
    name = encode_token(worker)
    config = {
        "durable_name": name,
        "name": name,
        "ack_policy": "explicit",
        "ack_wait": int(ACK_WAIT_SECONDS * NANOSECONDS),
        "deliver_policy": "new",
        "max_deliver": _WITHOUT_END,
        "max_ack_pending": MAX_UNANSWERED,
    }
    stream = channel.stream
    body = {"stream_name": stream, "config": config, "action": ""}
    await api.call(connection, f"CONSUMER.CREATE.{stream}.{name}", body)
