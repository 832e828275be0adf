"""Parts: what one process runs, by its roles, now and under another configuration."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from eventhub import logs, recording
from eventhub.alerts.control import Control
from eventhub.alerts.worker import AlertWorker
from eventhub.background import side_by_side
from eventhub.broker import EmbeddedBroker
from eventhub.changes import changed_endpoints, mailing, queries_of
from eventhub.channel import Channel, Endpoint, endpoints_of
from eventhub.condition import notes_of, problems_of
from eventhub.config import Config, SqlEndpoint
from eventhub.demand import REST_SECONDS, Demand
from eventhub.feed import Feed
from eventhub.gateway.admin import Condition
from eventhub.gateway.app import state_app
from eventhub.gateway.front import Front
from eventhub.gateway.gateway import Gateway
from eventhub.gateway.site import Site
from eventhub.gateway.sources import Sources
from eventhub.identity.logins import Logins
from eventhub.ingest.trail import Trail
from eventhub.jetstream import JetStreamLog
from eventhub.keepers import Keepers
from eventhub.mirrors import mirror_of
from eventhub.opening import channels_of, wait_for_tables
from eventhub.processes import Processes
from eventhub.rehearsal.answering import Answering
from eventhub.service import Service, Services, until_stopped
from eventhub.snapshots import TableFiles
from eventhub.sql import sql_processes
from eventhub.stream import STREAMS_AT_ONCE, EventStream
from eventhub.vitals import Vitals
from projections.backlog import OnProgress
from projections.database_copy import DatabaseCopies
from projections.flight.process import FlightProcess
from projections.projector import Projector
from projections.recoding import RECODERS
from projections.snapshot import DuckSnapshots
from projections.sql.process import SqlProcess
from projections.store import Store
from projections.stored.writing import SnapshotWriter
from projections.tables_server import TablesServer
from projections.taking_up import TakeUp

if TYPE_CHECKING:
    from projections.mirror import Mirror
    from projections.mirror_table import MirrorTable

Role = Literal["gateway", "projector", "alerts", "archiver"]
Progress = Callable[[str], AbstractContextManager[OnProgress]]
"""Shows the progress of the named work until the context ends."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What a process holds open."""

    broker: EmbeddedBroker | None
    log: JetStreamLog
    store: Store | None
    """A process that only sends alerts needs no tables."""
    take_up: TakeUp
    """Says where tables continue when their projector begins."""
    snapshots: SnapshotWriter | None
    """Stores a projector's tables for other processes."""
    front: Front | None
    """The server of a gateway."""
    trail: Trail
    """Where a gateway keeps the audit trail."""
    logins: Logins
    """Which sessions and tokens hold; a gateway follows them."""


