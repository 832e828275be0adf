"""Rows: a live view of the rows of a query, kept current by a task."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from typing import Literal

from eventhub_client.errors import ClosedError
from eventhub_client.following import Offline
from eventhub_client.query import Query
from eventhub_client.subscription import Change, Event, Passed
from eventhub_client.view import Row, View

State = Literal["connecting", "live", "offline", "ended"]


class Rows(Mapping[str, Row]):
    """The rows of a query by their ids, in order: what a GET would answer now.

    While it is offline, the rows stay. They can be read from any thread; everything else belongs to
    the event loop.
    """

    def __init__(self, query: Query, events: AsyncGenerator[Event | Offline, None]) -> None:
        """Start to follow.

        Args:
            query: of the rows.
            events: of a subscription to it without a position.
        """
        self._view = View(query)
        self._changed = asyncio.Event()
        self._version = 0
        self.state: State = "connecting"
        """`offline`: the connection is lost, and is made again by itself; `ended`: by `close` or
        by the hub, and then `error` says why."""
        self.error: Exception | None = None
        """Why the rows ended; None as long as nothing went wrong."""
        self._task = asyncio.get_running_loop().create_task(self._follow(events))

    def __getitem__(self, row_id: str) -> Row:
        return self._view.shown()[row_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._view.shown())

    def __len__(self) -> int:
        return len(self._view.shown())

    def __repr__(self) -> str:
        return f"<Rows: {len(self)}, {self.state}>"

    async def ready(self, timeout: float | None = None) -> Mapping[str, Row]:
        """Wait for the first rows; return the rows by their ids, as they are at that moment.

        Args:
            timeout: seconds to wait at most; None: as long as it takes.

        Raises:
            EventHubError: the hub refuses; `ClosedError`: the rows were closed before.
            TimeoutError: there was no answer in time.
        """
        async with asyncio.timeout(timeout):
            async with aclosing(self.updates()) as updates:
                async for rows in updates:
                    return rows
        raise ClosedError

    async def updates(
        self, timeout: float | None = None
    ) -> AsyncGenerator[Mapping[str, Row], None]:
        """Iterate over the rows as they are now, and after each change of them or of `state`.

        It ends when they are closed.

        Changes that happen while the caller works are seen together in the next step.

        Args:
            timeout: seconds after which the rows come again although nothing has changed.

        Raises:
            EventHubError: the hub refuses.
        """
        seen = 0
        while True:
            if seen == self._version and self.state != "ended":
                await self._wait(timeout if seen else None)
            if self.state == "ended":
                if self.error is not None:
                    raise self.error
                return
            seen = self._version
            yield self._view.shown()

    async def close(self) -> None:
        """End it, and its connection."""
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _wait(self, timeout: float | None) -> None:
        try:
            async with asyncio.timeout(timeout):
                await self._changed.wait()
        except TimeoutError:
            pass

    async def _follow(self, events: AsyncGenerator[Event | Offline, None]) -> None:
        try:
            async with aclosing(events):
                async for event in events:
                    self._take(event)
        except Exception as error:  # noqa: BLE001 - whoever waits for the rows gets it
            self.error = error
        finally:
            self.state = "ended"
            self._notify()

    def _take(self, event: Event | Offline) -> None:
        if isinstance(event, Offline):
            state: State = "offline" if self._version else "connecting"
        else:
            state = "live" if isinstance(event, Passed) and event.is_live else self.state
        differs = isinstance(event, Change | Passed) and self._view.apply(event)
        differs = differs or state != self.state
        self.state = state
        if differs and (self._version or state == "live"):
            self._version += 1
            self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
