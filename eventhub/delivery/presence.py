"""Presence: tells the clients of an endpoint who is connected to it, at any gateway.

What changes is gathered for a moment: however often clients come and go, each endpoint says it to
the other processes, and to its clients, twice a second at most. A client whose socket is full is
left out, and gets the whole state once it has room.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Hashable
from secrets import token_hex
from typing import Any, Final, Protocol

import msgspec

from eventhub.channel import Channel
from eventhub.delivery.attendance import (
    NOBODY,
    Attendance,
    Attending,
    Present,
    Sight,
    change_frame,
    changed,
    state_frame,
)
from eventhub.errors import Unavailable
from eventhub.filters.conditions import Filter
from eventhub.logs import limited
from eventhub.signals import Signals

GATHER_SECONDS: Final = 0.5
"""For which changes are gathered."""
REPEAT_SECONDS: Final = 2.0
"""After which a process says again who is connected."""
RETRY_SECONDS: Final = 1.0
"""Between two attempts to listen, while the broker is away."""


class Watcher(Protocol):
    """A connection whose client is told who is connected."""

    @property
    def is_full(self) -> bool:
        """It takes no more for now."""

    def send(self, *frames: dict[str, Any]) -> None:
        """Write frames to this client alone."""


class Visitor:
    """One open reading, counted until it leaves."""

    def __init__(self, attendance: Attendance, user: str | None, socket: Hashable) -> None:
        self._attendance = attendance
        self._user = user
        self._socket = socket
        self._is_here = True
        attendance.enter(user, socket)

    def rename(self, user: str | None) -> None:
        """Count it for another user: its client has logged in."""
        if self._is_here:
            self._attendance.leave(self._user, self._socket)
            self._attendance.enter(user, self._socket)
            self._user = user

    def leave(self) -> None:
        """Count it no more; idempotent."""
        if self._is_here:
            self._is_here = False
            self._attendance.leave(self._user, self._socket)


class Presence:
    """Who is connected to one endpoint, and the clients that are told."""

    def __init__(self, columns: tuple[str, ...]) -> None:
        self.attendance = Attendance()
        self._columns = columns
        self._sights: dict[Hashable, Sight] = {}
        self._counts: Counter[Hashable] = Counter()
        """Watchers by what they see."""
        self._watchers: dict[Watcher, Hashable] = {}
        """With the key of what each sees."""
        self._behind: set[Watcher] = set()
        """They have missed something."""
        self._shown: Present = NOBODY
        """What the watchers know."""
        self.said: Present = NOBODY
        """What the other processes know."""
        self.said_at = 0.0

    def enter(self, user: str | None, socket: Hashable) -> Visitor:
        """Count an open reading of a user; None: without a login; see `Attendance.enter`."""
        return Visitor(self.attendance, user, socket)

    def watch(self, watcher: Watcher, sees: Filter) -> None:
        """Tell a client who is connected, as far as it may see, from now on.

        Args:
            watcher: its connection; it gets the present state at once.
            sees: the rows that it may see.
        """
        self._watchers[watcher] = sees.key
        self._counts[sees.key] += 1
        sight = self._sights.setdefault(sees.key, Sight(sees, self._columns))
        watcher.send(state_frame(sight.of(self._shown)))

    def unwatch(self, watcher: Watcher) -> None:
        """Tell a client no more; no error if it is not told."""
        if watcher not in self._watchers:
            return
        key = self._watchers.pop(watcher)
        self._behind.discard(watcher)
        self._counts[key] -= 1
        if not self._counts[key]:
            del self._counts[key], self._sights[key]

    async def show(self) -> None:
        """Tell the clients what has changed."""
        before, self._shown = self._shown, self.attendance.whole
        if self._shown == before and not self._behind:
            return
        old, new = changed(before, self._shown)
        frames: dict[Hashable, dict[str, Any] | None] = {}
        told = tuple(self._watchers.items())  # whoever comes meanwhile gets the new state
        for key, sight in tuple(self._sights.items()):
            frames[key] = change_frame(sight.of(old), sight.of(new))
            await asyncio.sleep(0)  # rules that name each user take time
        for watcher, key in told:
            if watcher in self._watchers:
                self._tell(watcher, key, frames[key])

    def _tell(self, watcher: Watcher, key: Hashable, change: dict[str, Any] | None) -> None:
        if watcher.is_full:
            self._behind.add(watcher)
        elif watcher in self._behind:
            self._behind.discard(watcher)
            watcher.send(state_frame(self._sights[key].of(self._shown)))
        elif change is not None:
            watcher.send(change)


class Presences:
    """Who is connected to the endpoints of one channel; says it to the other processes."""

    def __init__(
        self, channel: Channel, signals: Signals, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin with nobody.

        Args:
            channel: whose endpoints they are.
            signals: of all processes.
            clock: monotonic, in seconds.
        """
        self._channel = channel
        self._signals = signals
        self._clock = clock
        self._process = token_hex(8)
        self._of: dict[str, Presence] = {}
        """By name of the endpoint."""
        self._asks = True
        """The others have to be asked, and told."""

    def of(self, endpoint: str) -> Presence:
        """Return who is connected to an endpoint, by its name; from the first call on."""
        if endpoint not in self._of:
            self._of[endpoint] = Presence(self._channel.columns.names)
        return self._of[endpoint]

    async def run(self) -> None:
        """Say and show what changes, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen())
            while True:
                await asyncio.sleep(GATHER_SECONDS)
                await self.say()
                await self.show()

    async def show(self) -> None:
        """Tell the clients what has changed."""
        for presence in tuple(self._of.values()):
            presence.attendance.forget_silent(self._clock())
            await presence.show()

    async def say(self) -> None:
        """Say to the other processes what they do not know, and again what they may forget."""
        asks, self._asks = self._asks, False
        try:
            for endpoint, presence in tuple(self._of.items()):
                mine, now = presence.attendance.mine, self._clock()
                is_old = mine != NOBODY and now - presence.said_at >= REPEAT_SECONDS
                if mine != presence.said or is_old or asks:
                    attending = Attending(
                        process=self._process,
                        endpoint=endpoint,
                        users=dict(mine.users),
                        anonymous=mine.anonymous,
                        asks=asks,
                    )
                    signal = msgspec.json.encode(attending)
                    await self._signals.say(self._channel, "presence", signal)
                    presence.said, presence.said_at = mine, now
        except Unavailable as error:
            self._asks = asks
            limited.warning("signals_awaited", by=self._channel.name, reason=error.message)

    async def _listen(self) -> None:
        while True:
            try:
                async with self._signals.hear(self._channel, "presence", self.hear, self.ask):
                    self.ask()
                    await asyncio.get_running_loop().create_future()
            except Unavailable as error:
                limited.warning("signals_awaited", by=self._channel.name, reason=error.message)
                await asyncio.sleep(RETRY_SECONDS)

    def ask(self) -> None:
        """Ask the other processes next time, because signals may have been missed."""
        self._asks = True

    def hear(self, signals: list[bytes]) -> None:
        """Take what processes say, this one as well."""
        for signal in signals:
            try:
                said = msgspec.json.decode(signal, type=Attending)
            except (msgspec.DecodeError, UnicodeDecodeError):  # of a newer version
                limited.warning("signal_unreadable", by=self._channel.name)
                continue
            if said.process == self._process or said.endpoint not in self._of:
                continue
            presence = self._of[said.endpoint]
            present = Present(said.users, said.anonymous)
            presence.attendance.hear(said.process, present, self._clock())
            if said.asks:
                presence.said_at = 0.0  # it is said again with the next changes
