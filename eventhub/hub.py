"""Hub: one process: opens what it needs, and runs its parts until it is stopped."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import structlog

from eventhub import recording
from eventhub.channel import Channel, Endpoint, endpoints_of
from eventhub.config import Config
from eventhub.descriptors import raise_limit
from eventhub.errors import Misconfigured, Unavailable
from eventhub.garbage import without_what_lives
from eventhub.gateway.front import Front
from eventhub.gateway.sockets import Sockets
from eventhub.identity.logins import Logins
from eventhub.ingest.trail import Trail
from eventhub.logs import limited
from eventhub.memory_records import MemoryRecords
from eventhub.mirrors import mirror_tables, take_over_all
from eventhub.opening import channels_of, connect, open_broker, open_store
from eventhub.parts import Opened, Parts, Progress, Role
from eventhub.reloading import Reloading
from eventhub.service import Service, Services, on_signals, unless_stopped, until_stopped
from eventhub.stored_snapshots import load_tables, snapshot_writer, taking_up
from eventhub.stream import EventStream, open_all
from eventhub.supervisor import Supervisor
from projections.taking_up import take_up, take_up_all

T = TypeVar("T")

logger = structlog.get_logger(__name__)

ROLES: tuple[Role, ...] = ("gateway", "projector", "alerts", "archiver")
AWAIT_SECONDS = 1.0
"""Between two attempts to reach the servers at the start."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who runs a hub: reads its configuration, and is notified of its state."""

    read: Callable[[], Config]
    """Reads the configuration again, and checks it; it may take a while."""
    announce: Callable[[str], None]
    """Called with the URL once the gateway answers requests."""
    progress: Progress
    """Shows how far the projection is while it catches up before that."""
    supervisor: Supervisor


async def serve(
    config: Config, roles: Sequence[Role], sockets: Sockets | None, caller: Caller
) -> None:
    """Run a hub until SIGTERM or SIGINT; on SIGHUP, take over what was changed in its file.

    Args:
        config: what to serve.
        roles: which parts of a hub this process runs.
        sockets: on which the gateway listens; None without that role.
        caller: who runs it.

    Raises:
        Misconfigured: the configuration is not valid, or does not work on this machine.
    """
    endpoints = endpoints_of(config)
    if tuple(roles) == ("archiver",) and config.archive is None:
        raise Misconfigured("the archiver has nothing to do: the file has no `archive:`")
    raise_limit()
    for warning in config.warnings:
        logger.warning("configuration", note=warning)
    with on_signals() as signals:
        async with AsyncExitStack() as stack:
            try:
                opened, streams = await _open(
                    config, endpoints, roles, sockets, stack, signals.stop
                )
            except _Stopped:
                return
            mirrors = mirror_tables(endpoints) if "projector" in roles else {}
            if not await unless_stopped(
                take_over_all(mirrors, endpoints, opened.log, streams, caller.progress),
                signals.stop,
            ):
                return
            if "gateway" in roles:
                await recording.begin(opened.trail, config, streams)
            parts = Parts(config, opened, roles)
            url = "" if sockets is None else sockets.url
            first = await parts.services(
                streams, mirrors, lambda: caller.announce(url), caller.progress
            )
            stop = asyncio.Event()
            services = Services(stop)
            first["lame duck"] = _lame_duck(parts, signals.stop, stop)
            reloading = Reloading(parts, services, caller.read, signals.reload, caller.supervisor)
            first["reload"] = reloading.run
            first["logins"] = until_stopped(opened.logins.run)
            if opened.snapshots is not None:
                first["snapshots"] = until_stopped(opened.snapshots.run)
            first["supervisor"] = lambda stop: caller.supervisor.watch(lambda: parts.is_alive, stop)
            logger.info("serving", roles=list(roles), channels=list(streams))
            with without_what_lives():
                await services.run(first, lambda: parts.config.server.drain)


async def _open(
    config: Config,
    endpoints: Sequence[Endpoint],
    roles: Sequence[Role],
    sockets: Sockets | None,
    stack: AsyncExitStack,
    stop: asyncio.Event,
) -> tuple[Opened, dict[str, EventStream]]:
    """Open what the roles need, until the end of the stack; and the streams, by channel.

    Servers of others may be away: processes of a cluster start in any order, and a supervisor that
    starts them again and again only makes them start later.

    Raises:
        _Stopped: a stop came while the servers were away.
    """
    front = store = snapshots = None
    if sockets is not None:
        front = await stack.enter_async_context(Front.open(sockets, config))
    broker = await stack.enter_async_context(open_broker(config))
    if broker is not None:
        event_log = await stack.enter_async_context(connect(config, broker))
    else:
        event_log = await _until_reached(
            stop,
            lambda: stack.enter_async_context(connect(config, None, f"eventhub {'+'.join(roles)}")),
        )
        event_log.watch(writes="gateway" in roles)

    async def reached(attempt: Callable[[], Awaitable[T]]) -> T:
        return await (attempt() if broker is not None else _until_reached(stop, attempt))

    async def opened(channel: Channel) -> EventStream:
        return await reached(partial(event_log.open, channel))

    streams = await open_all(channels_of(endpoints), opened)
    if "gateway" in roles or "projector" in roles:
        await load_tables(config, event_log, streams.values())
        store = await stack.enter_async_context(open_store(config, endpoints))
        if "projector" in roles:
            snapshots = snapshot_writer(config, event_log, store)
    if broker is not None:
        await broker.stage_in_memory()
    if store is not None:  # a stream that was opened may lose its quorum again
        await reached(partial(take_up_all, store, streams.values()))
    trail = Trail()
    stack.push_async_callback(trail.close)
    # Without a gateway nobody logs in.
    logins = Logins(MemoryRecords(None))
    if "gateway" in roles:
        logins = await reached(partial(Logins.read, event_log))
    rests = broker is None and "projector" not in roles
    begin = taking_up(config, event_log) if rests else take_up
    return Opened(broker, event_log, store, begin, snapshots, front, trail, logins), streams


class _Stopped(Exception):  # noqa: N818 - says what happened
    """A stop came before the start was over."""


async def _until_reached(stop: asyncio.Event, attempt: Callable[[], Awaitable[T]]) -> T:
    """Repeat an attempt until the servers answer."""
    while not stop.is_set():
        try:
            return await attempt()
        except Unavailable as error:
            limited.warning("broker_awaited", by="the start", reason=error.message)
        with suppress(TimeoutError):
            async with asyncio.timeout(AWAIT_SECONDS):
                await stop.wait()
    raise _Stopped


def _lame_duck(parts: Parts, asked: asyncio.Event, stop: asyncio.Event) -> Service:
    """Return the service that stops the others, some time after that was asked for.

    Meanwhile everything works, but `/readyz` says that it will not: proxies send new clients to
    other hubs.
    """

    async def lame_duck(own_stop: asyncio.Event) -> None:
        await asked.wait()
        parts.is_retiring = True
        await asyncio.sleep(parts.config.server.lame_duck)
        stop.set()
        await own_stop.wait()

    return lame_duck
