"""Stored snapshots: where a configuration keeps them; who stores them, and who begins with them.

A projector stores its tables; a process without tables begins with them instead of reading the log.
What speaks S3 is an extra of the package, and is loaded only if snapshots are there.
"""

from collections.abc import Iterable
from pathlib import Path

import structlog

from eventhub.background import side_by_side
from eventhub.config import Config, Snapshots
from eventhub.errors import EventHubError, Misconfigured
from eventhub.jetstream import SNAPSHOTS, JetStreamLog
from eventhub.metrics import STORED_SNAPSHOTS
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
    """Return where snapshots are stored: `broker`, `none`, a folder, or `s3://BUCKET/PREFIX`."""
    return config.projection.snapshots.to or ("broker" if config.broker.url else "none")


def store_outside(config: Config) -> Objects | None:
    """Return the store of snapshots, not connected yet; None if it is the broker, or there is none.

    Raises:
        Misconfigured: what speaks S3 is not installed, or a file that it needs cannot be read.
    """
    snapshots = config.projection.snapshots
    if snapshots.in_s3:
        return _s3(snapshots)
    place = place_of(config)
    return None if place in ("broker", "none") else FolderObjects(Path(place))


def _s3(snapshots: Snapshots) -> Objects:
    try:
        from projections.stored.s3 import S3Objects
    except ImportError as error:
        raise Misconfigured(
            f"projection: snapshots: to: what speaks S3 is not installed ({error.name}):"
            " pip install 'eventhub[s3]'"
        ) from None
    key_id, secret = snapshots.access_key_id, snapshots.secret_access_key
    return S3Objects(
        snapshots.to or "",
        endpoint=snapshots.endpoint,
        region=snapshots.region,
        keys=None if key_id is None or secret is None else (key_id, secret),
        ca_file=snapshots.ca_file,
    )


async def load_tables(
    config: Config, event_log: JetStreamLog, streams: Iterable[EventStream]
) -> None:
    """Bring the tables up to a stored snapshot, if that saves much, before anything opens them.

    What cannot be loaded is logged, and the log is read instead.

    Raises:
        Misconfigured: as `store_outside`.
    """
    if place_of(config) == "none":
        return
    outside = store_outside(config)
    try:
        objects = outside or await event_log.objects(SNAPSHOTS, writes=False)
        if not (await objects.listed()).whole:
            return  # the usual case of a small log: its streams need not be asked
        logs = await side_by_side(Log.of, streams, STREAMS_AT_ONCE)
        every = config.projection.snapshots.every
        await SnapshotLoader(projection_path(config), objects, logs, every).load()
    except (EventHubError, OSError) as error:
        logger.warning("snapshots_unavailable", reason=str(error))
        STORED_SNAPSHOTS.labels("unavailable").inc()


def snapshot_writer(config: Config, event_log: JetStreamLog, store: Store) -> SnapshotWriter | None:
    """Return what stores snapshots of a projector's tables; None if they are not stored.

    Raises:
        Misconfigured: as `store_outside`.
    """
    if place_of(config) == "none":
        return None
    outside = store_outside(config)

    async def opened() -> Objects:
        return outside or await event_log.objects(SNAPSHOTS, writes=True)

    return SnapshotWriter(store, opened, config.projection.snapshots.every)
