"""Sends: messages that are not stored, on their way from the broker to the subscribers.

They are handed out in turns, one of each sender, so that a flood of one delays no other. What a
sender has waiting is bounded: of more, the oldest is dropped. A subscriber that is behind gets
none until it has caught up; nothing waits for it.
"""

import asyncio
import time
from collections import OrderedDict, deque
from typing import Final, NamedTuple

import msgspec

from eventhub import metrics
from eventhub.channel import Channel
from eventhub.delivery.fanout import Fanout
from eventhub.delivery.send import Send
from eventhub.errors import Unavailable
from eventhub.feed import PAUSE_SECONDS, TURN_BYTES, TURN_EVENTS
from eventhub.ingest.sending import Passing
from eventhub.logs import limited
from eventhub.signals import Signals

MAX_WAITING: Final = 256
"""Messages of one sender that wait; it is more than people type, or move a cursor, in a second."""
MAX_WAITING_BYTES: Final = 8 << 20
"""Of all senders. Beyond it, those of the sender who has the most are dropped."""
RETRY_SECONDS: Final = 1.0
"""Between two attempts to listen, while the broker is away."""


class Waiting(NamedTuple):
    """A message that waits for its turn."""

    passing: Passing
    size: int
    """Bytes."""


class FairQueue:
    """The messages that wait, by sender; pure."""

    def __init__(self) -> None:
        self._of: OrderedDict[str, deque[Waiting]] = OrderedDict()
        self._sizes: dict[str, int] = {}
        """Bytes by sender."""
        self._size = 0

    def __bool__(self) -> bool:
        return bool(self._of)

    def put(self, passing: Passing, size: int) -> int:
        """Add a message; return how many were dropped for it."""
        mine = self._of.setdefault(passing.client, deque())
        mine.append(Waiting(passing, size))
        self._count(passing.client, size)
        dropped = 0
        if len(mine) > MAX_WAITING:
            self._count(passing.client, -mine.popleft().size)
            dropped = 1
        while self._size > MAX_WAITING_BYTES:
            most = max(self._sizes, key=self._sizes.__getitem__)
            dropped += len(self._of.pop(most))
            self._size -= self._sizes.pop(most)
        return dropped

    def turn(self) -> list[Passing]:
        """Take the messages of one turn: those of each sender in order, of all senders by turns."""
        taken: list[Passing] = []
        size = 0
        while self._of and len(taken) < TURN_EVENTS and size < TURN_BYTES:
            client, mine = self._of.popitem(last=False)
            first = mine.popleft()
            taken.append(first.passing)
            size += first.size
            self._count(client, -first.size)
            if mine:
                self._of[client] = mine
        return taken

    def _count(self, client: str, size: int) -> None:
        self._size += size
        left = self._sizes[client] = self._sizes.get(client, 0) + size
        if not left:
            del self._sizes[client]


class Sends:
    """The messages of one channel that are not stored, of all processes."""

    def __init__(self, channel: Channel, signals: Signals, fanout: Fanout) -> None:
        self._channel = channel
        self._signals = signals
        self._fanout = fanout
        self._waiting = FairQueue()
        self._has_some = asyncio.Event()
        self._lost = metrics.SENT_LOST.labels(channel.name)
        self.is_heard = False
        """Messages reach this process."""

    async def run(self) -> None:
        """Hand out what is sent, until cancelled."""
        while True:
            try:
                async with self._signals.hear(self._channel, "sent", self._take, _nothing):
                    self.is_heard = True
                    await self._hand_out()
            except Unavailable as error:
                limited.warning("signals_awaited", by=self._channel.name, reason=error.message)
                await asyncio.sleep(RETRY_SECONDS)
            finally:
                self.is_heard = False

    def _take(self, signals: list[bytes]) -> None:
        for signal in signals:
            try:
                passing = msgspec.json.decode(signal, type=Passing)
            except (msgspec.DecodeError, UnicodeDecodeError):  # of a newer version
                limited.warning("signal_unreadable", by=self._channel.name)
                continue
            if dropped := self._waiting.put(passing, len(signal)):
                self._lost.inc(dropped)
        self._has_some.set()

    async def _hand_out(self) -> None:
        """Hand out turn after turn; everything else gets as much time as these take."""
        while True:
            await self._has_some.wait()
            began = time.perf_counter()
            self._send([self._pass(each) for each in self._waiting.turn()])
            if not self._waiting:
                self._has_some.clear()
            await asyncio.sleep(0)  # the sockets are written to at the end of a turn of the loop
            await asyncio.sleep(min(time.perf_counter() - began, PAUSE_SECONDS))

    def _send(self, batch: list[Send]) -> None:
        """Write messages; one that no filter understands is left out, and reported."""
        try:
            self._fanout.send(batch)
        except Exception:  # of a process of another version; nothing was written yet
            if len(batch) > 1:
                for each in batch:
                    self._send([each])
            else:
                limited.exception("send_failed", by=self._channel.name)

    def _pass(self, passing: Passing) -> Send:
        columns = self._channel.columns
        values = passing.message
        row = {name: values.get(name) for name in columns.names}
        if passing.columns != columns.signature:
            row = columns.lift(row)
        return Send(row, passing.outgoing)


def _nothing() -> None:
    """Do nothing: what was missed is not said again."""
