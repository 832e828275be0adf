"""Pull: the messages of one pull consumer, a bounded number ahead, or a doubt.

nats-py's own subscriptions are not used: they lose events when they overflow, and stay silent when
the server forgets them. Here every sign that something may be missing ends the pull with a `Doubt`,
and the caller starts again at its position. That is the whole recovery.

A pull request ends when it is filled, or with a status that says how many of its messages will not
come. So the number that is still under way is always known (NATS ADR-13).
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from math import inf
from typing import Self

import msgspec

from eventhub.errors import Unavailable
from eventhub.jetstream.api import NANOSECONDS
from eventhub.jetstream.connection import Connection
from eventhub.jetstream.parser import Message
from eventhub.jetstream.subscription import Subscription
from eventhub.stream import MAX_PAYLOAD

HEARTBEAT_SECONDS = 0.5
EXPIRES_SECONDS = 30.0
"""How long the server keeps one pull request; then it is renewed."""
RESTING_HEARTBEAT_SECONDS = 20.0
RESTING_EXPIRES_SECONDS = 60.0
"""For a pull that rests: it got nothing during its last request, and is not the sentinel."""
HEARTBEATS_OF_SILENCE = 3
"""Two heartbeats are lost, and the third is late."""
SILENCE_SECONDS = HEARTBEATS_OF_SILENCE * HEARTBEAT_SECONDS
MAX_BYTES = MAX_PAYLOAD + (1 << 20)
"""Of one request: a message that is larger than that would block it forever."""


class Doubt(Exception):  # noqa: N818 - it is not an error: the puller starts again
    """Something may be missing, or the consumer is gone."""


class Place(msgspec.Struct, gc=False):
    """Place of a message in its stream and in the deliveries of its consumer."""

    attempt: int
    sequence: int
    delivery: int
    """Counts the consumer's deliveries, from 1."""

    @classmethod
    def read(cls, reply: bytes) -> "Place":
        """Read a place from a reply subject (NATS ADR-15)."""
        tokens = reply.split(b".")
        first = 4 if len(tokens) == 9 else 6  # the longer form names domain and account
        return cls(int(tokens[first]), int(tokens[first + 1]), int(tokens[first + 2]))


