"""Making: streams with the settings that they should have."""

from collections.abc import Mapping
from typing import Any

import structlog

from eventhub.errors import Misconfigured, Unavailable
from eventhub.jetstream import api
from eventhub.jetstream.api import NO_PEERS, STREAM_NAME_IN_USE, STREAM_NOT_FOUND, ApiError
from eventhub.jetstream.connection import Connection
from eventhub.jetstream.metadata import own
from eventhub.jetstream.requests import NotPermitted

logger = structlog.get_logger(__name__)


async def ensure(
    connection: Connection,
    replicas: int | None,
    wanted: dict[str, Any],
    metadata: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Make a stream, or give it the wanted settings; return the server's information on it.

    Args:
        connection: to the servers.
        replicas: of the stream; None keeps the number that it has.
        wanted: settings.
        metadata: of the stream if it is made now.

    Raises:
        Unavailable: the broker does not answer.
        Misconfigured: the broker refuses the stream, or does not allow this user to ask.
    """
    try:
        return await try_to_ensure(connection, replicas, wanted, metadata)
    except NotPermitted as error:  # waiting would not help
        raise Misconfigured(error.message) from error


async def try_to_ensure(
    connection: Connection,
    replicas: int | None,
    wanted: dict[str, Any],
    metadata: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Do as `ensure`, but raise `NotPermitted` unchanged."""
    name = wanted["name"]
    wanted |= {"storage": "file", "allow_direct": True}
    try:
        info = await _info(connection, name)
        if info is None:
            new = {**wanted, "num_replicas": replicas or 1, "metadata": metadata or {}}
            try:
                return await api.call(connection, f"STREAM.CREATE.{name}", new)
            except ApiError as error:
                if error.number != STREAM_NAME_IN_USE:
                    raise
                # Another process has just made it, and noted its metadata.
                info = await api.call(connection, f"STREAM.INFO.{name}")
        wanted["num_replicas"] = _replicas_of(name, replicas, info["config"]["num_replicas"])
        config = info["config"] | {"metadata": own(info)}
        changed = {k: v for k, v in wanted.items() if config.get(k) != v}
        if changed:
            logger.info("stream_changed", stream=name, **changed)
            settings = config | wanted
            info = await api.call(connection, f"STREAM.UPDATE.{name}", settings)
    except NotPermitted:  # it names the subject
        raise
    except Unavailable as error:
        raise Unavailable(f"stream {name}: {error.message}") from error
    except ApiError as error:
        text = f"stream {name}: {error.message}"
        # Not all servers of a cluster that starts are known; or the stream that another process
        # is making has its name, and no leader yet.
        if error.number in (NO_PEERS, STREAM_NOT_FOUND):
            raise Unavailable(text) from error
        raise Misconfigured(text) from error
    return info


def _replicas_of(name: str, replicas: int | None, present: int) -> int:
    """Return how many replicas a stream should have.

    A process with an older configuration, or a command without one, must not take copies
    away. An operator may lower the number, with `nats stream edit`.
    """
    if replicas is not None and replicas < present:
        logger.warning("replicas_kept", stream=name, configured=replicas, present=present)
    return max(present, replicas or 1)


async def _info(connection: Connection, name: str) -> dict[str, Any] | None:
    try:
        return await api.call(connection, f"STREAM.INFO.{name}")
    except ApiError as error:
        if error.number == STREAM_NOT_FOUND:
            return None
        raise