class Parts:
    """The parts of one process, of which its roles decide what runs."""

    def __init__(self, config: Config, opened: Opened, roles: Sequence[Role]) -> None:
        self.config = config
        """What is served."""
        self._opened = opened
        self._roles = roles
        self._rest_seconds = None if "projector" in roles or opened.broker else REST_SECONDS
        self._streams: dict[str, EventStream] = {}
        self._feeds: dict[str, Feed] = {}
        self._projectors: dict[str, Projector] = {}
        self._mirrors: dict[str, Mirror] = {}
        self._queries: dict[str, SqlProcess] = {}
        """The processes of SQLHandlers, by name."""
        self._flight = FlightProcess(config)
        self._keepers = Keepers(opened.log, self._streams, roles)
        self._processes = Processes(
            Vitals(self._feeds, config.data, roles),
            opened.log.signals,
            lambda: (self._gateway or self).condition(),
        )
        self._gateway: Gateway | None = None
        self._snapshots: DuckSnapshots | None = None
        self._modules = 0
        self.is_retiring = False
        """The process is about to stop, and accepts no new clients."""
        self.is_ready = asyncio.Event()
        """Everything runs, and requests are answered."""

    @property
    def channels(self) -> dict[str, Channel]:
        """The channels that are followed, by name; those without an endpoint of today, too."""
        return {name: stream.channel for name, stream in self._streams.items()}

    @property
    def is_alive(self) -> bool:
        """The embedded broker answers, if there is one."""
        return self._opened.broker is None or self._opened.log.is_connected

    async def services(
        self,
        streams: Mapping[str, EventStream],
        mirrors: "Mapping[str, MirrorTable]",
        announce: Callable[[], None],
        progress: Progress,
    ) -> dict[str, Service]:
        """Return what runs first. A gateway has its own projection.

        Args:
            streams: of all channels, by name.
            mirrors: tables in other databases, by name of the channel.
            announce: called once requests are answered.
            progress: shows how far the projection is while it catches up before that.
        """
        config, endpoints = self.config, endpoints_of(self.config)
        services: dict[str, Service] = {"processes": self._processes.run}
        bounds = await side_by_side(lambda each: each.bounds(), streams.values(), STREAMS_AT_ONCE)
        for stream, (_, last) in zip(streams.values(), bounds, strict=True):
            services |= self._follow(stream, last)
        for name, table in mirrors.items():
            follow = self._feeds[name].follow if "gateway" in self._roles else None
            self._mirrors[name] = mirror_of(table, streams[name], follow)
            services[f"mirror {name}"] = self._mirrors[name].serve
        services |= await self._alerts(config, endpoints)
        services |= self._keepers.services(config)
        store, copies = self._opened.store, None
        if store is not None:
            copies = DatabaseCopies(store, self._projectors.values())
            tables = TablesServer(config.data, store, copies, self._queries, self._projectors)
            services["tables"] = tables.run
        if "gateway" not in self._roles:
            if self._opened.front is not None:
                self._opened.front.serve(state_app(config, self.condition), config)
            self.is_ready.set()
        else:
            services |= self._query_processes(config, endpoints) | self._flight.services()
            services["gateway"] = self._serving(copies, announce, progress)
        return services

    def _follow(self, stream: EventStream, last: int) -> dict[str, Service]:
        """Return what follows a channel after a sequence."""
        name, store, demand = stream.channel.name, self._opened.store, Demand(self._rest_seconds)
        feed = Feed(stream, last, demand=demand)
        services: dict[str, Service] = {}
        self._streams[name], self._feeds[name] = stream, feed
        if "gateway" in self._roles:
            services[f"feed {name}"] = until_stopped(feed.run)
        if store is not None:
            follow, begin = feed.follow if "gateway" in self._roles else None, self._opened.take_up
            projector = Projector(store, stream, follow, demand=demand, take_up=begin)
            self._projectors[name] = projector
            services[f"projector {name}"] = projector.serve
        return services

    async def _alerts(self, config: Config, endpoints: Sequence[Endpoint]) -> dict[str, Service]:
        worker = AlertWorker(config, endpoints, self._opened.log, self._streams)
        await worker.prepare()
        return {"alerts": worker.run} if "alerts" in self._roles else {}

    def _query_processes(self, config: Config, endpoints: Sequence[Endpoint]) -> dict[str, Service]:
        """Return the processes of SQLHandlers that do not run yet."""
        broker, rest = self._opened.broker, self._rest_seconds
        made = sql_processes(config, broker, channels_of(endpoints), rest)
        new = {name: process for name, process in made.items() if name not in self._queries}
        self._queries |= new
        return {f"queries {name}": process.run for name, process in new.items()}

    def _serving(
        self, copies: DatabaseCopies | None, announce: Callable[[], None], progress: Progress
    ) -> Service:
        trail, store, front = self._opened.trail, self._opened.store, self._opened.front
        assert store is not None and front is not None  # noqa: S101, PT018 - a gateway has both
        self._snapshots = DuckSnapshots(store, self._projectors.values())
        files, log, processes = TableFiles(RECODERS, copies), self._opened.log, self._processes
        alerts = Control(log, lambda: self.config) if "alerts" in self._roles else None
        asked = self._queries, alerts, Answering(log, lambda: self.config)
        sources = Sources(self._snapshots, files, log.signals, processes, *asked)
        site = Site(self.config, endpoints_of(self.config), self._opened.logins)
        self._gateway = gateway = Gateway(site, self._feeds, sources, self.condition, trail)

        def ready() -> None:
            announce()
            self.is_ready.set()

        async def serve_once_projected(stop: asyncio.Event) -> None:
            for name, stream in self._streams.items():
                with progress(f"project {name}") as on_progress:
                    await wait_for_tables(self._projectors[name], stream, on_progress)
            await self._flight.listening()
            await gateway.run(front, stop, ready)

        return serve_once_projected

    def condition(self) -> Condition:
        """Return how this process is, without its gateway."""
        opened = self._opened
        problems = problems_of(opened.broker, opened.log, self._streams, self._projectors)
        notes = notes_of(self._streams, self._mirrors.values(), [self._keepers, opened.snapshots])
        return Condition(["stopping"] if self.is_retiring else [*problems], [*notes])

    async def adopt(self, config: Config, modules: int, services: Services) -> dict[str, Any]:
        """Serve another configuration, which needs no restart.

        Channels are never ended: those without an endpoint are followed until the next restart.
        `modules` is the generation of the modules that its expressions use.

        Returns:
            What became of it, for the log.

        Raises:
            Misconfigured: it does not compile; nothing has changed.
            Unavailable: the log of a new table cannot be opened now; nothing has changed.
        """
        before, tables, is_new = self.config, set(self._streams), modules != self._modules
        endpoints = await self._resolve(endpoints_of(config), services)
        tables ^= set(self._streams)
        site = Site(config, endpoints, self._opened.logins, modules)
        alerts = await self._alerts(config, endpoints)
        closed = await self._serve(site, endpoints, services, has_more_tables=bool(tables))
        self.config, self._modules = config, modules
        self._flight.adopt(config)
        log, mask = config.log, before.masks.mask
        logs.configure(log.level, log.format, mask, with_access=log.access)
        await self._keepers.adopt(before, config, services, has_more_tables=bool(tables))
        if mailing(before) != mailing(config) or tables or is_new:
            await services.exchange("alerts", alerts)
        changes = changed_endpoints(before, config)
        if "gateway" in self._roles:
            recording.resume(self._opened.trail, config, self._streams, changes)
        return {**changes, "closed": closed}

    async def _serve(
        self,
        site: Site,
        endpoints: Sequence[Endpoint],
        services: Services,
        *,
        has_more_tables: bool,
    ) -> int:
        """Serve a site, with the processes of its SQLHandlers; return the connections it closes."""
        if self._gateway is None:
            return 0
        before = {entry.name: entry for entry in self.config.of_kind(SqlEndpoint)}
        after = {entry.name: entry for entry in site.config.of_kind(SqlEndpoint)}
        for name, entry in before.items():
            sees_more = has_more_tables and entry.tables == "all"
            if name in after and (sees_more or queries_of(entry) != queries_of(after[name])):
                await self._end_queries(name, services)
        for name, service in self._query_processes(site.config, endpoints).items():
            services.start(name, service)
        closed = self._gateway.adopt(site)
        for name in before.keys() - after.keys():
            await self._end_queries(name, services)
        return closed

    async def _end_queries(self, name: str, services: Services) -> None:
        del self._queries[name]
        await services.end(f"queries {name}")

    async def _resolve(self, endpoints: Sequence[Endpoint], services: Services) -> list[Endpoint]:
        """Return endpoints on the channels that are followed; those of new tables are added."""
        for channel in channels_of(endpoints):
            if channel.name not in self._streams:
                await self._add(channel, services)
        channels = self.channels
        return [replace(each, channel=channels[each.channel.name]) for each in endpoints]

    async def _add(self, channel: Channel, services: Services) -> None:
        """Follow the channel of a new table, and wait until its tables hold what its log holds."""
        store, stream = self._opened.store, await self._opened.log.open(channel)
        if store is not None:
            await store.add(channel)
            await self._opened.take_up(store, stream)
        for name, service in self._follow(stream, (await stream.bounds()).last).items():
            services.start(name, service)
        if self._snapshots is not None and self._gateway is not None:
            projector = self._projectors[channel.name]
            self._snapshots.add(projector)
            self._gateway.add(self._feeds[channel.name])
            await wait_for_tables(projector, stream, lambda _reached, _last: None)
