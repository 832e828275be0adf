"""StreamState: what the server says of a stream, as long as it is the stream that was opened."""

from typing import Any

import structlog

from eventhub.errors import EventHubError, Unavailable
from eventhub.jetstream import api
from eventhub.jetstream.connection import Connection
from eventhub.jetstream.metadata import epoch_of

logger = structlog.get_logger(__name__)


async def state_in_epoch(connection: Connection, stream: str, epoch: str) -> dict[str, Any]:
    """Return the state of a stream.

    Raises:
        EventHubError: the stream was deleted, and perhaps made again: no position in it holds.
        Unavailable: the server does not answer.
    """
    return await _state(connection, stream, epoch, deleted=False)


async def state_with_deleted(connection: Connection, stream: str, epoch: str) -> dict[str, Any]:
    """Return the state of a stream with the sequences that were deleted; errors as above.

    After a flipped bit the server may believe in many millions of deleted sequences, and be too
    busy to list them.
    """
    try:
        return await _state(connection, stream, epoch, deleted=True)
    except Unavailable:
        logger.error("stream_state_lost", stream=stream)  # noqa: TRY400 - expected
        if connection.renew is None:
            raise
        await connection.renew(stream)
    return await _state(connection, stream, epoch, deleted=True)


async def _state(
    connection: Connection, stream: str, epoch: str, *, deleted: bool
) -> dict[str, Any]:
    info = await api.call(connection, f"STREAM.INFO.{stream}", {"deleted_details": deleted})
    if epoch_of(info) != epoch:
        logger.error("stream_replaced", stream=stream)
        raise EventHubError(f"stream {stream} was deleted and made again: restart the hub")
    state: dict[str, Any] = info["state"]
    return state
