"""Proxy: a TCP connection that can be cut, or go dead silently, as in a network."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Proxy:
    """Forwards to a port on loopback."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.url = ""
        self.is_swallowing = False
        """Take all bytes of both sides and pass none on: a cable that was pulled."""
        self.drops_answers = False
        """Pass on what comes from the client only: the other side hears it, and is not heard."""
        self.swallowed = 0
        """Bytes that were not passed on."""
        self.accepted = 0
        """Connections."""

    @asynccontextmanager
    async def running(self, port: int = 0) -> AsyncIterator["Proxy"]:
        """Listen, on any free port unless one is given."""
        async with await asyncio.start_server(self._serve, "127.0.0.1", port) as server:
            self.url = f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            yield self
            self.abort()
            while self._tasks:  # some may just have connected
                await asyncio.wait(self._tasks, timeout=0.05)
                self.abort()

    def abort(self) -> None:
        """Reset all connections."""
        for leg in self._writers:
            leg.transport.abort()
        self._writers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._port)
            self._writers += [writer, inner_writer]
            async with asyncio.TaskGroup() as group:
                group.create_task(self._copy(reader, inner_writer))
                group.create_task(self._copy(inner_reader, writer, is_answer=True))
        except OSError:
            writer.transport.abort()

    async def _copy(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_answer: bool = False
    ) -> None:
        try:
            while data := await reader.read(1 << 16):
                if self.is_swallowing or (is_answer and self.drops_answers):
                    self.swallowed += len(data)
                    continue
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.transport.abort()
