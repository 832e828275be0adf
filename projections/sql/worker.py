"""Worker: the process of one SQLHandler. It follows the log by itself, and answers the hub.

It holds the tables of its handler and nothing else, has a limit of its address space, gives way to
the hub on a busy machine, and ends with it. Between queries its tables may rest (ADR-96). The hub
starts it with a `Setup` on standard input, and reads `ready` on standard output.
"""

import asyncio
import hashlib
import shutil
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import msgspec
import structlog

from eventhub import logs
from eventhub.background import background
from eventhub.channel import Channel, encode_token
from eventhub.columns import Columns
from eventhub.demand import Demand
from eventhub.errors import EventHubError, Misconfigured, Rejected, Unavailable
from eventhub.jetstream import JetStreamLog
from eventhub.stream import EventStream
from eventhub.unix_socket import bound
from projections.child import begin, limit_address_space, say
from projections.projector import FOLD_SECONDS, Projector
from projections.reader import Connection, Reader
from projections.rebuilding import reach
from projections.segment_file import ParquetSegments
from projections.sql.answering import RESERVED_BYTES, answer
from projections.sql.messages import ANSWERS, MAX_LINE, SOCKET, Query, Refusal, Result, Setup
from projections.sql.past import definitions, macro_name
from projections.sql.positions import needed
from projections.store import Store
from projections.stored.advancing import Advance
from projections.stored.place import opener
from projections.taking_up import TakeUp, take_up

HEADROOM_BYTES = 512 << 20
"""Of address space above the limit of memory: stacks and arenas of threads, which are reserved."""
AGAIN_SECONDS = 0.02
"""Between two interruptions of a query: one that comes just before it begins has no effect."""
_SCHEMAS = frozenset(("main", "temp", "system", "pg_catalog", "information_schema"))
LOCK_SECONDS = 5.0
"""A file that a killed predecessor had open is free by then."""

logger = structlog.get_logger(__name__)


def main() -> None:
    """Answer until the hub ends this process, or itself."""
    setup = begin(Setup)
    logs.configure(setup.log_level, setup.log_format)
    with asyncio.Runner() as runner:
        runner.run(_work(setup))


async def _work(setup: Setup) -> None:
    channels = [Channel(table.name, Columns(table.columns)) for table in setup.tables]
    async with AsyncExitStack() as stack:
        event_log = await stack.enter_async_context(
            JetStreamLog.connect(
                setup.servers,
                token=setup.token,
                login=(setup.user, setup.password),
                credentials=setup.credentials,
                tls=setup.tls,
                domain=setup.domain,
                inbox_prefix=setup.inbox_prefix,
                name="eventhub sql",
                segments=ParquetSegments(),
            )
        )
        streams = {channel.name: await event_log.open(channel) for channel in channels}
        store = await _opened(setup, channels)
        stack.push_async_callback(store.close)
        tasks = await stack.enter_async_context(background())
        demand, begin = Demand(setup.rest_seconds), _taking_up(setup, event_log, store)
        projectors = {
            name: Projector(store, stream, few_seconds=FOLD_SECONDS, demand=demand, take_up=begin)
            for name, stream in streams.items()
        }
        for name, projector in projectors.items():
            tasks.start(projector.run(), name=f"projector {name}")
            await reach(projector, (await streams[name].bounds()).last, lambda _at, _last: None)
        limit_address_space(setup.memory_bytes + HEADROOM_BYTES)
        worker = Worker(setup, store, streams, projectors, demand)
        tasks.start(demand.serve(worker.note_rest), name="rest")
        server = await asyncio.start_unix_server(
            worker.serve, sock=bound(Path(setup.folder), SOCKET), limit=MAX_LINE
        )
        say("ready")
        async with server:
            await server.serve_forever()


def _taking_up(setup: Setup, event_log: JetStreamLog, store: Store) -> TakeUp:
    """Return how the tables are taken up: with a stored snapshot, if there are any."""
    if setup.snapshots is None:
        return take_up
    opened = opener(setup.snapshots, event_log, writes=False)
    return Advance(store.path, opened, setup.snapshots.every).take_up


async def _opened(setup: Setup, channels: list[Channel]) -> Store:
    """Open the tables; a file with others, or a damaged one, is made again.

    The name of the file is that of the catalogue, as in `FROM catalogue.main.chat`.
    """
    key = hashlib.blake2b("\0".join(sorted(c.name for c in channels)).encode(), digest_size=8)
    path = Path(setup.folder) / f"tables-{key.hexdigest()}" / f"{_catalogue(setup.name)}.duckdb"
    _remove_others(path.parent)
    settings: dict[str, str | int] = {
        "memory_limit": f"{setup.memory_bytes // 2}B",
        "max_temp_directory_size": f"{_room_to_spill(setup)}B",
        "TimeZone": "UTC",
    }
    give_up = asyncio.get_running_loop().time() + LOCK_SECONDS
    while True:
        store = Store(path, channels, settings=settings, definitions=definitions(channels))
        try:
            await store.open()
        except Misconfigured as error:
            if "lock" in error.message:
                if asyncio.get_running_loop().time() > give_up:
                    raise
                await asyncio.sleep(AGAIN_SECONDS)
                continue
            logger.warning("query_tables_remade", detail=error.message)
            shutil.rmtree(path.parent)
            path.parent.mkdir()
            await store.open()
        return store