class Pull:
    """Pulls from one consumer until something is in doubt.

    Args:
        connection: to the servers.
        consumer: `<stream>.<consumer>`.
        count: messages that may be under way or wait.
        overdue: tells whether a message should have come by now. It is given if no other process
            pulls from the consumer: then deliveries are counted, and `close` deletes the consumer.
            Without it, `close` gives back the messages that were not taken.
        rests_with: the server that serves the consumer; the pull rests while nothing comes. None:
            it never does.
        is_busy: messages wait already, so that it does not begin by resting.
    """

    def __init__(
        self,
        connection: Connection,
        consumer: str,
        *,
        count: int,
        overdue: Callable[[], bool] | None = None,
        rests_with: str | None = None,
        is_busy: bool = True,
    ) -> None:
        self.messages: deque[tuple[Place, Message]] = deque()
        """Received and not yet taken, in order."""
        self._connection = connection
        self._consumer = consumer
        self._count = count
        self._overdue = overdue
        self._rests_with = rests_with
        self._is_busy = is_busy
        """A message has come since the last request."""
        self._heartbeat = HEARTBEAT_SECONDS
        self._under_way = 0
        self._delivered = 0
        self._doubt = ""
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self.heard_at = self._loop.time()
        """When the last message came, on the clock of the loop; before the first: when it began."""
        self._silent_at = inf
        """When nothing will have come for too long, on the clock of the loop; inf: no one waits."""
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._subscription: Subscription | None = None

    async def open(self) -> Self:
        """Listen for messages; `wait` asks for them."""
        inbox = self._connection.new_inbox()
        self._subscription = await self._connection.subscribe(
            inbox, self._on_messages, lambda: self.suspect("reconnected")
        )
        if self._rests_with is not None:
            self._connection.sentinels.join(self._rests_with, self)
        return self

    async def close(self) -> None:
        """Stop listening. What the connection does not allow now, the server's limits do later."""
        if self._timer is not None:
            self._timer.cancel()
        if self._rests_with is not None:
            self._connection.sentinels.leave(self._rests_with, self)
        if self._subscription is not None:
            await self._connection.unsubscribe(self._subscription, drain=self._overdue is None)
        with suppress(Unavailable):
            if self._overdue is not None:
                subject = f"{self._connection.api}.CONSUMER.DELETE.{self._consumer}"
                await self._connection.publish(subject, b"")
                return
            for _, message in self.messages:
                await self._connection.publish(message.reply, b"-NAK")

    async def wait(self) -> None:
        """Wait until `messages` holds at least one.

        Raises:
            Doubt: something may be missing; the messages before that were taken.
        """
        await self._ask_for_more()
        while not self.messages:
            if self._doubt:
                raise Doubt(self._doubt)
            self._changed.clear()
            self._expect_a_sign()
            try:
                await self._changed.wait()
            finally:
                self._silent_at = inf
            await self._ask_for_more()

    def _expect_a_sign(self) -> None:
        """Suspect something if nothing comes for some heartbeats.

        The timer runs on from one message to the next: to stop and start it costs more than most
        messages do otherwise.
        """
        self._silent_at = self._loop.time() + HEARTBEATS_OF_SILENCE * self._heartbeat
        if self._timer is not None and self._timer_at > self._silent_at:  # it rested until now
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._start_timer()

    def _start_timer(self) -> None:
        self._timer_at = self._silent_at
        self._timer = self._loop.call_at(self._timer_at, self._check_silence)

    def _check_silence(self) -> None:
        self._timer = None
        if self._loop.time() >= self._silent_at:
            self.suspect("silence")
            if self._is_sentinel:
                self._connection.sentinels.on_silence(self._rests_with or "")
        elif self._silent_at < inf:
            self._start_timer()

    @property
    def _is_sentinel(self) -> bool:
        server = self._rests_with
        return server is not None and self._connection.sentinels.is_sentinel(server, self)

    async def _ask_for_more(self) -> None:
        wanted = self._count - self._under_way - len(self.messages)
        if self._doubt or self._subscription is None or wanted * 2 < self._count:
            return
        rests = not (self._is_busy or self._rests_with is None or self._is_sentinel)
        if rests and self._under_way:  # what was asked for last ends first
            return
        self._is_busy, expires, self._heartbeat = False, EXPIRES_SECONDS, HEARTBEAT_SECONDS
        if rests:
            # A single message, so that the next request, with many heartbeats, is the only one.
            wanted, expires, self._heartbeat = 1, RESTING_EXPIRES_SECONDS, RESTING_HEARTBEAT_SECONDS
        request = {
            "batch": wanted,
            "max_bytes": MAX_BYTES,
            "expires": int(expires * NANOSECONDS),
            "idle_heartbeat": int(self._heartbeat * NANOSECONDS),
        }
        self._under_way += wanted
        try:
            await self._connection.publish(
                f"{self._connection.api}.CONSUMER.MSG.NEXT.{self._consumer}",
                msgspec.json.encode(request),
                reply=self._subscription.subject,
            )
        except Unavailable as error:
            self.suspect(error.message)

    def _on_messages(self, messages: list[Message]) -> None:
        self.heard_at = self._loop.time()
        for message in messages:
            if self._doubt:  # after a gap no message may be taken
                break
            if (reply := message.raw_reply).startswith(b"$JS.ACK."):
                self._on_event(Place.read(reply), message)
            elif (headers := message.headers) is not None:
                self._on_status(headers)
        self._changed.set()

    def _on_event(self, place: Place, message: Message) -> None:
        self._under_way -= 1
        self._is_busy = True
        if self._overdue is not None and place.delivery != self._delivered + 1:
            self.suspect(f"delivery {place.delivery} after {self._delivered}")
            return
        self._delivered = place.delivery
        self.messages.append((place, message))

    def _on_status(self, headers: dict[str, str]) -> None:
        status = headers.get("Status", "")
        description = headers.get("Description", "")
        missing = headers.get("Nats-Pending-Messages")
        if status == "100":
            self._check_heartbeat(headers.get("Nats-Last-Consumer"))
        elif status == "408" or "MaxBytes" in description or description == "Batch Completed":
            self._under_way -= int(missing or 0)
        else:
            self.suspect(f"{status} {description}")

    def _check_heartbeat(self, last: str | None) -> None:
        if self._overdue is None or last is None:
            return
        if int(last) != self._delivered:
            self.suspect(f"heartbeat at delivery {last} after {self._delivered}")
        elif not self.messages and self._overdue():
            self.suspect("an acknowledged event does not come")
        if self._is_sentinel:
            self._connection.sentinels.on_heartbeat(self._rests_with or "")

    def rouse(self, *, if_overdue: bool) -> None:
        """Stop resting, and ask for many heartbeats.

        Args:
            if_overdue: only if a message should have come by now.
        """
        if if_overdue and not (self._is_resting and self._overdue is not None and self._overdue()):
            return
        self._is_busy = True
        self._changed.set()

    @property
    def _is_resting(self) -> bool:
        return self._heartbeat > HEARTBEAT_SECONDS

    def suspect(self, reason: str) -> None:
        """Note that something may be missing."""
        self._doubt = self._doubt or reason
        self._changed.set()
