"""Puller: keeps a pull going, over any outage."""

import asyncio
from collections.abc import Awaitable, Callable

from eventhub.errors import Unavailable
from eventhub.jetstream.api import STREAM_NOT_FOUND, ApiError
from eventhub.jetstream.connection import Connection
from eventhub.jetstream.pull import SILENCE_SECONDS, Doubt, Pull

MAX_DELAY_SECONDS = 1.0
"""Between two starts that bring nothing."""


class Puller:
    """Keeps a pull going: starts another one whenever it is in doubt.

    Args:
        connection: to the servers.
        start: makes or finds the consumer, and opens a pull at the position that was reached.
        on_reset: called with the reason each time a pull is given up.
    """

    def __init__(
        self,
        connection: Connection,
        start: Callable[[], Awaitable[Pull]],
        on_reset: Callable[[str], None],
    ) -> None:
        self._connection = connection
        self._start = start
        self._on_reset = on_reset
        self._pull: Pull | None = None
        self._starting: asyncio.Task[Pull] | None = None
        """Ends before `close` does."""
        self._delay = 0.0
        self.heard_at: float | None = None
        """When a pull that was given up had heard from the server, on the clock of the loop.

        A pull that rests is taken to have heard from it until its silence was noticed. None after
        a start that has failed."""

    async def ready(self) -> Pull:
        """Return the pull once it has messages. Cancelling this loses nothing.

        Raises:
            EventHubError: the stream was deleted, or made again.
        """
        while (pull := await self.attempt()) is None:
            pass
        return pull

    async def started(self) -> Pull:
        """Return the pull, which may have no messages yet; errors as `ready`."""
        while (pull := await self.started_within(None)) is None:
            pass
        return pull

    async def started_within(self, seconds: float | None) -> Pull | None:
        """Return the pull, or None if it has not been started after some seconds.

        Starting goes on meanwhile, also after this was cancelled; errors as `ready`.
        """
        if self._pull is not None:
            return self._pull
        if self._starting is None:
            self._starting = asyncio.ensure_future(self._start_again())  # noqa: TID251 - see close
        await asyncio.wait([self._starting], timeout=seconds)
        if not self._starting.done():
            return None
        starting, self._starting = self._starting, None
        try:
            self._pull = starting.result()
        except (Doubt, Unavailable) as doubt:
            self.heard_at = None
            self._on_reset(str(doubt))
        return self._pull

    async def attempt(self) -> Pull | None:
        """Return the pull once it has messages, or None once it is given up; errors as `ready`."""
        pull = self._pull or await self.started()
        try:
            await pull.wait()
        except (Doubt, Unavailable) as doubt:
            noticed = asyncio.get_running_loop().time() - SILENCE_SECONDS
            self.heard_at = max(pull.heard_at, noticed)
            self._on_reset(str(doubt))
            await self.close()
            return None
        self._delay = 0.0
        return pull

    async def close(self) -> None:
        """Give up the pull; `ready` would start another one."""
        starting, self._starting = self._starting, None
        if starting is not None:
            starting.cancel()
            await asyncio.wait([starting])
            if not starting.cancelled() and starting.exception() is None:
                self._pull = starting.result()
        pull, self._pull = self._pull, None
        if pull is not None:
            await pull.close()

    async def _start_again(self) -> Pull:
        await asyncio.sleep(self._delay)
        self._delay = min(max(2 * self._delay, 0.02), MAX_DELAY_SECONDS)
        try:
            async with asyncio.timeout(SILENCE_SECONDS):
                await self._connection.up.wait()
        except TimeoutError:
            raise Doubt("not connected") from None
        try:
            return await self._start()
        except ApiError as error:
            if error.number == STREAM_NOT_FOUND:
                raise
            raise Doubt(error.message) from error
