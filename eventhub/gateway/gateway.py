"""Gateway: serves the endpoints of a configuration, from the start to the last close frame."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import structlog

from eventhub.background import Background, background
from eventhub.config import FileEndpoint
from eventhub.delivery.broadcast import Broadcast
from eventhub.delivery.live_channel import LiveChannel
from eventhub.errors import Close
from eventhub.feed import Feed
from eventhub.gateway import (
    alert_routes,
    client_module,
    configuration,
    connection_list,
    snapshot_file,
    socket_route,
    vitals,
)
from eventhub.gateway.admin import Admin, Condition, Health
from eventhub.gateway.app import add_routes
from eventhub.gateway.body import Bodies
from eventhub.gateway.budget import Budgets
from eventhub.gateway.compression import Compression
from eventhub.gateway.console import serving as console_pages
from eventhub.gateway.files import Files
from eventhub.gateway.front import Front
from eventhub.gateway.guard import add_guard
from eventhub.gateway.kept_files import KeptFiles
from eventhub.gateway.large import LargeMessages
from eventhub.gateway.live import Live
from eventhub.gateway.login import add_login_routes
from eventhub.gateway.one_thread import OneThread
from eventhub.gateway.openapi.serving import Description, add_route
from eventhub.gateway.private import PrivateFiles
from eventhub.gateway.route import Shared
from eventhub.gateway.server import is_of_flight
from eventhub.gateway.site import Site
from eventhub.gateway.sources import Sources
from eventhub.gateway.turns import Turns
from eventhub.identity.audit import TRAIL
from eventhub.ingest.trail import Trail
from eventhub.logs import limited

MOVE_SECONDS = 1.0
"""Between two looks at which channels are cut off from the log."""

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Running:
    """What a gateway has while it runs."""

    front: Front
    broadcast: Broadcast
    tasks: Background
    turns: Turns
    channels: dict[str, LiveChannel]
    """By name."""


class Gateway:
    """Serves a site over HTTP; another one can take its place."""

    def __init__(
        self,
        site: Site,
        feeds: Mapping[str, Feed],
        sources: Sources,
        health: Health,
        trail: Trail | None = None,
    ) -> None:
        """Prepare; `run` serves.

        Args:
            site: what is served first.
            feeds: by name of the channel; the caller runs them.
            sources: where the answers to reads come from.
            health: reports how the rest of the hub is, for `/readyz`.
            trail: where it keeps the audit trail.
        """
        self._site = site
        self._feeds = feeds
        self._sources = sources
        self._health = health
        self._trail = trail or Trail()
        self._kept = KeptFiles(site.config.data)
        self._compression = Compression()
        self._recoding = OneThread()
        self._live = Live()
        self._heard: set[str] = set()
        """What is heard of which channels."""
        self._is_stopping = False
        self._running: _Running | None = None
        self._limits = self._limits_of(site.config.server.max_message)
        server = site.config.server
        self._budgets = Budgets(server.limits, server.max_connections_per_user)

    async def run(self, front: Front, stop: asyncio.Event, ready: Callable[[], None]) -> None:
        """Serve until `stop` is set; then close every connection so that its client reconnects.

        Args:
            front: the server; it is closed at the end.
            stop: ends it.
            ready: called once requests are answered.
        """
        with closing(Broadcast()) as broadcast:
            async with background() as tasks:
                self._running = _Running(front, broadcast, tasks, Turns(), {})
                for feed in self._feeds.values():
                    self.add(feed)
                try:
                    if self._site.config.server.flight_port is not None:
                        await front.accept_flight()
                    self.adopt(self._site)
                    tasks.start(self._move_clients(), name="move-clients")
                    ready()
                    await stop.wait()
                finally:
                    await self._stop(front)

    async def _move_clients(self) -> None:
        """Close the connections of channels whose log cannot be read, until cancelled."""
        while True:
            await asyncio.sleep(MOVE_SECONDS)
            for name, channel in self._now.channels.items():
                if channel.stream.trouble:
                    of_channel = (each for each in self._live.sessions if each.reads(name))
                    if moved := self._live.dismiss(of_channel, Close.ELSEWHERE):
                        logger.warning("clients_moved", channel=name, connections=len(moved))

    def add(self, feed: Feed) -> None:
        """Serve one more channel, whose feed the caller runs."""
        running, name = self._now, feed.stream.channel.name
        heartbeat = self._site.config.server.heartbeat
        channel = LiveChannel(
            feed,
            self._sources.snapshots,
            running.broadcast,
            heartbeat,
            running.tasks,
            self._sources.signals,
        )
        running.channels[name] = channel
        running.tasks.start(channel.fanout.run(), name=f"fanout {name}")

    def adopt(self, site: Site) -> int:
        """Serve a site from now on; all of its channels were added.

        Requests under way are answered by the site that they came to. An open connection goes on if
        the new site would admit its client in the same way; otherwise it is closed, so that its
        client connects again, to what there is then.

        Returns:
            How many connections are closed.
        """
        running, config = self._now, site.config
        shared = self._shared(site)
        routes = site.routes(running.channels, shared)
        queries = site.sql_routes(self._sources.queries, running.channels, shared)
        site.app[TRAIL] = self._trail
        add_guard(site.app, config.server, site.authenticator.proxies, is_of_flight)
        add_login_routes(site.app, config, site.authenticator.proxies)
        self._serve_operators(site, shared)
        self._compression.is_enabled = config.server.compression
        files = self._files(site)
        description = Description(
            config,
            [*routes, *queries],
            site.authenticator,
            self._compression,
            has_copies=self._sources.files.copies is not None,
        )
        add_route(site.app, description, config, files)
        client_module.add_routes(site.app, self._compression, config, files)
        socket_route.add_route(site.app, self._live, shared, config, files)
        console = console_pages.Console(
            site.console,
            [*routes, *queries],
            site.authenticator,
            Admin(config.server),
            self._compression,
        )
        console_pages.add_routes(site.app, console, config, files)
        add_routes(site.app, config, [*routes, *queries], self._live, self.condition, files)
        running.front.serve(site.app, config)
        for channel in running.channels.values():
            channel.fanout.heartbeat = config.server.heartbeat
        for route in routes:
            if route.endpoint.config.send:
                self._listen(route.channel, "sends", route.channel.sends.run)
            if route.endpoint.config.presence:
                route.channel.presences.of(route.endpoint.name)  # what others say of it counts
                self._listen(route.channel, "presences", route.channel.presences.run)
        self._site = site
        return self._live.adopt(routes)

    def _serve_operators(self, site: Site, shared: Shared) -> None:
        """Add what is for operators only."""
        app, config, proxies = site.app, site.config, site.authenticator.proxies
        if (copies := self._sources.files.copies) is not None:
            snapshot_file.add_route(app, config.server, copies, proxies)
        connection_list.add_route(app, config.server, self._live, proxies)
        vitals.add_route(app, config.server, self._sources.processes, self.condition, proxies)
        rehearsals = self._sources.rehearsals
        configuration.add_routes(app, config, rehearsals, shared.bodies, proxies)
        alert_routes.add_routes(app, config.server, self._sources.alerts, shared.bodies, proxies)

    def _listen(
        self, channel: LiveChannel, what: str, run: Callable[[], Coroutine[Any, Any, None]]
    ) -> None:
        """Hear what is said about a channel from now on, if that is not done yet."""
        name = f"{what} {channel.name}"
        if name not in self._heard:
            self._heard.add(name)
            self._now.tasks.start(run(), name=name)

    @property
    def _now(self) -> _Running:
        assert self._running is not None  # noqa: S101 - `run` has been called
        return self._running

    def _shared(self, site: Site) -> Shared:
        server, before = site.config.server, self._site.config.server
        if server.max_message != before.max_message:  # otherwise they go on to count
            self._limits = self._limits_of(server.max_message)
        bodies, large = self._limits
        self._budgets.rates = server.limits
        self._budgets.most_connections = server.max_connections_per_user
        return Shared(
            server=server,
            authenticator=site.authenticator,
            bodies=bodies,
            budgets=self._budgets,
            turns=self._now.turns,
            large=large,
            tasks=self._now.tasks,
            recoders=self._sources.files.recoders,
            recoding=self._recoding,
            kept=self._kept,
            compression=self._compression,
            trail=self._trail,
            modules=site.modules,
        )

    def _limits_of(self, max_message: int) -> tuple[Bodies, LargeMessages]:
        large = LargeMessages(4 * max_message, self._is_behind)
        return Bodies(max_message, large=large), large

    def _is_behind(self) -> bool:
        """Tell whether readers of some table would soon wait for large events."""
        return any(each.is_behind for each in self._now.channels.values())

    def _files(self, site: Site) -> dict[str, Files]:
        """Return the static files, by pattern."""
        private = PrivateFiles(site.config)
        return {
            each.pattern: Files(each, private, self._compression, site.admits.get(each.name))
            for each in site.config.of_kind(FileEndpoint)
        }

    async def _stop(self, front: Front) -> None:
        self._is_stopping = True
        front.refuse()
        await self._live.stop()
        for channel in self._now.channels.values():
            await channel.presences.say()
        await front.close()
        self._compression.close()
        await asyncio.to_thread(self._kept.close)
        limited.flush()

    def condition(self) -> Condition:
        """Return how the hub is, and the gateway itself."""
        if self._is_stopping:
            return Condition(["stopping"], [])
        problems, notes = self._health()
        wrong = [] if self._running is None else self._running.front.wrong
        return Condition(problems + wrong, notes)
