"""Stored snapshots: where a configuration keeps them; who stores them, and who begins with them.

A projector stores its tables; a process without tables begins with them instead of reading the log.
"""

from collections.abc import Iterable
from pathlib import Path

import structlog

from eventhub.background import side_by_side
from eventhub.config import Config
from eventhub.errors import EventHubError
from eventhub.jetstream import SNAPSHOTS, JetStreamLog
from eventhub.objects import Objects
from eventhub.opening import projection_path
from eventhub.stream import STREAMS_AT_ONCE, EventStream
from projections.store import Store
from projections.stored.fitting import Log
from projections.stored.folder import FolderObjects
from projections.stored.loading import SnapshotLoader
from projections.stored.writing import SnapshotWriter

logger = structlog.get_logger(__name__)


def place_of(config: Config) -> str:
    """Return where snapshots are stored: `broker`, `none`, or a folder."""
    return config.projection.snapshots.to or ("broker" if config.broker.url else "none")


async def load_tables(
    config: Config, event_log: JetStreamLog, streams: Iterable[EventStream]
) -> None:
    """Bring the tables up to a stored snapshot, if that saves much, before anything opens them.

    It never fails: what cannot be loaded is logged, and the log is read instead.
    """
    if place_of(config) == "none":
        return
    try:
        objects = await _objects(config, event_log, writes=False)
        if not (await objects.listed()).whole:
            return  # the usual case of a small log: its streams need not be asked
        logs = await side_by_side(Log.of, streams, STREAMS_AT_ONCE)
        every = config.projection.snapshots.every
        await SnapshotLoader(projection_path(config), objects, logs, every).load()
    except (EventHubError, OSError) as error:
        logger.warning("snapshots_unavailable", reason=str(error))


def snapshot_writer(config: Config, event_log: JetStreamLog, store: Store) -> SnapshotWriter | None:
    """Return what stores snapshots of a projector's tables; None if they are not stored."""
    if place_of(config) == "none":
        return None

    async def opened() -> Objects:
        return await _objects(config, event_log, writes=True)

    return SnapshotWriter(store, opened, config.projection.snapshots.every)


async def _objects(config: Config, event_log: JetStreamLog, *, writes: bool) -> Objects:
    if (place := place_of(config)) != "broker":
        return FolderObjects(Path(place))
    return await event_log.objects(SNAPSHOTS, writes=writes)
