"""Run: consecutive messages of one array that are being stored, and their outcomes in order."""

import asyncio
from collections.abc import Callable
from functools import partial

from eventhub.errors import EventHubError, Unavailable
from eventhub.ingest.receipts import Receipt
from eventhub.ingest.sending import Sent
from eventhub.ingest.settling import Unsettled

Outcome = Receipt | Sent | EventHubError
"""The end of a message: its receipt, that it was sent, or why it was refused."""
OnSubmitted = Callable[[Outcome | Unsettled, int], None]
"""Called once with what the log answered to a message, and the bytes of the event that was stored,
0 if none was; must not raise or wait."""
OnStored = Callable[[int, int], None]
"""Called with the number of events that were stored, and their bytes; must not raise or wait."""


class Run:
    """Collects outcomes, which come in any order.

    What is done once for a run need not be done for each message: a future that waits for it, and
    the count of what was stored, would be a tenth of the cost of a message each.

    Args:
        on_stored: called each time when nothing is missing any more, with what was stored since.
    """

    __slots__ = ("_bytes", "_complete", "_missing", "_on_stored", "_outcomes", "_stored")

    def __init__(self, on_stored: OnStored) -> None:
        self._on_stored = on_stored
        self._stored = self._bytes = 0
        self._outcomes: list[Outcome | Unsettled | None] = []
        self._missing = 0
        self._complete: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._outcomes)

    def expect(self) -> OnSubmitted:
        """Make a place for the outcome of the next message; return what fills it."""
        self._missing += 1
        self._outcomes.append(None)
        return partial(self._fill, len(self._outcomes) - 1)

    def add(self, outcome: Outcome) -> None:
        """Take the outcome of the next message, which is known already."""
        self._outcomes.append(outcome)

    def withdraw(self) -> None:
        """Remove the newest place, which is empty."""
        self._missing -= 1
        self._outcomes.pop()

    @property
    def is_refused(self) -> bool:
        """Whether the newest message was refused already, and may not be sent again unchanged."""
        outcome = self._outcomes[-1]
        return isinstance(outcome, EventHubError) and not isinstance(outcome, Unavailable)

    async def outcomes(self) -> list[Outcome | Unsettled]:
        """Wait until there is an outcome of each message, and return them in order."""
        if self._missing:
            self._complete = asyncio.get_running_loop().create_future()
            await self._complete
        return [each for each in self._outcomes if each is not None]

    def _fill(self, place: int, outcome: Outcome | Unsettled, size: int) -> None:
        self._outcomes[place] = outcome
        self._missing -= 1
        if size:
            self._stored += 1
            self._bytes += size
        if not self._missing:
            self._report()

    def _report(self) -> None:
        if self._stored:
            self._on_stored(self._stored, self._bytes)
            self._stored = self._bytes = 0
        if self._complete is not None and not self._complete.done():
            self._complete.set_result(None)
