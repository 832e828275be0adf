"""Turns: how long one connection may use the event loop before the others get their turn.

One loop serves every client, and a transport hands over megabytes at once. So what a connection
sends is handled in slices of a millisecond, one connection after the other, and after some
milliseconds the loop looks at its sockets again. While a connection waits, it is not read from.

Work that leads to nothing (refusals, pings, fragments of frames) is charged to its connection as a
debt. A connection whose debt exceeds an allowance is paused, so that such work stays a small share
of the time, of each connection and of all together (ADR-41).
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final

SLICE_SECONDS: Final = 0.001
"""For one connection, while others wait."""
ALONE_SECONDS: Final = 0.004
"""For one connection, while no other is known to wait."""
ROUND_SECONDS: Final = 0.02
"""For all connections, before the loop looks at its sockets: a message each of some hundred."""
NEWCOMERS: Final = 8
"""Connections that have not worked lately go first, but at most this many in a row."""
ALLOWANCE_SECONDS: Final = 0.02
"""Debt that a connection may have without being paused."""
ALLOWANCE_OF_ALL_SECONDS: Final = 0.1
"""Debt that all connections together may have; beyond it, each is allowed less."""
SHARE: Final = 0.05
"""Of the time, for the charged work of one connection in debt."""
SHARE_OF_ALL: Final = 0.1
"""Of the time, for the charged work of all connections in debt."""
MAX_PAUSE_SECONDS: Final = 30.0

IsOver = Callable[[], bool]
"""Returns whether a slice is over; work asks after each small piece."""
Work = Callable[[IsOver], bool]
"""Works until the slice is over, nothing is left or nothing can be done for now.

Returns whether there is more that could be done at once. It must not raise or wait. While the
connection is paused, it is not called.
"""


class Turn:
    """One connection's turn to work, again and again."""

    __slots__ = (
        "_allowance",
        "_charged_at",
        "_debt",
        "_paid_by_pause",
        "_round",
        "_timer",
        "_turns",
        "_work",
        "is_waiting",
    )

    def __init__(self, turns: "Turns", work: Work) -> None:
        self._turns = turns
        self._work: Work | None = work
        self._allowance = ALLOWANCE_SECONDS
        self._debt = 0.0
        self._charged_at = 0.0
        self._paid_by_pause = 0.0
        """The part of the debt that the current pause pays."""
        self._timer: asyncio.TimerHandle | None = None
        """Ends the current pause."""
        self._round = -2
        self.is_waiting = False
        """The work is queued."""

    @property
    def is_paused(self) -> bool:
        """The connection has to wait because of its debt; until then `request` has no effect."""
        return self._timer is not None

    def request(self) -> None:
        """Work now if no other connection waits, otherwise when it is this one's turn."""
        if self._work is not None and not self.is_waiting and self._timer is None:
            self._turns.request(self)

    def charge(self, seconds: float) -> None:
        """Charge work that led to nothing."""
        turns, now = self._turns, self._turns.clock()
        is_much = turns.charge(seconds)
        if not is_much:  # otherwise many clients could have large debts with little from each
            self._debt = max(0.0, self._debt - SHARE * (now - self._charged_at))
        self._debt += seconds
        self._charged_at = now
        self._allowance = ALLOWANCE_SECONDS * (SHARE_OF_ALL if is_much else 1)
        self._pause()

    def _pause(self) -> None:
        if self._debt > self._allowance and self._timer is None and self._work is not None:
            self._paid_by_pause = self._debt - self._allowance / 2
            pause = self._turns.pause_for(self._paid_by_pause)
            self._timer = self._turns.loop.call_later(pause, self._resume)

    def end(self) -> None:
        """Work no more; idempotent."""
        self._work = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _resume(self) -> None:
        self._timer = None
        self._debt = max(0.0, self._debt - self._paid_by_pause)  # more may have been charged
        self._charged_at = self._turns.clock()
        self._pause()
        self.request()

    # --- Called by `Turns` ------------------------------------------------------------------------

    def is_new_to(self, number: int) -> bool:
        """Return whether it has worked neither in a round nor in the one before."""
        return self._round < number - 1

    def work(self, number: int, deadline: float) -> bool:
        """Work for a slice of a round; return whether there is more to do."""
        self._round = number
        clock = self._turns.clock

        def is_over() -> bool:
            return clock() >= deadline or self._timer is not None

        if self._work is None or self._timer is not None:
            return False
        return self._work(is_over) and self._timer is None


class Turns:
    """The connections of one event loop that have work to do."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.loop = loop or asyncio.get_running_loop()
        self.clock = clock
        self._debt = 0.0
        """Charged to all connections, less what has been paid since."""
        self._charged_at = 0.0
        self._paid_at = 0.0
        """When the pauses that were given out have paid all debts."""
        self._new: deque[Turn] = deque()
        self._others: deque[Turn] = deque()
        self._newcomers = 0
        """Of `_new` that went first since one of `_others` did."""
        self._round = 0
        self._ends = 0.0
        """When this round has no more time."""
        self._is_called = False

    def turn(self, work: Work) -> Turn:
        """Return a connection's turn; the connection ends it."""
        return Turn(self, work)

    def request(self, turn: Turn) -> None:
        """See `Turn.request`."""
        if not self._is_called:
            self._call()
        now = self.clock()
        has_time = now < self._ends and not (self._new or self._others)
        if not has_time or turn.work(self._round, now + ALONE_SECONDS):
            turn.is_waiting = True
            (self._new if turn.is_new_to(self._round) else self._others).append(turn)

    def charge(self, seconds: float) -> bool:
        """Charge work of any connection; return whether all together cause too much of it."""
        now = self.clock()
        self._debt = max(0.0, self._debt - SHARE_OF_ALL * (now - self._charged_at)) + seconds
        self._charged_at = now
        return self._debt > ALLOWANCE_OF_ALL_SECONDS

    def pause_for(self, debt: float) -> float:
        """Return how long a connection waits for its debt, after others that are in debt."""
        now = self.clock()
        self._paid_at = max(self._paid_at, now) + debt / SHARE_OF_ALL
        return min(max(debt / SHARE, self._paid_at - now), MAX_PAUSE_SECONDS)

    def _call(self) -> None:
        """Start a round: it begins with the first that has work to do."""
        self._is_called = True
        self._ends = self.clock() + ROUND_SECONDS
        self.loop.call_soon(self._next)

    def _next(self) -> None:
        self._is_called = False
        self._round += 1
        if not (self._new or self._others):
            return
        self._call()
        while (self._new or self._others) and (now := self.clock()) < self._ends:
            turn = self._first()
            is_alone = not (self._new or self._others)
            turn.is_waiting = False
            if turn.work(self._round, now + (ALONE_SECONDS if is_alone else SLICE_SECONDS)):
                turn.is_waiting = True
                self._others.append(turn)

    def _first(self) -> Turn:
        """Return whose turn it is: newcomers go first, but the others do not starve."""
        if self._new and (self._newcomers < NEWCOMERS or not self._others):
            self._newcomers += 1
            return self._new.popleft()
        self._newcomers = 0
        return self._others.popleft()
