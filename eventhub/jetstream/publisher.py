"""Publisher: sends the writes of one stream, and passes on what the broker replies to each.

Every message that wants an acknowledgement has a reply subject of its own, below one inbox. A reply
that does not come is passed on as None: after `ACK_SECONDS`, or when the connection was lost.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count
from typing import Any

import msgspec

from eventhub.errors import Unavailable
from eventhub.jetstream.connection import Connection
from eventhub.jetstream.parser import Message
from eventhub.jetstream.subscription import Subscription
from eventhub.jetstream.write import Write
from eventhub.metrics import APPEND_SECONDS

ACK_SECONDS = 2.0
"""How long an acknowledgement is waited for; it usually takes 1 ms."""


class Ack(msgspec.Struct, frozen=True):
    """What the server answers to a publish (NATS ADR-6)."""

    seq: int = 0
    duplicate: bool = False
    error: dict[str, Any] | None = None

    @property
    def number(self) -> int:
        """The server's `err_code`; 0 if it stored the message."""
        return 0 if self.error is None else int(self.error.get("err_code", -1))

    @classmethod
    def read(cls, data: bytes) -> "Ack | None":
        """Return the acknowledgement in a reply; None if it is none."""
        try:
            return _DECODE(data) if data else None
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None


_DECODE = msgspec.json.Decoder(Ack).decode

OnAck = Callable[[Ack | None], None]
"""Called once with the reply to a message, or with None if none came; must not raise or wait."""


class Publisher:
    """Sends writes over a connection; one object for each stream."""

    def __init__(self, connection: Connection) -> None:
        self.newest = 0
        """Highest sequence that was acknowledged."""
        self._connection = connection
        self._inbox: Subscription | None = None
        self._replies = b""
        """What every reply subject begins with."""
        self._numbers = count()
        self._waiting: dict[bytes, tuple[OnAck, float]] = {}
        """By reply subject: the caller, and the deadline on the clock of the loop; oldest first."""
        self._timer: asyncio.TimerHandle | None = None
        """Of the deadlines; one for all, because hardly any passes."""
        self._loop = asyncio.get_running_loop()

    @property
    def is_ready(self) -> bool:
        """Tell whether the broker is connected, and its replies would be received."""
        return self._inbox is not None and self._connection.up.is_set()

    async def ready(self, deadline: float) -> bool:
        """Wait until `is_ready`; return False if that takes longer than the deadline.

        Args:
            deadline: on the clock of the loop.
        """
        if self.is_ready:
            return True
        with suppress(TimeoutError, Unavailable):
            async with asyncio.timeout_at(deadline):
                await self._connection.up.wait()
            if self._inbox is None:
                self._inbox = await self._connection.subscribe(
                    f"{self._connection.new_inbox()}.*", self._on_messages, self._on_reconnect
                )
                self._replies = self._inbox.subject[:-1].encode()
        return self.is_ready

    def expect(self, on_ack: OnAck) -> bytes:
        """Return a new reply subject; what comes there goes to `on_ack`. It is ready."""
        reply = b"%b%d" % (self._replies, next(self._numbers))
        deadline = self._loop.time() + ACK_SECONDS
        self._waiting[reply] = on_ack, deadline
        if self._timer is None:
            self._timer = self._loop.call_at(deadline, self._expire)
        return reply

    def send(self, writes: Sequence[Write], commands: bytes, replies: Sequence[bytes]) -> None:
        """Send writes; without a connection nothing is sent, and no reply is waited for.

        Args:
            writes: what is sent.
            commands: the writes in the client protocol, in this order.
            replies: the reply subjects in the commands, from `expect`.
        """
        try:
            self._connection.send(commands)
        except Unavailable:
            for reply in replies:
                self._pass_on(reply, None)
            return
        now = self._loop.time()
        for write in writes:
            write.note_sent(now)

    def note_stored(self, sequence: int) -> None:
        """Raise `newest`; before the writer of that event learns that it is stored."""
        self.newest = max(self.newest, sequence)

    def _on_messages(self, messages: list[Message]) -> None:
        for message in messages:
            self._pass_on(message.raw_subject, Ack.read(message.data))

    def _on_reconnect(self) -> None:
        for reply in tuple(self._waiting):
            self._pass_on(reply, None)

    def _expire(self) -> None:
        """Give up the replies whose deadline has passed, and wait for the next one."""
        now = self._loop.time()
        late = [reply for reply, (_, deadline) in self._waiting.items() if deadline <= now]
        for reply in late:
            self._pass_on(reply, None)
        self._timer = None
        for _, deadline in self._waiting.values():
            self._timer = self._loop.call_at(deadline, self._expire)
            break

    def _pass_on(self, reply: bytes, ack: Ack | None) -> None:
        """Hand a reply to its caller; a second one, or one that is too late, is dropped."""
        waiting = self._waiting.pop(reply, None)
        if waiting is None:
            return
        on_ack, deadline = waiting
        if ack is not None and ack.error is None:
            self.note_stored(ack.seq)
            APPEND_SECONDS.observe(self._loop.time() - deadline + ACK_SECONDS)
        on_ack(ack)