def _room_to_spill(setup: Setup) -> int:
    """Return the bytes of disk that sorting and grouping may take, and leave the hub as much."""
    free = shutil.disk_usage(setup.folder).free - RESERVED_BYTES
    return min(4 * setup.memory_bytes, max(free // 2, 0))


def _catalogue(name: str) -> str:
    """Return the name of the catalogue of a handler, which must be no schema's."""
    return f"{name}_sql" if name.lower() in _SCHEMAS else encode_token(name)


def _remove_others(kept: Path) -> None:
    """Remove the tables of a folder but for those in one folder below it, and all answers."""
    kept.mkdir(parents=True, exist_ok=True)
    for path in kept.parent.glob("tables-*"):
        if path.is_file():
            path.unlink(missing_ok=True)
        elif path != kept:
            shutil.rmtree(path)
    shutil.rmtree(kept.parent / ANSWERS, ignore_errors=True)
    (kept.parent / ANSWERS).mkdir()


class Worker:
    """Answers questions, each on a connection of its own; the hub bounds how many there are."""

    def __init__(
        self,
        setup: Setup,
        store: Store,
        streams: Mapping[str, EventStream],
        projectors: Mapping[str, Projector],
        demand: Demand,
    ) -> None:
        self._setup = setup
        self._store = store
        self._streams = streams
        self._projectors = projectors
        self._demand = demand
        self._rested = set(projectors) if demand.may_end else set[str]()
        """The tables that may lack what was written while they rested."""
        self._waking = asyncio.Lock()
        channels = [stream.channel for stream in streams.values()]
        self._macros = frozenset(macro_name(channel).lower() for channel in channels)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one question, unless the hub hangs up before."""
        try:
            query = msgspec.json.decode(await reader.readline(), type=Query)
            with self._demand.hold():
                result = await self._result(query, reader)
            writer.write(msgspec.json.encode(result) + b"\n")
            await writer.drain()
        except (ConnectionError, msgspec.DecodeError, UnicodeDecodeError):
            pass  # the hub has hung up
        finally:
            writer.close()

    async def _result(self, query: Query, reader: asyncio.StreamReader) -> Result:
        """Return what the statement gave, once it has ended: the hub kills what does not end."""
        loop = asyncio.get_running_loop()
        give_up = loop.time() + self._setup.seconds
        path = Path(self._setup.folder) / ANSWERS / Path(query.file).name
        if (refused := await self._unreached(query.at_least, reader)) is not None:
            return refused
        async with self._store.reader() as transaction, asyncio.TaskGroup() as group:
            gone = group.create_task(_hang_up(reader))
            step = group.create_task(self._step(transaction, query, path))
            left = max(give_up - loop.time(), 0.0)
            await asyncio.wait((step, gone), timeout=left, return_when=asyncio.FIRST_COMPLETED)
            is_late = not step.done()
            while not step.done():
                transaction.interrupt()
                await asyncio.wait((step,), timeout=AGAIN_SECONDS)
            gone.cancel()
        result = step.result()
        if is_late:
            text = f"the query took more than {self._setup.seconds:g} s"
            result = _refused(Rejected("too_costly", text))
        if result.refused is not None:
            path.unlink(missing_ok=True)
        return result

    async def _unreached(self, at_least: str, reader: asyncio.StreamReader) -> Result | None:
        """Wait for the tables; return why they may not be read yet, or that the hub hangs up."""

        async def outcome() -> Result | None:
            try:
                await self._reach(at_least)
            except EventHubError as error:
                return _refused(error)
            return None

        async with asyncio.TaskGroup() as group:
            gone, reach = group.create_task(_hang_up(reader)), group.create_task(outcome())
            await asyncio.wait((gone, reach), return_when=asyncio.FIRST_COMPLETED)
            gone.cancel()
            reach.cancel()
        return _refused(Unavailable("no one waits")) if reach.cancelled() else reach.result()

    async def _reach(self, at_least: str) -> None:
        """Wait until the tables have what was written while they rested, and what a question names.

        Raises:
            Rejected: `bad_position`.
            Unavailable: the tables do not have it in time.
        """
        if self._rested:
            await self._catch_up()
        wanted = await needed(at_least, self._streams)
        for name, sequence in wanted.items():
            await self._projectors[name].caught_up(sequence, self._setup.seconds)

    async def _catch_up(self) -> None:
        try:
            async with asyncio.timeout(self._setup.seconds), self._waking:
                for name in tuple(self._rested):
                    await self._projectors[name].catch_up(self._setup.seconds)
                    self._rested.discard(name)
        except TimeoutError:
            raise Unavailable("the tables catch up with the log: try again") from None

    async def note_rest(self) -> None:
        """Be part of the work that rests between queries, and note that it does."""
        try:
            await asyncio.Event().wait()
        finally:
            self._rested |= set(self._projectors)

    async def _step(self, transaction: Reader, query: Query, path: Path) -> Result:
        def run(connection: Connection) -> Result:
            return answer(connection, query, path, list(self._streams), self._macros)

        try:
            return await self._store.read(transaction, run)
        except EventHubError as error:
            return _refused(error)
        except Exception:  # whatever a statement has found, the next one gets its answer
            logger.exception("query_failed")
            return _refused(EventHubError("internal error"))


async def _hang_up(reader: asyncio.StreamReader) -> None:
    """Wait until the hub does not wait for the answer any more."""
    with suppress(ConnectionError):
        await reader.read(1)


def _refused(error: EventHubError) -> Result:
    column = error.column if isinstance(error, Rejected) else None
    return Result(refused=Refusal(error.code, error.message, column))


if __name__ == "__main__":
    main()
