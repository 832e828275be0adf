"""Place: where snapshots are stored: in JetStream, a folder, or S3.

What speaks S3 is an extra of the package, and is loaded only if snapshots are there.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path

from eventhub.config import Snapshots
from eventhub.errors import Misconfigured
from eventhub.jetstream import SNAPSHOTS, JetStreamLog
from eventhub.objects import Objects
from projections.stored.folder import FolderObjects

OpenObjects = Callable[[], Awaitable[Objects]]
"""Opens where snapshots are stored; raises Unavailable if that cannot be done now."""


def opener(snapshots: Snapshots, event_log: JetStreamLog, *, writes: bool) -> OpenObjects:
    """Return what opens where snapshots are stored.

    Args:
        snapshots: the configuration, with a place.
        event_log: the log, whose servers may be the place.
        writes: whether they are stored there, or only read.

    Raises:
        Misconfigured: as `store_outside`.
    """
    outside = store_outside(snapshots)

    async def opened() -> Objects:
        return outside or await event_log.objects(SNAPSHOTS, writes=writes)

    return opened


def store_outside(snapshots: Snapshots) -> Objects | None:
    """Return the store of snapshots, not connected yet; None if it is the broker, or there is none.

    Raises:
        Misconfigured: what speaks S3 is not installed, or a file that it needs cannot be read.
    """
    if snapshots.in_s3:
        return _s3(snapshots)
    place = snapshots.to or "none"
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
