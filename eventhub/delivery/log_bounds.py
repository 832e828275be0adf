"""Log bounds: the first and last sequence of a log, read once for all waiting callers."""

import asyncio

from eventhub.errors import CutOff, EventHubError
from eventhub.stream import Bounds, EventStream


class LogBounds:
    """The bounds of one channel's log.

    A caller never gets the result of a read that began before its call. So each result covers every
    write that was acknowledged before the call, by any process. Callers that come during a read
    share the next one: two reads are enough for any number of them.
    """

    def __init__(self, stream: EventStream) -> None:
        self._stream = stream
        self._lock = asyncio.Lock()
        self._reads = 0
        """Reads that were started."""
        self._latest: tuple[int, Bounds | EventHubError] = (0, EventHubError("not read yet"))
        """The number of the last finished read, and its outcome."""

    async def read(self) -> Bounds:
        """Return the first and last sequence that the log holds now.

        Raises:
            Unavailable: the log cannot be read now; `CutOff`: a leader without a quorum may answer,
                but another process may already write to another leader.
        """
        if self._stream.trouble:
            raise CutOff(self._stream.trouble)
        wanted = self._reads + 1
        async with self._lock:
            if self._latest[0] < wanted:
                await self._read()
            _, outcome = self._latest
        if isinstance(outcome, EventHubError):
            raise outcome
        return outcome

    async def _read(self) -> None:
        self._reads += 1
        number = self._reads
        try:
            self._latest = (number, await self._stream.bounds())
        except EventHubError as error:
            self._latest = (number, error)
