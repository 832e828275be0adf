"""Hub: puts the parts of one process together, and runs them."""

import asyncio
import gc
from collections.abc import (
    Callable,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import (
    AbstractContextManager,
    AsyncExitStack,
    contextmanager,
    suppress,
)
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import structlog

from eventhub.alerts.worker import AlertWorker
from eventhub.broker import EmbeddedBroker
from eventhub.channel import Endpoint, endpoints_of
from eventhub.config import Config
from eventhub.descriptors import raise_limit
from eventhub.errors import Misconfigured, Unavailable
from eventhub.feed import Feed
from eventhub.gateway.admin import Condition
from eventhub.gateway.front import Front
from eventhub.gateway.gateway import Gateway, Sources
from eventhub.gateway.sockets import Sockets
from eventhub.jetstream import JetStreamLog
from eventhub.mirrors import mirror_tables, take_over_all
from eventhub.opening import channels_of, connect, open_broker, open_store
from eventhub.service import Service, run, stop_on_signals, unless_stopped
from eventhub.snapshots import TableFiles
from eventhub.sql import sql_processes
from eventhub.stream import EventStream
from projections.archiver import Archiver
from projections.backlog import OnProgress
from projections.database_copy import DatabaseCopies
from projections.mirror import Mirror
from projections.mirror_table import MirrorTable
from projections.projector import Projector, take_up
from projections.recoding import RECODERS
from projections.snapshot import DuckSnapshots
from projections.sql.process import SqlProcess
from projections.store import Store
from projections.tables_server import TablesServer

logger = structlog.get_logger(__name__)

Role = Literal["gateway", "projector", "alerts", "archiver"]
ROLES: tuple[Role, ...] = ("gateway", "projector", "alerts", "archiver")
START_SECONDS = 600.0
"""How long the projection may take to reach the end of the log before the start fails."""
COLLECTOR_THRESHOLDS = (50_000, 50, 50)
"""Of the garbage collector: new objects before it runs, and runs before it examines older ones."""
PROGRESS_SECONDS = 0.25
"""Between two reports of progress."""
Progress = Callable[[str], AbstractContextManager[OnProgress]]
"""Shows the progress of the named work until the context ends."""


async def serve(
    config: Config,
    roles: Sequence[Role],
    sockets: Sockets | None,
    announce: Callable[[str], None],
    progress: Progress,
) -> None:
    """Run a hub until SIGTERM or SIGINT.

    Args:
        config: what to serve.
        roles: which parts of a hub this process runs.
        sockets: on which the gateway listens; None without that role.
        announce: called with the URL once the gateway accepts requests.
        progress: shows how far the projection is while it catches up before that.

    Raises:
        Misconfigured: the configuration is not valid, or does not work on this machine.
    """
    endpoints = endpoints_of(config)
    if tuple(roles) == ("archiver",) and config.archive is None:
        raise Misconfigured("the archiver has nothing to do: the file has no `archive:`")
    raise_limit()
    for warning in config.warnings:
        logger.warning("configuration", note=warning)
    with stop_on_signals() as stop:
        async with AsyncExitStack() as stack:
            front = None
            if sockets is not None:
                front = await stack.enter_async_context(Front.open(sockets, config))
            opened = await _open(config, endpoints, roles, stack)
            mirrors = mirror_tables(endpoints) if "projector" in roles else {}
            if not await unless_stopped(
                take_over_all(mirrors, endpoints, opened.log, opened.streams, progress), stop
            ):
                return
            parts = Parts(config, endpoints, opened)
            await parts.prepare()
            parts.mirror(mirrors, roles)
            services = await parts.services(roles, front, announce, progress)
            if opened.store is not None:
                tables = TablesServer(
                    config.data, opened.store, parts.copies, parts.queries, parts.projectors
                )
                services["tables"] = tables.run
            logger.info("serving", roles=list(roles), channels=list(opened.streams))
            with _collecting_rarely():
                await run(services, stop, config.server.drain)


@dataclass(frozen=True, slots=True)
class _Opened:
    """What a process holds open."""

    broker: EmbeddedBroker | None
    log: JetStreamLog
    streams: Mapping[str, EventStream]
    """By name of the channel."""
    store: Store | None
    """A process that only sends alerts needs no tables."""


async def _open(
    config: Config, endpoints: Sequence[Endpoint], roles: Sequence[Role], stack: AsyncExitStack
) -> _Opened:
    broker = await stack.enter_async_context(open_broker(config))
    event_log = await stack.enter_async_context(connect(config, broker))
    store = None
    if "gateway" in roles or "projector" in roles:
        store = await stack.enter_async_context(open_store(config, endpoints))
    channels = channels_of(endpoints)
    streams = {channel.name: await event_log.open(channel) for channel in channels}
    if broker is not None:
        await broker.stage_in_memory()
    if store is not None:
        await _empty_tables_of_lost_logs(store, streams.values())
    return _Opened(broker, event_log, streams, store)


async def _empty_tables_of_lost_logs(store: Store, streams: Iterable[EventStream]) -> None:
    """Empty the tables of a log that no longer exists: they would seem ahead of the new log."""
    for stream in streams:
        await take_up(store, stream)


@contextmanager
def _collecting_rarely() -> Iterator[None]:
    """Make the garbage collector run rarely, and ignore what lives as long as the process.

    Events, rows and frames have no cycles. To examine them again and again costs a tenth of the
    time of a busy hub.
    """
    gc.collect()
    gc.freeze()  # modules, code
    before = gc.get_threshold()
    gc.set_threshold(*COLLECTOR_THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()  # otherwise DuckDB's bindings report all of their objects as leaked


class Parts:
    """The parts of one process, of which its roles decide what runs."""

    def __init__(
        self,
        config: Config,
        endpoints: Sequence[Endpoint],
        opened: _Opened,
    ) -> None:
        self._config = config
        self._endpoints = endpoints
        self._broker = opened.broker
        self._log = opened.log
        self._streams = opened.streams
        self._store = opened.store
        self._feeds: dict[str, Feed] = {}
        self.projectors: dict[str, Projector] = {}
        self._mirrors: dict[str, Mirror] = {}
        self.queries: dict[str, SqlProcess] = {}
        """The processes of SQLHandlers, by name; `services` makes them."""
        self._archiver: Archiver | None = None
        self.copies: DatabaseCopies | None = None
        """Of the tables, if there are any."""

    async def prepare(self) -> None:
        """Make a feed for each channel, from the end of its log on."""
        for name, stream in self._streams.items():
            self._feeds[name] = Feed(stream, (await stream.bounds()).last)

    def mirror(self, tables: Mapping[str, MirrorTable], roles: Sequence[Role]) -> None:
        """Keep tables in other databases, by name of the channel."""
        for name, table in tables.items():
            feed = self._feeds[name]
            follow = feed.follow if "gateway" in roles else None
            self._mirrors[name] = Mirror(table, feed.stream, follow)

    async def services(
        self,
        roles: Sequence[Role],
        front: Front | None,
        announce: Callable[[str], None],
        progress: Progress,
    ) -> dict[str, Service]:
        """Return the services of some roles. A gateway has its own projection."""
        services: dict[str, Service] = {}
        for name, feed in self._feeds.items():
            if "gateway" in roles:
                services[f"feed {name}"] = _until_stopped(feed.run)
            if self._store is not None:
                follow = feed.follow if "gateway" in roles else feed.stream.follow_sealed
                self.projectors[name] = projector = Projector(self._store, feed.stream, follow)
                services[f"projector {name}"] = _until_stopped(projector.run)
        if self._store is not None:
            self.copies = DatabaseCopies(self._store, self.projectors.values())
        for name, mirror in self._mirrors.items():
            services[f"mirror {name}"] = mirror.serve
        worker = AlertWorker(self._config, self._endpoints, self._log, self._streams)
        await worker.prepare()
        if "alerts" in roles:
            services["alerts"] = worker.run
        if "archiver" in roles and (archive := self._config.archive) is not None:
            self._archiver = Archiver(
                self._streams.values(), Path(archive.to), archive.every_seconds
            )
            services["archiver"] = _until_stopped(self._archiver.run)
        if front is not None and self._store is not None:
            self.queries = sql_processes(self._config, self._broker, channels_of(self._endpoints))
            for name, process in self.queries.items():
                services[f"queries {name}"] = process.run
            services["gateway"] = self._gateway(self._store, front, announce, progress)
        return services

    def _gateway(
        self,
        store: Store,
        front: Front,
        announce: Callable[[str], None],
        progress: Progress,
    ) -> Service:
        snapshots = DuckSnapshots(store, self.projectors.values())
        files = TableFiles(RECODERS, self.copies)
        sources = Sources(snapshots, files, self.queries)
        gateway = Gateway(self._config, self._endpoints, self._feeds, sources, self._condition)

        async def serve_once_projected(stop: asyncio.Event) -> None:
            for name, stream in self._streams.items():
                with progress(f"project {name}") as on_progress:
                    await _catch_up(self.projectors[name], stream, on_progress)
            await gateway.run(front, stop, lambda: announce(front.url))

        return serve_once_projected

    def _condition(self) -> Condition:
        problems = [] if self._log.is_connected else ["the broker does not answer"]
        if self._broker is not None and self._broker.is_full:
            problems.append("the disk is full: writes are refused until there is room")
        failing = (name for name, projector in self.projectors.items() if projector.is_failing)
        problems += [f"the projection of {name} fails: see the log of the hub" for name in failing]
        notes = [mirror.note for mirror in self._mirrors.values() if mirror.note]
        notes += self._archiver.notes if self._archiver is not None else []
        return Condition(problems, notes)


async def _catch_up(projector: Projector, stream: EventStream, on_progress: OnProgress) -> None:
    """Wait until the current table holds all events that the log holds now."""
    last = (await stream.bounds()).last
    async with asyncio.timeout(START_SECONDS):
        while projector.watermark < last:
            with suppress(Unavailable):
                await projector.caught_up(last, PROGRESS_SECONDS)
            on_progress(projector.watermark, last)


def _until_stopped(work: Callable[[], Coroutine[Any, Any, None]]) -> Service:
    """Return a service that the stop cancels: a follower resumes from what it has stored."""

    async def until_stopped(stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(work())
            await stop.wait()
            task.cancel()

    return until_stopped
