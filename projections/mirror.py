"""Mirror: follow a channel's log into the table of another database, over every failure.

It reads the log at its own pace and in its own thread, so no client waits for a database that is
slow, full or unreachable. The checkpoint in that database says where to continue.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Final, TypeVar

import structlog

from eventhub.background import background
from eventhub.errors import EventHubError
from eventhub.event import Sealed, SealedEvent
from eventhub.metrics import MIRROR_LAG
from eventhub.stream import EventStream
from projections.backlog import Follow, OnProgress
from projections.mirror_table import MirrorTable, Standing

BATCH_EVENTS: Final = 1_000
"""Of one transaction."""
WAITING_EVENTS: Final = 4_000
WAITING_BYTES: Final = 16 << 20
"""Reading pauses while this much waits."""
GATHER_SECONDS: Final = 0.25
"""Between two transactions, unless a whole batch waits. Readers of the table expect a second."""
REST: Final = 3.0
"""How long the thread rests after a transaction, as a multiple of what the transaction took: it
shares the interpreter with the event loop, which serves the clients."""
RETRY_SECONDS: Final = (0.5, 30.0)
"""First and longest pause after a failure; in between it doubles."""
FINISH_SECONDS: Final = 3.0
"""How long a stopping hub waits for what the log has by then; the next start stores the rest."""
LOOK_SECONDS: Final = 1.0
"""Between two checks of the end of the log."""

T = TypeVar("T")
logger = structlog.get_logger(__name__)


class Mirror:
    """Keeps the table of one channel in another database up to date."""

    def __init__(
        self, table: MirrorTable, stream: EventStream, follow: Follow | None = None
    ) -> None:
        """Prepare; `serve` starts.

        Args:
            table: in the other database.
            stream: the channel's log.
            follow: reads its events; `stream.follow_sealed` if None.
        """
        self.table = table
        self.head = 0
        """The last event that the database has, as far as is known."""
        self.failure: EventHubError | None = None
        """Why it makes no progress; None while it does."""
        self._stream = stream
        self._follow = follow or stream.follow_sealed
        self._last = 0
        self._waiting: list[SealedEvent] = []
        self._waiting_bytes = 0
        self._changed = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "mirror")
        self._pause = RETRY_SECONDS[0]
        self._rest = REST

    @property
    def behind(self) -> int:
        """How many events of the log the database does not have yet."""
        return max(0, self._last - self.head)

    @property
    def note(self) -> str:
        """Its state in words, for operators; empty if it has everything."""
        if not self.behind and self.failure is None:
            return ""
        events = "1 event" if self.behind == 1 else f"{self.behind} events"
        why = "" if self.failure is None else f": {self.failure.message}"
        return f"the mirror of {self.table.channel.name} is {events} behind{why}"

    async def serve(self, stop: asyncio.Event) -> None:
        """Mirror until the event is set; then store the rest of the log, if it can soon."""
        async with background() as tasks:
            tasks.start(self.run(), name=f"mirror {self.table.channel.name}")
            await stop.wait()
            self._rest = 0.0
            with suppress(TimeoutError, EventHubError):
                async with asyncio.timeout(FINISH_SECONDS):
                    last = (await self._stream.bounds()).last
                    while self.head < last and self.failure is None:
                        await self._next_change()

    async def run(self) -> None:
        """Mirror until cancelled. A failure is logged and retried, for as long as it lasts."""
        try:
            async with background() as tasks:
                tasks.start(self._look(), name=f"mirror {self.table.channel.name}: end of log")
                while True:
                    await self._attempt()
        finally:
            self.close()

    def close(self) -> None:
        """End what runs, and the thread."""
        self.table.interrupt()
        self._thread.submit(self.table.close)
        self._thread.shutdown(wait=False)

    async def call(self, work: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """Run work on the table in its thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: work(*arguments, **named))

    async def rebuild(self, on_progress: OnProgress) -> int:
        """Write all rows again, and return the last event that they are of.

        Raises:
            MirrorFailed: the database cannot be used.
            Unavailable: the log cannot be read.
        """
        self._rest = 0.0  # no other work waits
        await self.call(self.table.clear, self._stream.epoch)
        last = (await self._stream.bounds()).last
        async with background() as tasks:
            tasks.start(self._mirror(), name=f"rebuild mirror {self.table.channel.name}")
            while self.head < last:
                await asyncio.sleep(GATHER_SECONDS)
                on_progress(self.head, last)
        return self.head

    async def _attempt(self) -> None:
        try:
            await self._mirror()
        except* Exception as failures:  # whatever a driver raises, no other service is stopped
            error = _first(failures)
            self.failure = error if isinstance(error, EventHubError) else EventHubError(repr(error))
            self._changed.set()
            logger.error(  # noqa: TRY400 - the message of an error with a code says it all
                "mirror_failed",
                channel=self.table.channel.name,
                code=self.failure.code,
                error=self.failure.message,
                behind=self.behind,
                retry_in=self._pause,
                exc_info=None if isinstance(error, EventHubError) else error,
            )
        await asyncio.sleep(self._pause)
        self._pause = min(2 * self._pause, RETRY_SECONDS[1])

    async def _mirror(self) -> None:
        epoch, last = self._stream.epoch, (await self._stream.bounds()).last
        self.head = await take_up(self.table, self._stream, self.call)
        self._waiting, self._waiting_bytes = [], 0
        self._changed.set()
        self._note(last)
        if self.head >= last:
            self._recover()
        async with self._follow(self.head) as batches, asyncio.TaskGroup() as group:
            group.create_task(self._read(batches))
            group.create_task(self._write(epoch))

    def _recover(self) -> None:
        if self.failure is not None:
            logger.info("mirror_recovered", channel=self.table.channel.name, behind=self.behind)
        self.failure, self._pause = None, RETRY_SECONDS[0]

    async def _read(self, batches: AsyncIterator[Sequence[Sealed]]) -> None:
        async for batch in batches:
            # Without what was decoded, if it was: that is several times as large.
            self._waiting += [SealedEvent(event.sequence, event.payload) for event in batch]
            self._waiting_bytes += sum(len(event.payload) for event in batch)
            self._note(batch[-1].sequence)
            self._changed.set()
            while len(self._waiting) >= WAITING_EVENTS or self._waiting_bytes >= WAITING_BYTES:
                await self._next_change()

    async def _write(self, epoch: str) -> None:
        while True:
            while not self._waiting:
                await self._next_change()
            began, batch = time.monotonic(), self._waiting[:BATCH_EVENTS]
            self.head = await self.call(self.table.apply, epoch, self.head, batch)
            del self._waiting[: len(batch)]
            self._waiting_bytes -= sum(len(event.payload) for event in batch)
            self._note(self.head)
            self._recover()
            self._changed.set()
            took = time.monotonic() - began
            is_behind = len(self._waiting) >= BATCH_EVENTS
            rest = took * self._rest
            await asyncio.sleep(rest if is_behind else max(rest, GATHER_SECONDS - took))

    async def _next_change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    async def _look(self) -> None:
        """Notice new events even while the database does not take any."""
        while True:
            with suppress(EventHubError):
                self._note((await self._stream.bounds()).last)
            await asyncio.sleep(LOOK_SECONDS)

    def _note(self, last: int) -> None:
        self._last = max(self._last, last)
        MIRROR_LAG.labels(self.table.channel.name).set(self.behind)


async def take_up(
    table: MirrorTable, stream: EventStream, call: Callable[..., Any] = asyncio.to_thread
) -> int:
    """Make a mirror ready, and return the sequence of the last event that it has.

    Args:
        table: the mirror.
        stream: the channel's log.
        call: runs work on the table in a thread.

    Raises:
        MirrorFailed: `foreign`: its rows are of another log, or of a later state of this one, which
            was restored from an older copy, and they may be the last copy; `columns`; or the
            database cannot be used. Nothing was changed.
        Unavailable: the log cannot be read.
    """
    standing: Standing = await call(table.standing)
    if standing.epoch == stream.epoch and standing.head > 0:
        stored = await stream.get(standing.head)
        is_later = stored is None and standing.head > await stream.end()
        if is_later or (stored is not None and stored.event.write != standing.write):
            raise table.foreign(standing)
    head: int = await call(table.take_up, stream.epoch)
    return head


def _first(failure: BaseException) -> BaseException:
    """Return the first error of a group."""
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return failure
