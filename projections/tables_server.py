"""Tables server: answers requests on the tables socket of a hub, one at a time."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
import structlog

from eventhub.errors import EventHubError, Misconfigured, Rejected, Unavailable
from eventhub.queries import Queries
from eventhub.unix_socket import bound
from projections.database_copy import DatabaseCopies
from projections.listing import StoreListing
from projections.past import StorePast
from projections.projector import Projector
from projections.row_batches import as_stream, open_rows
from projections.selection import conditions
from projections.store import Progress, Store
from projections.tables_socket import NAME, STALLED_SECONDS, Answer, Answered, Request

PART_BYTES = 1 << 20
MAX_LINE = 4 << 20
"""Bytes of a request: a statement and its parameters."""
WAIT_SECONDS = 10.0
"""For the tables to reach the sequence that a request needs."""

logger = structlog.get_logger(__name__)


class TablesServer:
    """Answers on the socket of a data folder."""

    def __init__(
        self,
        folder: Path,
        store: Store,
        copies: DatabaseCopies | None = None,
        queries: Mapping[str, Queries] | None = None,
        projectors: Mapping[str, Projector] | None = None,
    ) -> None:
        """Prepare; `run` answers.

        Args:
            folder: of the data.
            store: the tables.
            copies: of the store.
            queries: what answers SQL, by handler.
            projectors: those that write to the store now, by channel.
        """
        self._folder = folder
        # Both may be empty now, and grow later.
        self._projectors = {} if projectors is None else projectors
        self._queries = {} if queries is None else queries
        self._store = store
        self._copies = copies or DatabaseCopies(store)
        self._turn = asyncio.Lock()

    async def run(self, stop: asyncio.Event) -> None:
        """Answer until `stop` is set.

        Raises:
            Misconfigured: the socket cannot be created.
        """
        try:
            listening = bound(self._folder, NAME)
        except OSError as error:
            raise Misconfigured(f"{self._folder / NAME}: cannot listen: {error}") from error
        answering: set[asyncio.Task[None]] = set()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None  # noqa: S101 - a coroutine of a stream's server is a task
            answering.add(task)
            try:
                await self._answer(reader, writer)
            finally:
                answering.discard(task)
                writer.close()

        server = await asyncio.start_unix_server(answer, sock=listening, limit=MAX_LINE)
        try:
            await stop.wait()
        finally:
            server.close()
            for task in answering:
                task.cancel()
            with suppress(OSError):
                (self._folder / NAME).unlink()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(STALLED_SECONDS):
                line = await reader.readline()
            if line:  # a command that only looks whether a hub runs asks nothing
                await self._give(line, Answer(writer))
        except (TimeoutError, ConnectionError, ValueError) as error:
            logger.info("answer_cut_short", reason=str(error) or type(error).__name__)

    async def _give(self, line: bytes, answer: Answer) -> None:
        try:
            request = msgspec.json.decode(line, type=Request)
            if request.want == "query":
                await self._give_query(request, answer)
                return
            async with self._turn:
                await self._give_tables(request, answer)
        except (msgspec.DecodeError, UnicodeDecodeError):
            await answer.refuse(
                Rejected(
                    "bad_request",
                    "the running hub has another version than this command: use the same",
                )
            )
        except EventHubError as error:
            logger.info("answer_refused", code=error.code, detail=error.message)
            await answer.refuse(error)

    async def _give_tables(self, request: Request, answer: Answer) -> None:
        if request.want == "copy":
            await self._give_copy(answer)
            return
        try:
            await self._reach(request)
        except Unavailable:
            if request.want != "listing":  # a proof looks at tables that are stuck, too
                raise
        past = StorePast(self._store, request.table)
        match request.want:
            case "rows":
                await self._give_rows(request, answer)
            case "listing":
                await self._give_listing(request, answer)
            case "versions":
                await self._give_pages(request, past.versions(request.row_id), answer)
            case "pairs":
                await self._give_pages(request, past.pairs(*request.between), answer)
            case "query":
                pass  # answered before: it waits for no turn

    async def _reach(self, request: Request) -> None:
        """Wait until the tables include the sequence that a request needs.

        Raises:
            Rejected: there is no such table.
            Unavailable: the tables did not reach it in time.
        """
        if request.table not in self._store.tables:
            raise Rejected("bad_request", f"the running hub has no table {request.table!r}")
        projector = self._projectors.get(request.table)
        if projector is not None:
            await projector.caught_up(request.at_least, WAIT_SECONDS)
        at = self._store.progress(request.table).watermark
        if at < request.at_least:
            raise Unavailable(f"the tables are at {at}, not {request.at_least}: try again")

    async def _give_listing(self, request: Request, answer: Answer) -> None:
        """Send chunks of the history, then of the current rows, as JSON."""
        async with StoreListing.open(self._store, request.table) as listing:
            await answer.begin(listing.progress)
            for rows in (listing.history(), listing.current()):
                async for chunk in rows:
                    await answer.put(msgspec.json.encode(chunk))
                await answer.put(b"")

    async def _give_rows(self, request: Request, answer: Answer) -> None:
        """Send the rows as Arrow streams, each complete by itself."""
        tables = self._store.tables[request.table]
        where = conditions(request.where, tables.channel)
        async with open_rows(self._store, tables, where) as (progress, batches):
            await answer.begin(progress)
            async for table in batches:
                await answer.put(as_stream(table))
            await answer.put(b"")

    async def _give_copy(self, answer: Answer) -> None:
        """Give a file with all tables, in pieces."""
        async with self._copies.copy() as path:
            await answer.begin(Progress())
            with await asyncio.to_thread(path.open, "rb") as file:
                while part := await asyncio.to_thread(file.read, PART_BYTES):
                    await answer.put(part)
            await answer.put(b"")

    async def _give_query(self, request: Request, answer: Answer) -> None:
        """Ask a SQLHandler, whose process has limits of its own, and give the file it has made."""
        if (handler := self._queries.get(request.handler)) is None:
            text = f"the running hub has no SQLHandler {request.handler!r}: restart it"
            raise Rejected("bad_request", text)
        found = await handler.ask(request.question, "command")
        with found.file as file:
            await answer.begin(Progress())
            answered = Answered(
                found.size, found.rows, found.columns, found.position, found.truncated
            )
            await answer.put(msgspec.json.encode(answered))
            while part := await asyncio.to_thread(file.read, PART_BYTES):
                await answer.put(part)
            await answer.put(b"")

    async def _give_pages(
        self, request: Request, pages: AsyncIterator[Sequence[object]], answer: Answer
    ) -> None:
        """Give pages of the past, in JSON."""
        await answer.begin(self._store.progress(request.table))
        async for page in pages:
            await answer.put(msgspec.json.encode(page))
        await answer.put(b"")
