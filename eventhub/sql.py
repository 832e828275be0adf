"""SQL: who answers the queries of a configuration: processes of a hub, or a command itself."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from eventhub.broker import EmbeddedBroker
from eventhub.channel import Channel, endpoints_of
from eventhub.config import Config, SqlEndpoint
from eventhub.data_folder import keep_private
from eventhub.jetstream import TlsFiles
from eventhub.opening import ShowProgress, channels_of, copy_tables
from eventhub.queries import Queries
from eventhub.stored_snapshots import snapshots_of
from projections.sql.local import LocalQueries
from projections.sql.messages import Setup, Table
from projections.sql.past import definitions
from projections.sql.process import SqlProcess, folder_of
from projections.sql.remote import RemoteQueries
from projections.store import Store
from projections.tables_socket import is_served

START_SECONDS = 30.0
"""A query may wait so long for a process that is starting, and for its turn as long as it runs."""


def sql_processes(
    config: Config,
    broker: EmbeddedBroker | None,
    channels: Iterable[Channel],
    rest_seconds: float | None = None,
) -> dict[str, SqlProcess]:
    """Return the process of each SQLHandler, by name; the caller runs them.

    Args:
        config: the configuration.
        broker: the embedded one, or None for that of the configuration.
        channels: of all tables.
        rest_seconds: how long after the last query its tables are followed; None: always.
    """
    known = {channel.name: channel for channel in channels}
    return {
        endpoint.name: SqlProcess(
            endpoint, partial(_setup, config, broker, known, endpoint, rest_seconds)
        )
        for endpoint in config.of_kind(SqlEndpoint)
    }


def _setup(
    config: Config,
    broker: EmbeddedBroker | None,
    channels: dict[str, Channel],
    endpoint: SqlEndpoint,
    rest_seconds: float | None = None,
) -> Setup:
    """Return what a process gets to know: nothing of other tables."""
    given = config.broker
    url = broker.url if broker is not None else given.url or ""
    limits = endpoint.limits
    return Setup(
        name=endpoint.name,
        folder=str(folder_of(config.data, endpoint.name).absolute()),
        tables=[Table(name, list(channels[name].columns)) for name in endpoint.sees(channels)],
        servers=[url] if isinstance(url, str) else url,
        token=broker.token if broker is not None else given.token,
        user=None if broker is not None else given.user,
        password=None if broker is not None else given.password,
        credentials=None if broker is not None else given.credentials,
        domain=None if broker is not None else given.domain,
        inbox_prefix=None if broker is not None else given.inbox_prefix,
        tls=TlsFiles() if broker is not None else TlsFiles.of(given),
        seconds=limits.seconds,
        rows=limits.rows,
        memory_bytes=limits.memory_bytes,
        rest_seconds=rest_seconds,
        snapshots=snapshots_of(config),
        log_level=config.log.level,
        log_format=config.log.format,
    )


@asynccontextmanager
async def open_queries(config: Config, progress: ShowProgress) -> AsyncIterator[Queries]:
    """Open the tables for the queries of a command: what the log holds now, or later.

    A running hub with a SQLHandler answers; if it has several, the one with the most tables.
    Otherwise the command has a copy of all tables, as they are now.

    Raises:
        Misconfigured, Unavailable: as `opening.copy_tables`.
    """
    handlers = config.of_kind(SqlEndpoint)
    if handlers and is_served(config.data):
        widest = max(handlers, key=lambda each: (each.tables == "all", len(each.tables)))
        yield RemoteQueries(config.data, widest.name, 2 * widest.limits.seconds + START_SECONDS)
        return
    channels = channels_of(endpoints_of(config))
    await asyncio.to_thread(keep_private, config.data)
    with TemporaryDirectory(prefix=".query-", dir=config.data) as folder:
        path = Path(folder) / "tables.duckdb"
        await copy_tables(config, path, progress)
        settings = {"TimeZone": "UTC"}
        async with Store(
            path, channels, settings=settings, definitions=definitions(channels)
        ) as store:
            yield LocalQueries(store, Path(folder))
