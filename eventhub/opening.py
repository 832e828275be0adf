"""Opening: the broker, the log and the tables of a configuration, for a hub or a command."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
    suppress,
)
from pathlib import Path

from eventhub.broker import Address, EmbeddedBroker, running_broker
from eventhub.channel import Channel, Endpoint, endpoints_of
from eventhub.config import Config
from eventhub.data_folder import keep_private
from eventhub.errors import Misconfigured, Rejected, Unavailable
from eventhub.filters.arguments import nearest, shown
from eventhub.jetstream import JetStreamLog, TlsFiles
from eventhub.stream import EventStream, open_all
from projections.backlog import OnProgress
from projections.database_copy import DatabaseCopies
from projections.files import written
from projections.listing import Listing, StoreListing
from projections.past import Past, StorePast
from projections.projector import Projector
from projections.rebuilding import catch_up
from projections.remote import RemoteListing, RemotePast, fetch_copy, open_remote_rows
from projections.row_batches import Rows, open_rows
from projections.segment_file import ParquetSegments
from projections.selection import conditions
from projections.store import Store
from projections.tables_socket import Request, is_served

STANDSTILL_SECONDS = 120.0
"""How long the projection may come no nearer to the end of the log before the start fails."""
PROGRESS_SECONDS = 0.25
"""Between two reports of progress."""
ShowProgress = Callable[[str], AbstractContextManager[OnProgress]]
OpenListing = Callable[[str, int], AbstractAsyncContextManager[Listing]]
"""Opens the tables of a channel as they are at one moment, with the events up to a sequence."""


def channels_of(endpoints: Iterable[Endpoint]) -> list[Channel]:
    """Return the channels behind endpoints, each once."""
    return list({endpoint.channel.name: endpoint.channel for endpoint in endpoints}.values())


def projection_path(config: Config) -> Path:
    """Return the path of the DuckDB file."""
    return Path(config.projection.path or config.data / "projection.duckdb")


@asynccontextmanager
async def open_log(config: Config) -> AsyncIterator[JetStreamLog]:
    """Connect to the configured broker or that of a running hub, or start the embedded one.

    Raises:
        Misconfigured: the data folder cannot be used, or no broker can be reached.
    """
    if not config.broker.url and (address := await _running_broker(config)):
        async with JetStreamLog.connect(
            address.url, token=address.token, segments=ParquetSegments()
        ) as connected:
            yield connected
    else:
        async with open_broker(config) as broker, connect(config, broker) as connected:
            yield connected


async def _running_broker(config: Config) -> Address | None:
    try:
        return await asyncio.to_thread(running_broker, config.data)
    except OSError as error:
        raise Misconfigured(f"the data folder cannot be used: {error}") from error


@asynccontextmanager
async def open_broker(config: Config) -> AsyncIterator[EmbeddedBroker | None]:
    """Start the embedded broker, unless another one is configured.

    Raises:
        Misconfigured: the data folder cannot be used, or belongs to another user.
    """
    await _keep_private(config)
    async with AsyncExitStack() as stack:
        own = None if config.broker.url else EmbeddedBroker(config.data)
        yield None if own is None else await stack.enter_async_context(own)


async def _keep_private(config: Config) -> None:
    path = projection_path(config)
    database = (path, path.with_name(path.name + ".wal"))
    await asyncio.to_thread(keep_private, config.data, *database)


def connect(
    config: Config, own: EmbeddedBroker | None, name: str = "eventhub command"
) -> AbstractAsyncContextManager[JetStreamLog]:
    """Connect to the embedded broker if there is one, or to the configured one."""
    if own is not None:
        return JetStreamLog.connect(
            own.url, token=own.token, segments=ParquetSegments(), renew=own.renew
        )
    broker = config.broker
    assert broker.url  # noqa: S101 - without a URL the broker is embedded
    return JetStreamLog.connect(
        broker.url,
        token=broker.token,
        login=(broker.user, broker.password),
        credentials=broker.credentials,
        replicas=broker.replicas,
        tls=TlsFiles.of(broker),
        domain=broker.domain,
        inbox_prefix=broker.inbox_prefix,
        name=name,
        segments=ParquetSegments(),
    )


@asynccontextmanager
async def open_store(config: Config, endpoints: Sequence[Endpoint]) -> AsyncIterator[Store]:
    """Open the projection.

    Raises:
        Misconfigured: another process has the file open, or it cannot be made.
    """
    await _keep_private(config)
    path = projection_path(config)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Misconfigured(f"{path}: the tables cannot be stored there: {error}") from error
    # Another process may have written values of a new column, while this one did not know it.
    is_alone = config.broker.url is None
    async with Store(path, channels_of(endpoints), adds_columns=is_alone) as store:
        yield store


def channel_of(config: Config, table: str) -> Channel:
    """Return the channel of a table.

    Raises:
        Rejected: `bad_request`: the configuration has no such table.
    """
    channels = {channel.name: channel for channel in channels_of(endpoints_of(config))}
    if table not in channels:
        near = nearest(table, channels)
        raise Rejected("bad_request", f"{config.path} has no table {shown(table)}{near}")
    return channels[table]


@asynccontextmanager
async def open_current_rows(
    config: Config, stream: EventStream, where: str, on_progress: OnProgress
) -> AsyncIterator[Rows]:
    """Open the current rows that match, with all events that the log holds now.

    They come from a running hub, or else from the tables, which first catch up with the log.

    Args:
        config: the configuration of the hub.
        stream: the log of the table.
        where: conditions, written as in a URL.
        on_progress: called while the tables catch up.

    Raises:
        Rejected: the conditions are not valid.
        Misconfigured: another program has the tables open.
        Unavailable: the hub is busy, or the tables cannot catch up.
    """
    last = (await stream.bounds()).last
    if is_served(config.data):
        request = Request(want="rows", table=stream.channel.name, where=where, at_least=last)
        async with open_remote_rows(config.data, request) as rows:
            yield rows
        return
    filter_ = conditions(where, stream.channel)
    async with open_store(config, endpoints_of(config)) as store:
        await catch_up(store, stream, on_progress)
        async with open_rows(store, store.tables[stream.channel.name], filter_) as rows:
            yield rows


async def copy_tables(config: Config, path: Path, progress: ShowProgress) -> None:
    """Write all tables, after all that the log holds now, to a DuckDB file; replaces what is there.

    Args:
        config: of the data.
        path: of the file.
        progress: shows how tables are brought up to the log, if no hub runs that does.

    Raises:
        Misconfigured: another program has the tables open.
        Unavailable: they cannot be copied now, or the file not be written.
    """
    with written(path) as partial:
        if is_served(config.data):
            await fetch_copy(config.data, partial)
            return
        async with open_parts(config) as (streams, store):
            for name, stream in streams.items():
                with progress(f"project {name}") as on_progress:
                    await catch_up(store, stream, on_progress)
            async with DatabaseCopies(store).copy() as copy:
                await asyncio.to_thread(shutil.copyfile, copy, partial)


@asynccontextmanager
async def open_past(
    config: Config, stream: EventStream, on_progress: OnProgress
) -> AsyncIterator[Past]:
    """Open the past of a table, with all events that the log holds now; as `open_current_rows`."""
    last = (await stream.bounds()).last
    if is_served(config.data):
        yield RemotePast(config.data, stream.channel.name, at_least=last)
        return
    async with open_store(config, endpoints_of(config)) as store:
        await catch_up(store, stream, on_progress)
        yield StorePast(store, stream.channel.name)


@asynccontextmanager
async def open_parts(config: Config) -> AsyncIterator[tuple[dict[str, EventStream], Store]]:
    """Open the streams by table, and the projection, for a command; the hub must be stopped.

    Raises:
        Misconfigured: the hub runs, or the data folder cannot be used.
    """
    await check_stopped(config)
    async with open_store(config, endpoints_of(config)) as store, open_streams(config) as streams:
        yield streams, store


@asynccontextmanager
async def open_streams(config: Config) -> AsyncIterator[dict[str, EventStream]]:
    """Open the streams, by table, for a command; errors as `open_parts`."""
    await check_stopped(config)
    async with open_log(config) as event_log:
        yield await open_all(channels_of(endpoints_of(config)), event_log.open)


async def check_stopped(config: Config) -> None:
    """Check that no hub of this data folder runs.

    Raises:
        Misconfigured: one does.
    """
    if running := await _running_broker(config):
        used = f"the data folder {config.data} is in use by process {running.hub}"
        raise Misconfigured(f"{used}: stop the hub first")


@asynccontextmanager
async def open_proof(config: Config) -> AsyncIterator[tuple[dict[str, EventStream], OpenListing]]:
    """Open the streams and the tables, which `verify` compares; the hub may be running.

    Raises:
        Misconfigured: the data folder cannot be used, or another program has the tables open.
    """
    endpoints = endpoints_of(config)
    async with AsyncExitStack() as stack:
        listing: OpenListing
        if is_served(config.data):

            def listing(channel: str, last: int) -> AbstractAsyncContextManager[Listing]:
                return RemoteListing.open(config.data, channel, last)
        else:
            store = await stack.enter_async_context(open_store(config, endpoints))

            def listing(channel: str, _last: int) -> AbstractAsyncContextManager[Listing]:
                return StoreListing.open(store, channel)

        event_log = await stack.enter_async_context(open_log(config))
        yield await open_all(channels_of(endpoints), event_log.open), listing


async def wait_for_tables(
    projector: Projector, stream: EventStream, on_progress: OnProgress
) -> None:
    """Wait until the current table holds all events that the log holds now.

    Raises:
        Unavailable: it has come no nearer for `STANDSTILL_SECONDS`.
    """
    last, reached = (await stream.bounds()).last, -1
    now = asyncio.get_running_loop().time
    give_up = now() + STANDSTILL_SECONDS
    while (watermark := projector.watermark) < last:
        if watermark > reached:
            reached, give_up = watermark, now() + STANDSTILL_SECONDS
        elif now() >= give_up:
            name = stream.channel.name
            raise Unavailable(f"the tables of {name} stand still at event {reached} of {last}")
        with suppress(Unavailable):
            await projector.caught_up(last, PROGRESS_SECONDS)
        on_progress(projector.watermark, last)
