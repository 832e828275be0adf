"""Gateway: serves the endpoints of a configuration, from the start to the last close frame."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from aiohttp import web

from eventhub.background import Background, background
from eventhub.channel import Endpoint
from eventhub.config import Config, FileEndpoint, SqlEndpoint
from eventhub.delivery.broadcast import Broadcast
from eventhub.delivery.live_channel import LiveChannel
from eventhub.feed import Feed
from eventhub.gateway import snapshot_file
from eventhub.gateway.admin import Condition, Health
from eventhub.gateway.app import add_routes
from eventhub.gateway.body import Bodies
from eventhub.gateway.controls import check_default
from eventhub.gateway.files import admission
from eventhub.gateway.front import Front
from eventhub.gateway.guard import add_guard
from eventhub.gateway.kept_files import KeptFiles
from eventhub.gateway.large import LargeMessages
from eventhub.gateway.live import Live
from eventhub.gateway.login import add_login_routes
from eventhub.gateway.route import Route, Shared
from eventhub.gateway.sql_route import SqlRoute
from eventhub.gateway.turns import Turns
from eventhub.hooks import Hooks
from eventhub.identity.authenticator import setup_auth
from eventhub.identity.origin import check_origins
from eventhub.identity.row_rules import RowRules
from eventhub.identity.rule import Guarded, Rule
from eventhub.ingest.writing import Ingest
from eventhub.logs import limited
from eventhub.queries import Queries
from eventhub.snapshots import Snapshots, TableFiles


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the answers to reads come from."""

    snapshots: Snapshots
    """Of current rows."""
    files: TableFiles
    """Makes files of tables."""
    queries: Mapping[str, Queries] = field(default_factory=dict)
    """Answer SQL, by name of the SQLHandler."""


class Gateway:
    """Serves the endpoints of a configuration over HTTP."""

    def __init__(
        self,
        config: Config,
        endpoints: Sequence[Endpoint],
        feeds: Mapping[str, Feed],
        sources: Sources,
        health: Health,
    ) -> None:
        """Prepare the endpoints; `run` serves them.

        Args:
            config: the configuration.
            endpoints: the endpoints that it serves.
            feeds: by name of the channel; the caller runs them.
            sources: where the answers to reads come from.
            health: reports how the rest of the hub is, for `/readyz`.

        Raises:
            Misconfigured: a hook, rule, origin or default argument of an endpoint is invalid.
        """
        self._config = config
        self._feeds = feeds
        self._sources = sources
        self._health = health
        self._kept = KeptFiles(config.data)
        self._live = Live()
        self._app = web.Application()
        self._authenticator = setup_auth(self._app, config.auth, config.data)
        self._endpoints = endpoints
        self._parts = [self._compile(endpoint) for endpoint in endpoints]
        self._admits = {
            entry.name: admission(entry, self._rule(entry), self._authenticator)
            for entry in config.of_kind(FileEndpoint)
            if entry.auth
        }
        self._sql = [self._compile_sql(entry) for entry in config.of_kind(SqlEndpoint)]
        self._is_stopping = False
        self._front: Front | None = None

    def _compile(self, endpoint: Endpoint) -> tuple[Endpoint, Rule, RowRules, Hooks]:
        check_origins(endpoint.config.origins, f"url: {endpoint.name}")
        check_default(endpoint)
        folder = self._config.path.parent
        rows = RowRules(endpoint.config, endpoint.channel.columns, folder)
        return endpoint, self._rule(endpoint.config), rows, Hooks(endpoint.config, folder)

    def _compile_sql(self, entry: SqlEndpoint) -> tuple[SqlEndpoint, Rule]:
        check_origins(entry.origins, f"url: {entry.name}")
        return entry, self._rule(entry)

    def _rule(self, entry: Guarded) -> Rule:
        return Rule(entry, self._config.path.parent)

    async def run(self, front: Front, stop: asyncio.Event, ready: Callable[[], None]) -> None:
        """Serve until `stop` is set; then close every connection so that its client reconnects.

        Args:
            front: the server; it is closed at the end.
            stop: ends it.
            ready: called once requests are answered.
        """
        heartbeat = self._config.server.heartbeat
        self._front = front
        with closing(Broadcast()) as broadcast:
            async with background() as tasks:
                channels = {
                    name: LiveChannel(feed, self._sources.snapshots, broadcast, heartbeat, tasks)
                    for name, feed in self._feeds.items()
                }
                for name, channel in channels.items():
                    tasks.start(channel.fanout.run(), name=f"fanout {name}")
                self._add_routes(channels, tasks)
                try:
                    front.serve(self._app)
                    ready()
                    await stop.wait()
                finally:
                    await self._stop(front)

    def _shared(self, tasks: Background) -> Shared:
        server = self._config.server
        return Shared(
            server=server,
            authenticator=self._authenticator,
            bodies=Bodies(server.max_message),
            turns=Turns(),
            large=LargeMessages(4 * server.max_message),
            tasks=tasks,
            recoders=self._sources.files.recoders,
            kept=self._kept,
        )

    def _routes(self, channels: Mapping[str, LiveChannel], shared: Shared) -> list[Route]:
        routes = []
        for endpoint, rule, row_rules, hooks in self._parts:
            channel = channels[endpoint.channel.name]
            ingest = Ingest(endpoint, hooks, channel.stream, channel.settling, shared.tasks.spawn)
            routes.append(
                Route(
                    endpoint=endpoint,
                    rule=rule,
                    row_rules=row_rules,
                    hooks=hooks,
                    ingest=ingest,
                    channel=channel,
                    shared=shared,
                )
            )
        return routes

    def _sql_routes(self, channels: Mapping[str, LiveChannel], shared: Shared) -> list[SqlRoute]:
        routes = []
        for entry, rule in self._sql:
            names = list(channels) if entry.tables == "all" else entry.tables
            tables = {name: channels[name] for name in names}
            queries = self._sources.queries[entry.name]
            routes.append(SqlRoute(entry, rule, queries, tables, shared))
        return routes

    def _add_routes(self, channels: Mapping[str, LiveChannel], tasks: Background) -> None:
        shared = self._shared(tasks)
        routes: list[Route | SqlRoute] = [*self._routes(channels, shared)]
        routes += self._sql_routes(channels, shared)
        add_guard(self._app, self._config.server, self._authenticator.proxies)
        add_login_routes(self._app, self._config, self._authenticator.proxies)
        if (copies := self._sources.files.copies) is not None:
            snapshot_file.add_route(self._app, self._config.server, copies)
        add_routes(self._app, self._config, routes, self._live, self._condition, self._admits)

    async def _stop(self, front: Front) -> None:
        self._is_stopping = True
        front.refuse()
        await self._live.stop()
        await front.close()
        await asyncio.to_thread(self._kept.close)
        limited.flush()

    def _condition(self) -> Condition:
        if self._is_stopping:
            return Condition(["stopping"], [])
        problems, notes = self._health()
        wrong = [] if self._front is None else self._front.wrong
        return Condition(problems + wrong, notes)
