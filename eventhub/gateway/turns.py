"""Turns: how much of the loop a connection has before the others are looked at.

One loop serves every client, and a transport hands over megabytes at once. So what a connection
sends is worked off in slices of a millisecond, one connection after the other, and no longer than a
turn before the loop looks at its sockets again. While a connection waits, it is not read from.

Work that leads to nothing (refusals, pings, crumbs of frames) is a debt: beyond an allowance, who
makes others work for nothing waits until it is a small share of the time, of all such clients
together too.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final

SLICE_SECONDS: Final = 0.001
"""Of one connection, while others wait."""
ALONE_SECONDS: Final = 0.004
"""Of one connection, while nobody else is known to wait."""
TURN_SECONDS: Final = 0.02
"""Of all connections, before the loop looks at its sockets: a message of each of some hundred."""
NEWCOMERS: Final = 8
"""Who has not worked lately goes first, but so often only while others wait."""
ALLOWANCE_SECONDS: Final = 0.02
"""Of work for nothing that a connection may owe, and is read from all the same."""
ALLOWANCE_OF_ALL_SECONDS: Final = 0.1
"""That all together may owe; beyond, each is allowed less."""
SHARE: Final = 0.05
"""Of the time that work for nothing may take: of one connection in debt."""
SHARE_OF_ALL: Final = 0.1
"""Of all that are in debt together."""
MOST_SECONDS: Final = 30.0
"""That a connection waits because of its debt, and that of others."""

IsOver = Callable[[], bool]
"""Tells whether a slice is over; whoever works asks before each small piece of work."""
Work = Callable[[IsOver], bool]
"""Works until the slice is over, nothing is left or nothing can be done for now.

Returns whether there is more that could be done at once. It must not raise or wait.
"""


class Place:
    """A connection's place among all that want to work."""

    __slots__ = (
        "_allowed",
        "_debt",
        "_owed",
        "_round",
        "_since",
        "_timer",
        "_turns",
        "_work",
        "is_waiting",
    )

    def __init__(self, turns: "Turns", work: Work) -> None:
        self._turns = turns
        self._work: Work | None = work
        self._allowed = ALLOWANCE_SECONDS
        self._debt = 0.0
        self._owed = 0.0
        self._since = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._round = -2
        self.is_waiting = False
        """It is about to have its turn."""

    @property
    def is_held(self) -> bool:
        """It has made others work for nothing, and has to wait; `enter` has no effect."""
        return self._timer is not None

    def enter(self) -> None:
        """Have it work: at once if nobody waits, else in its turn."""
        if self._work is not None and not self.is_waiting and self._timer is None:
            self._turns.enter(self)

    def waste(self, seconds: float) -> None:
        """Note work that led to nothing."""
        turns, now = self._turns, self._turns.clock()
        is_much = turns.owe(seconds)
        if not is_much:  # else a crowd could owe much, and each of it little
            self._debt = max(0.0, self._debt - SHARE * (now - self._since))
        self._debt += seconds
        self._since = now
        self._allowed = ALLOWANCE_SECONDS * (SHARE_OF_ALL if is_much else 1)
        self._hold()

    def _hold(self) -> None:
        if self._debt > self._allowed and self._timer is None and self._work is not None:
            self._owed = self._debt - self._allowed / 2
            pause = self._turns.pause_for(self._owed)
            self._timer = self._turns.loop.call_later(pause, self._release)

    def leave(self) -> None:
        """Work no more; idempotent."""
        self._work = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _release(self) -> None:
        self._timer = None
        self._debt = max(0.0, self._debt - self._owed)  # more may have come meanwhile
        self._since = self._turns.clock()
        self._hold()
        self.enter()

    # --- For `Turns` ------------------------------------------------------------------------------

    def is_new_to(self, number: int) -> bool:
        """Tell whether it has not worked in a round, or the one before."""
        return self._round < number - 1

    def work(self, number: int, deadline: float) -> bool:
        """Work for a slice; tell whether there is more to do."""
        self._round = number
        clock = self._turns.clock

        def is_over() -> bool:
            return clock() >= deadline or self._timer is not None

        return self._work is not None and self._work(is_over) and self._timer is None


class Turns:
    """The connections of one loop that want to work."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.loop = loop or asyncio.get_running_loop()
        self.clock = clock
        self._owed = 0.0
        """Work for nothing that all made lately."""
        self._since = 0.0
        self._paid = 0.0
        """When the debts of all are paid."""
        self._new: deque[Place] = deque()
        self._others: deque[Place] = deque()
        self._newcomers = 0
        self._round = 0
        self._ends = 0.0
        """When this turn of the loop has no more time for connections."""
        self._is_called = False

    def place(self, work: Work) -> Place:
        """Return a place for a connection; it is its own to `leave`."""
        return Place(self, work)

    def enter(self, place: Place) -> None:
        """See `Place.enter`."""
        self._call()
        now = self.clock()
        has_time = now < self._ends and not (self._new or self._others)
        if not has_time or place.work(self._round, now + ALONE_SECONDS):
            self._queue(place)

    def owe(self, seconds: float) -> bool:
        """Note work for nothing, of any; tell whether all together make too much of it."""
        now = self.clock()
        self._owed = max(0.0, self._owed - SHARE_OF_ALL * (now - self._since)) + seconds
        self._since = now
        return self._owed > ALLOWANCE_OF_ALL_SECONDS

    def pause_for(self, debt: float) -> float:
        """Return how long a connection has to wait with a debt, behind others who have some."""
        now = self.clock()
        self._paid = max(self._paid, now) + debt / SHARE_OF_ALL
        return min(max(debt / SHARE, self._paid - now), MOST_SECONDS)

    def _queue(self, place: Place) -> None:
        place.is_waiting = True
        (self._new if place.is_new_to(self._round) else self._others).append(place)

    def _call(self) -> None:
        """Have a next turn; this one begins with the first who has something to do."""
        if not self._is_called:
            self._is_called = True
            self._ends = self.clock() + TURN_SECONDS
            self.loop.call_soon(self._next)

    def _next(self) -> None:
        self._is_called = False
        self._round += 1
        if not (self._new or self._others):
            return
        self._call()
        while (self._new or self._others) and (now := self.clock()) < self._ends:
            place = self._first()
            is_alone = not (self._new or self._others)
            place.is_waiting = False
            if place.work(self._round, now + (ALONE_SECONDS if is_alone else SLICE_SECONDS)):
                place.is_waiting = True
                self._others.append(place)

    def _first(self) -> Place:
        """Return who is next: newcomers first, but others are not forgotten."""
        if self._new and (self._newcomers < NEWCOMERS or not self._others):
            self._newcomers += 1
            return self._new.popleft()
        self._newcomers = 0
        return self._others.popleft()
