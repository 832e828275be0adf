"""Process: starts the process of a SQLHandler, asks it, kills it if it does not answer in time.

A query that outlives its deadline by a second ends with its process, and a new one is started from
the tables that the old one had stored. Other queries of that moment get an error that asks to try
again. A client whose queries do that repeatedly has to wait (`penalties`).
"""

import asyncio
import time
from asyncio.subprocess import Process
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass
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
from projections.sql.penalties import Penalties

GRACE_SECONDS = 1.0
"""How much later than its deadline a query may end."""
READY_SECONDS = 20.0
"""How long a query waits for a process that is starting."""
WAITING = 16
"""Queries of one client that may wait for their turn."""


def folder_of(data: Path, name: str) -> Path:
    """Return the private folder of a handler."""
    return data / "sql" / encode_token(name)


@dataclass(eq=False, slots=True)
class _Run:
    """A query that a process has been asked."""

    process: Process
    client: Hashable
    file: str
    """The name of its answer."""
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


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
        self._running: list[_Run] = []
        """Also those of a process that has just ended."""
        self._blamed: Process | None = None
        """The last one whose end was shared among its clients."""
        self._penalties = Penalties(time.monotonic)
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
                self._penalties.check(client)
                answer = await self._ask(question, client)
        except EventHubError as error:
            QUERIES.labels(self._name, error.code).inc()
            raise
        QUERIES.labels(self._name, "answered").inc()
        return answer

    async def _ask(self, question: Question, client: Hashable) -> Answer:
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
        line = await self._exchange(query, client)
        result = msgspec.json.decode(line, type=Result)
        return await asyncio.to_thread(opened, result, self._folder / ANSWERS / query.file)

    async def _exchange(self, query: Query, client: Hashable) -> bytes:
        """Return the line that answers a query; kill the process if there is none in time."""
        process, tasks = self._child.process, self._child.tasks
        if process is None or tasks is None:
            raise Unavailable("the hub is stopping: try again")
        line, hanging_up = b"", None
        reader, writer = await self._connect()
        run = _Run(process, client, query.file, reader, writer)
        self._running.append(run)
        try:
            async with asyncio.timeout(self._limits.seconds + GRACE_SECONDS):
                writer.write(msgspec.json.encode(query) + b"\n")
                line = await reader.readline()
        except TimeoutError:
            self._kill(run, "deadline")
            text = f"the query took more than {self._limits.seconds:g} s, and was killed"
            raise Rejected("too_costly", text) from None
        except ConnectionError:
            pass
        finally:
            if line:
                writer.close()
                self._running.remove(run)
            else:
                hanging_up = tasks.spawn(self._hang_up(run))
        if hanging_up is not None:
            await asyncio.wait((hanging_up,))  # so that the client's next query waits, if it must
            raise _unavailable()
        return line

    def _kill(self, run: _Run, reason: str) -> None:
        self._child.kill(run.process, reason)
        self._penalties.add(run.client)

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

    async def _hang_up(self, run: _Run) -> None:
        """Make sure that an abandoned query ends: kill its process if it does not."""
        last = b""
        try:
            # RuntimeError: uvloop says so of a transport that is closed.
            with suppress(ConnectionError, RuntimeError):
                run.writer.write_eof()
                async with asyncio.timeout(GRACE_SECONDS):
                    last = await run.reader.read()
            if not last and run.process is not self._child.killed and await _has_ended(run.process):
                self._blame(run.process)
        except TimeoutError:
            self._kill(run, "abandoned")
        finally:
            self._running.remove(run)
            run.writer.close()
            (self._folder / ANSWERS / run.file).unlink(missing_ok=True)

    def _blame(self, process: Process) -> None:
        """Share the end of a process that died by itself among the clients whose queries it ran."""
        if process is not self._blamed:
            self._blamed = process
            clients = {run.client for run in self._running if run.process is process}
            for client in clients:
                self._penalties.add(client, 1 / len(clients))


async def _has_ended(process: Process) -> bool:
    try:
        async with asyncio.timeout(GRACE_SECONDS):
            await process.wait()
    except TimeoutError:
        return False
    return True


def _unavailable() -> Unavailable:
    return Unavailable(
        "the process that runs the queries has ended and is started again: try again"
    )
