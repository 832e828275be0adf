"""Hub: a hub, for programs without an event loop: an `AsyncHub` in a thread does the work."""

import asyncio
import atexit
import os
from collections.abc import AsyncGenerator, Coroutine, Iterable, Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import suppress
from datetime import datetime
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack

from eventhub_client.bulk import Message
from eventhub_client.credentials import Token
from eventhub_client.ephemeral import Present
from eventhub_client.errors import ClosedError
from eventhub_client.history import LogEvent
from eventhub_client.hub import AsyncHub, Method, Receipt
from eventhub_client.query import Asked, Names, Reading, Where
from eventhub_client.rows import Rows, State
from eventhub_client.subscription import Change
from eventhub_client.view import Row

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

T = TypeVar("T")
_END: Any = object()


class _Loop:
    """An event loop in a thread of its own, which ends with the program."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="eventhub-client", daemon=True)
        self._lock = Lock()
        self._is_closed = False
        self._open: set[AsyncGenerator[Any, None]] = set()
        """The generators that callers iterate over."""
        self._thread.start()
        # At its end the interpreter closes generators, and stops this thread before.
        atexit.register(self.close)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the loop; return what it returns.

        Raises:
            ClosedError: the loop has ended, or ends.
        """
        with self._lock:
            if self._is_closed:
                coroutine.close()
                raise ClosedError
            future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except CancelledError:
            raise ClosedError from None
        finally:
            future.cancel()  # an interrupt of the caller ends it, too

    def iterate(self, generator: AsyncGenerator[T, None]) -> Iterator[T]:
        """Iterate over an asynchronous generator; it is closed when the caller leaves."""

        async def step() -> T:
            return await anext(generator, _END)

        self._open.add(generator)
        try:
            while (item := self.run(step())) is not _END:
                yield item
        except ClosedError:
            return
        finally:
            self._open.discard(generator)
            with suppress(ClosedError):
                self.run(_close(generator))

    def close(self) -> None:
        """End what still runs, and the thread."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            ending = asyncio.run_coroutine_threadsafe(self._end(), self._loop)
        atexit.unregister(self.close)
        ending.result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        if others:
            await asyncio.wait(others)
        for generator in self._open.copy():
            await generator.aclose()


async def _close(generator: AsyncGenerator[Any, None]) -> None:
    await generator.aclose()


class SyncRows(Mapping[str, Row]):
    """The rows of a query by their ids, in order: what a GET would answer now. See `Rows`."""

    def __init__(self, rows: Rows, loop: _Loop) -> None:
        self._rows = rows
        self._loop = loop

    def __getitem__(self, row_id: str) -> Row:
        return self._rows[row_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return repr(self._rows)

    @property
    def state(self) -> State:
        """`connecting`, `live`, `offline` or `ended`."""
        return self._rows.state

    @property
    def error(self) -> Exception | None:
        """Why the rows ended; None as long as nothing went wrong."""
        return self._rows.error

    def ready(self, timeout: float | None = None) -> Mapping[str, Row]:
        """Wait for the first rows; see `Rows.ready`."""
        return self._loop.run(self._rows.ready(timeout))

    def updates(self, timeout: float | None = None) -> Iterator[Mapping[str, Row]]:
        """Iterate over the rows, now and after each change; see `Rows.updates`."""
        return self._loop.iterate(self._rows.updates(timeout))

    def close(self) -> None:
        """End it, and its connection."""
        self._loop.run(self._rows.close())


class Hub:
    """One hub. Close it, or use it as a context manager; its methods are those of `AsyncHub`."""

    def __init__(self, url: str, *, token: Token | None = None, patience: float = 60.0) -> None:
        """Prepare, without connecting yet; see `AsyncHub`."""
        self._hub = AsyncHub(url, token=token, patience=patience)
        self._loop = _Loop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all live rows and changes, and every connection."""
        with suppress(ClosedError):
            self._loop.run(self._hub.aclose())
        self._loop.close()

    def post(self, path: str, message: Message) -> Receipt:
        """Create a row; return its receipt once it is durable."""
        return self._loop.run(self._hub.post(path, message))

    def put(self, path: str, message: Message) -> Receipt:
        """Change the columns that a message names, in the row with its `id`."""
        return self._loop.run(self._hub.put(path, message))

    def delete(self, path: str, row: str | Message) -> Receipt:
        """Delete a row by its id, or by a message with its `id` and conditions."""
        return self._loop.run(self._hub.delete(path, row))

    def bulk(
        self,
        path: str,
        messages: Iterable[Message],
        *,
        method: Method = "POST",
        upsert: bool = False,
    ) -> int:
        """Write many messages, which are taken in this thread; return how many are stored."""
        bulk = self._hub.bulk_writer(path, method=method, upsert=upsert)
        for message in messages:
            if bulk.take(message):
                self._loop.run(bulk.send())
        self._loop.run(bulk.send())
        return bulk.finish()

    def rows(self, path: str, **query: Unpack[Asked]) -> SyncRows:
        """Follow the rows of a query until they are closed."""

        async def start() -> Rows:
            return self._hub.rows(path, **query)

        return SyncRows(self._loop.run(start()), self._loop)

    def changes(
        self,
        path: str,
        *,
        where: Where | None = None,
        columns: Names = (),
        since: str | datetime = "now",
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> Iterator[Change]:
        """Iterate over changes, with none missing or repeated; see `AsyncHub.changes`."""
        return self._loop.iterate(
            self._hub.changes(
                path, where=where, columns=columns, since=since, checkpoint=checkpoint
            )
        )

    def log(
        self,
        path: str,
        *,
        since: str | datetime = "earliest",
        until: str | int | datetime | None = "now",
        where: Where | None = None,
        columns: Names = (),
    ) -> Iterator[LogEvent]:
        """Iterate over the events of the log; see `AsyncHub.log`."""
        return self._loop.iterate(
            self._hub.log(path, since=since, until=until, where=where, columns=columns)
        )

    def send(self, path: str, message: Message) -> dict[str, Any]:
        """Send a message, once, to the clients that listen now; see `AsyncHub.send`."""
        return self._loop.run(self._hub.send(path, message))

    def sent(
        self, path: str, *, where: Where | None = None, columns: Names = ()
    ) -> Iterator[dict[str, Any]]:
        """Iterate over such messages, from now on; see `AsyncHub.sent`."""
        return self._loop.iterate(self._hub.sent(path, where=where, columns=columns))

    def presence(self, path: str) -> Iterator[Present | None]:
        """Iterate over who is connected; see `AsyncHub.presence`."""
        return self._loop.iterate(self._hub.presence(path))

    def arrow(self, path: str, **query: Unpack[Reading]) -> "pyarrow.Table":
        """Return the current rows as an Arrow table."""
        return self._loop.run(self._hub.arrow(path, **query))

    def polars(self, path: str, **query: Unpack[Reading]) -> "polars.DataFrame":
        """Return the current rows as a frame of polars."""
        return self._loop.run(self._hub.polars(path, **query))

    def frame(self, path: str, **query: Unpack[Reading]) -> "pandas.DataFrame":
        """Return the current rows as a frame of pandas."""
        return self._loop.run(self._hub.frame(path, **query))
