"""Head: where a log ends, asked once for all who ask at the same time."""

import asyncio

from eventhub.errors import EventHubError
from eventhub.stream import Bounds, EventStream


class Head:
    """The end of one channel's log.

    Nobody is told what was asked before it came, so each answer has every write that was
    acknowledged before, by whatever process. Whoever comes while the log is being asked waits for
    the next question, with all others who do: however many come, two questions are enough.
    """

    def __init__(self, stream: EventStream) -> None:
        self._stream = stream
        self._lock = asyncio.Lock()
        self._asked = 0
        """Questions that were begun."""
        self._answer: tuple[int, Bounds | EventHubError] = (0, EventHubError("not asked"))
        """To which question, and what the log said to it."""

    async def bounds(self) -> Bounds:
        """Return what the log holds now.

        Raises:
            Unavailable: the log cannot be read now.
        """
        wanted = self._asked + 1
        async with self._lock:
            if self._answer[0] < wanted:
                await self._ask()
            _, outcome = self._answer
        if isinstance(outcome, EventHubError):
            raise outcome
        return outcome

    async def _ask(self) -> None:
        self._asked += 1
        number = self._asked
        try:
            self._answer = (number, await self._stream.bounds())
        except EventHubError as error:
            self._answer = (number, error)
