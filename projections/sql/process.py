"""Process: starts the process of a SQLHandler, asks it, kills it if it does not answer in time.

A query that outlives its deadline by a second ends with its process, and a new one is started from
the tables that the old one had stored. Other queries of that moment are told to try again.
"""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Hashable
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import msgspec
import structlog

from eventhub.background import Background, background
from eventhub.channel import encode_token
from eventhub.config import SqlEndpoint
from eventhub.errors import EventHubError, Rejected, Unavailable
from eventhub.metrics import QUERIES, QUERY_PROCESSES
from eventhub.queries import Answer, Question
from eventhub.slots import Slots
from projections.sql.answering import opened
from projections.sql.messages import ANSWERS, MAX_LINE, SOCKET, Query, Result, Setup
from projections.tables_socket import address_of

GRACE_SECONDS = 1.0
"""How much later than its deadline a query may end."""
READY_SECONDS = 20.0
"""How long a query waits for a process that is starting."""
RESTART_SECONDS = (0.0, 0.5, 2.0, 10.0)
"""Pauses before a process is started again; the last one repeats."""
LASTING_SECONDS = 60.0
"""A process that has run so long is started again without a pause."""
STOP_SECONDS = 3.0
WAITING = 16
"""Queries of one client that may wait for their turn."""

logger = structlog.get_logger(__name__)


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
        self._setup = setup
        self._limits = limits
        self._folder = Path(setup().folder)
        each = max(1, limits.concurrent - 1)  # one client alone leaves a slot for the others
        self._slots = Slots(limits.concurrent, each=each, waiting=WAITING, what="run queries")
        self._process: Process | None = None
        self._ready = asyncio.Event()
        self._tasks: Background | None = None

    @property
    def pid(self) -> int | None:
        """Process id, if it runs."""
        return None if self._process is None else self._process.pid

    async def run(self, stop: asyncio.Event) -> None:
        """Keep the process running until `stop` is set."""
        loop = asyncio.get_running_loop()
        deaths = 0
        async with background() as tasks:
            self._tasks = tasks
            stopping = tasks.spawn(_wait(stop))
            try:
                while not stop.is_set():
                    started = loop.time()
                    await self._run_one(stopping)
                    if stop.is_set():
                        break
                    deaths = 0 if loop.time() - started > LASTING_SECONDS else deaths + 1
                    pause = RESTART_SECONDS[min(deaths, len(RESTART_SECONDS)) - 1]
                    await asyncio.wait((stopping,), timeout=pause)
            finally:
                self._tasks = None

    async def _run_one(self, stopping: asyncio.Task[None]) -> None:
        """Run one process to its end, which `stopping` brings about."""
        self._process = process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "projections.sql.worker"), stdin=PIPE, stdout=PIPE
        )
        QUERY_PROCESSES.labels(self._name).inc()
        assert process.stdin is not None  # noqa: S101 - PIPE
        assert process.stdout is not None  # noqa: S101 - PIPE
        assert self._tasks is not None  # noqa: S101 - `run` calls this
        try:
            with suppress(ConnectionError):
                process.stdin.write(msgspec.json.encode(self._setup()) + b"\n")
                await process.stdin.drain()
            ended = self._tasks.spawn(_wait_for(process))
            watching = self._tasks.spawn(self._watch(process.stdout))
            await asyncio.wait((ended, stopping), return_when=asyncio.FIRST_COMPLETED)
            self._ready.clear()
            watching.cancel()
            if not stopping.done():
                logger.warning("query_process_ended", handler=self._name, status=process.returncode)
        finally:
            self._ready.clear()
            await _end(process)
            self._process = None

    async def _watch(self, output: asyncio.StreamReader) -> None:
        if await output.readline() == b"ready\n":
            logger.info("query_process_ready", handler=self._name, pid=self.pid)
            self._ready.set()

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
        process, tasks = self._process, self._tasks
        if process is None or tasks is None:
            raise Unavailable("the hub is stopping: try again")
        line = b""
        reader, writer = await self._connect()
        try:
            async with asyncio.timeout(self._limits.seconds + GRACE_SECONDS):
                writer.write(msgspec.json.encode(query) + b"\n")
                line = await reader.readline()
        except TimeoutError:
            self._kill(process, "deadline")
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
                await self._ready.wait()
        except TimeoutError:
            raise Unavailable(
                f"the tables of {self._name} are being prepared for queries: try again"
            ) from None

    def _kill(self, process: Process, reason: str) -> None:
        """Kill a process with all of its queries; the next ones wait for another one."""
        if process.returncode is None and process is self._process:
            logger.warning("query_killed", handler=self._name, reason=reason)
            self._ready.clear()
            _kill(process)

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
            self._kill(process, "abandoned")
        finally:
            writer.close()
            (self._folder / ANSWERS / file).unlink(missing_ok=True)


def _unavailable() -> Unavailable:
    return Unavailable(
        "the process that runs the queries has ended and is started again: try again"
    )


def _kill(process: Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()


async def _end(process: Process) -> None:
    """End a process. It need not tidy up: its tables are safe at any moment."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            _kill(process)
    await process.wait()


async def _wait(stop: asyncio.Event) -> None:
    await stop.wait()


async def _wait_for(process: Process) -> None:
    await process.wait()
