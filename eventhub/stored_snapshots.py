"""Stored snapshots: who stores the tables of a configuration, and who begins with them.

A projector stores its tables. A process without tables begins with them instead of reading the log,
and a table that rested long continues with them.
"""

from collections.abc import Iterable

import msgspec
import structlog

from eventhub.background import side_by_side
from eventhub.config import Config, Snapshots
from eventhub.errors import EventHubError
from eventhub.jetstream import JetStreamLog
from eventhub.metrics import STORED_SNAPSHOTS
from eventhub.opening import projection_path
from eventhub.stream import STREAMS_AT_ONCE, EventStream
from projections.store import Store
from projections.stored.advancing import Advance
from projections.stored.fitting import Log
from projections.stored.loading import SnapshotLoader
from projections.stored.place import opener
from projections.stored.writing import SnapshotWriter
from projections.taking_up import TakeUp, take_up

logger = structlog.get_logger(__name__)


def snapshots_of(config: Config) -> Snapshots | None:
    """Return where snapshots are stored, with a place; None if they are not."""
    given = config.projection.snapshots
    place = given.to or ("broker" if config.broker.url else "none")
    return None if place == "none" else msgspec.structs.replace(given, to=place)


async def load_tables(
    config: Config, event_log: JetStreamLog, streams: Iterable[EventStream]
) -> None:
    """Bring the tables up to a stored snapshot, if that saves much, before anything opens them.

    What cannot be loaded is logged, and the log is read instead.

    Raises:
        Misconfigured: as `store_outside`.
    """
    if (snapshots := snapshots_of(config)) is None:
        return
    opened = opener(snapshots, event_log, writes=False)
    try:
        objects = await opened()
        if not (await objects.listed()).whole:
            return  # the usual case of a small log: its streams need not be asked
        logs = await side_by_side(Log.of, streams, STREAMS_AT_ONCE)
        await SnapshotLoader(projection_path(config), objects, logs, snapshots.every).load()
    except (EventHubError, OSError) as error:
        logger.warning("snapshots_unavailable", reason=str(error))
        STORED_SNAPSHOTS.labels("unavailable").inc()


def taking_up(config: Config, event_log: JetStreamLog) -> TakeUp:
    """Return what takes up open tables: from snapshots too, if they are stored; errors as above."""
    if (snapshots := snapshots_of(config)) is None:
        return take_up
    opened = opener(snapshots, event_log, writes=False)
    return Advance(projection_path(config), opened, snapshots.every).take_up


def snapshot_writer(config: Config, event_log: JetStreamLog, store: Store) -> SnapshotWriter | None:
    """Return what stores snapshots of a projector's tables; None if they are not stored.

    Raises:
        Misconfigured: as `store_outside`.
    """
    if (snapshots := snapshots_of(config)) is None:
        return None
    opened = opener(snapshots, event_log, writes=True)
    return SnapshotWriter(store, opened, snapshots.every)
