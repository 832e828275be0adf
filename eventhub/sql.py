"""SQL: the processes that answer the queries of a configuration's SQLHandlers."""

import os
from collections.abc import Iterable
from functools import partial

from eventhub.broker import EmbeddedBroker
from eventhub.channel import Channel
from eventhub.config import Config, SqlEndpoint
from projections.sql.messages import Setup, Table
from projections.sql.process import SqlProcess, folder_of


def sql_processes(
    config: Config, broker: EmbeddedBroker | None, channels: Iterable[Channel]
) -> dict[str, SqlProcess]:
    """Return the process of each SQLHandler, by name; the caller runs them.

    Args:
        config: the configuration.
        broker: the embedded one, or None for that of the configuration.
        channels: of all tables.
    """
    known = {channel.name: channel for channel in channels}
    return {
        endpoint.name: SqlProcess(endpoint, partial(_setup, config, broker, known, endpoint))
        for endpoint in config.of_kind(SqlEndpoint)
    }


def _setup(
    config: Config,
    broker: EmbeddedBroker | None,
    channels: dict[str, Channel],
    endpoint: SqlEndpoint,
) -> Setup:
    """Return what a process gets to know: nothing of other tables."""
    names = list(channels) if endpoint.tables == "all" else endpoint.tables
    given = config.broker
    url = broker.url if broker is not None else given.url or ""
    limits = endpoint.limits
    return Setup(
        parent=os.getpid(),
        folder=str(folder_of(config.data, endpoint.name).absolute()),
        tables=[Table(name, list(channels[name].columns)) for name in names],
        servers=[url] if isinstance(url, str) else url,
        token=broker.token if broker is not None else given.token,
        user=None if broker is not None else given.user,
        password=None if broker is not None else given.password,
        credentials=None if broker is not None else given.credentials,
        seconds=limits.seconds,
        rows=limits.rows,
        memory_bytes=limits.memory_bytes,
        log_level=config.log.level,
        log_format=config.log.format,
    )
