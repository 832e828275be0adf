"""Process: starts the process of a SQLHandler, asks it, kills it if it does not answer in time.

A query that outlives its deadline by a second ends with its process, and a new one is started from
the tables that the old one had stored. Other queries of that moment are told to try again.
"""

import asyncio
from asyncio.subprocess import Process
from collections.abc import Callable, Hashable
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import msgspec

from eventhub.channel import encode_token
from eventhub.config import SqlEndpoint
from eventhub.errors import EventHubError, Rejected, Unavailable
from eventhub.metrics import QUERIES, QUERY_PROCESSES
from eventhub.queries import Answer, Question
from eventhub.slots import Slots
from eventhub.unix_socket import address_of
from projections.child import Child
from projections.sql.answering import opened
from projections.sql.messages import ANSWERS, MAX_LINE, SOCKET, Query, Result, Setup

GRACE_SECONDS = 1.0
"""How much later than its deadline a query may end."""
READY_SECONDS = 20.0
"""How long a query waits for a process that is starting."""
WAITING = 16
"""Queries of one client that may wait for their turn."""


def folder_of(data: Path, name: str) -> Path:
    """Return the private folder of a handler."""
    return data / "sql" / encode_token(name)


class SqlProcess:
    """The process of one SQLHandler. `run` keeps it running; `ask` is for the gateway."""

    def __init__(self, endpoint: SqlEndpoint, setup: Callable[[], Setup]) -> None:
        """Prepare; `run` starts it.

        Args:
            endpoint: the handler.
            setup: returns what the process gets to know, at every start.
        """
        limits = endpoint.limits
        self._name = endpoint.name
        self._limits = limits
        self._folder = Path(setup().folder)
        each = max(1, limits.concurrent - 1)  # one client alone leaves a slot for the others
        self._slots = Slots(limits.concurrent, each=each, waiting=WAITING, what="run queries")
        self._child = Child(
            "projections.sql.worker",
            setup,
            kind="query",
            facts={"handler": endpoint.name},
            on_start=QUERY_PROCESSES.labels(endpoint.name).inc,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Keep the process running until `stop` is set."""
        await self._child.run(stop)

    async def ask(self, question: Question, client: Hashable) -> Answer:
        """See `Queries`."""
        try:
            async with self._slots.take(client, self._limits.seconds):
                answer = await self._ask(question)
        except EventHubError as error:
            QUERIES.labels(self._name, error.code).inc()
            raise
        QUERIES.labels(self._name, "answered").inc()
        return answer

    async def _ask(self, question: Question) -> Answer:
        await self._is_ready()
        rows = self._limits.rows if question.rows is None else question.rows
        query = Query(
            sql=question.sql,
            parameters=dict(question.parameters),
            format=question.format,
            at_least=question.at_least,
            rows=min(rows, self._limits.rows),
            file=uuid4().hex,
        )
        line = await self._exchange(query)
        result = msgspec.json.decode(line, type=Result)
        return await asyncio.to_thread(opened, result, self._folder / ANSWERS / query.file)

    async def _exchange(self, query: Query) -> bytes:
        """Return the line that answers a query; kill the process if there is none in time."""
        process, tasks = self._child.process, self._child.tasks
        if process is None or tasks is None:
            raise Unavailable("the hub is stopping: try again")
        line = b""
        reader, writer = await self._connect()
        try:
            async with asyncio.timeout(self._limits.seconds + GRACE_SECONDS):
                writer.write(msgspec.json.encode(query) + b"\n")
                line = await reader.readline()
        except TimeoutError:
            self._child.kill(process, "deadline")
            text = f"the query took more than {self._limits.seconds:g} s, and was killed"
            raise Rejected("too_costly", text) from None
        except ConnectionError:
            pass
        finally:
            if line:
                writer.close()
            else:
                _ = tasks.spawn(self._hang_up(process, reader, writer, query.file))
        if not line:
            raise _unavailable()
        return line

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            with address_of(self._folder, SOCKET) as address:
                return await asyncio.open_unix_connection(address, limit=MAX_LINE)
        except OSError:
            raise _unavailable() from None

    async def _is_ready(self) -> None:
        try:
            async with asyncio.timeout(READY_SECONDS):
                await self._child.ready.wait()
        except TimeoutError:
            raise Unavailable(
                f"the tables of {self._name} are being prepared for queries: try again"
            ) from None

    async def _hang_up(
        self,
        process: Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        file: str,
    ) -> None:
        """Make sure that a query ends that nobody waits for any more: kill what does not."""
        try:
            # RuntimeError: uvloop says so of a transport that is closed.
            with suppress(ConnectionError, RuntimeError):
                writer.write_eof()
                async with asyncio.timeout(GRACE_SECONDS):
                    await reader.read()
        except TimeoutError:
            self._child.kill(process, "abandoned")
        finally:
            writer.close()
            (self._folder / ANSWERS / file).unlink(missing_ok=True)


def _unavailable() -> Unavailable:
    return Unavailable(
        "the process that runs the queries has ended and is started again: try again"
    )
