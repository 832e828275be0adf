"""Recording: what a hub and its commands write about themselves into the audit trail."""

import os
import pwd
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import structlog

from eventhub import __version__
from eventhub.config import AUDIT_TABLE, Config, MessageEndpoint, fingerprints
from eventhub.errors import EventHubError
from eventhub.ingest.trail import Trail
from eventhub.opening import channel_of, open_log
from eventhub.stream import EventStream, Log

LOOK_BACK: Final = 5_000
"""Entries that a start reads to find the configuration before it."""
READ_BYTES: Final = 4 << 20
_CONFIGURED: Final = "configured"

logger = structlog.get_logger(__name__)


async def begin(trail: Trail, config: Config, streams: Mapping[str, EventStream]) -> None:
    """Keep the trail in the stream of its table, if there is one, and note the configuration."""
    if _follow(trail, config, streams):
        before = await _last_entries(streams[AUDIT_TABLE])
        now = fingerprints(config)[1]
        _note_configuration(trail, config, "start", {} if before is None else _changes(before, now))


def resume(
    trail: Trail,
    config: Config,
    streams: Mapping[str, EventStream],
    changes: Mapping[str, list[str]],
) -> None:
    """Note a configuration that was read again, and keep the trail where it says.

    The last entry of a trail that is given up says so.

    Args:
        trail: where.
        config: what is served from now on.
        streams: of the channels, by name.
        changes: the names of the endpoints that are different, also in their secrets.
    """
    if _entry_of(config) is not None:
        _follow(trail, config, streams)
    _note_configuration(trail, config, "reload", changes)
    _follow(trail, config, streams)


def _follow(trail: Trail, config: Config, streams: Mapping[str, EventStream]) -> bool:
    entry = _entry_of(config)
    if entry is None:
        trail.write_to(None)
        return False
    trail.write_to(streams[AUDIT_TABLE], entry.name)
    return True


def _note_configuration(
    trail: Trail, config: Config, cause: str, changes: Mapping[str, list[str]]
) -> None:
    digest, entries = fingerprints(config)
    detail: dict[str, Any] = {"cause": cause, "version": __version__, "sha256": digest, **changes}
    detail["endpoints"] = entries
    trail.note(_CONFIGURED, user=operator(), target=config.path.name, detail=detail)


def _changes(before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, list[str]]:
    """Return which endpoints differ; of their secrets, fingerprints tell nothing."""
    same = before.keys() & now.keys()
    return {
        "added": [name for name in now if name not in before],
        "removed": [name for name in before if name not in now],
        "changed": [name for name in now if name in same and now[name] != before[name]],
    }


async def _last_entries(stream: EventStream) -> dict[str, str] | None:
    """Return the fingerprints of the endpoints of the last configuration in the trail, if any."""
    found: dict[str, str] | None = None
    try:
        bounds = await stream.bounds()
        after = max(bounds.first - 1, bounds.last - LOOK_BACK)
        while events := await stream.read(after, READ_BYTES):
            for stored in events:
                row = stored.event.row or {}
                if row.get("action") == _CONFIGURED:
                    found = (row["detail"] or {}).get("endpoints")
            after = events[-1].sequence
    except EventHubError as error:  # the start does not depend on it
        logger.warning("audit_unread", reason=error.message)
    return found


def _entry_of(config: Config) -> MessageEndpoint | None:
    entries = (each for each in config.of_kind(MessageEndpoint) if each.is_audit)
    return next(entries, None)


def operator() -> str:
    """Return the user of the operating system that runs this process, as the `user` of an entry."""
    try:
        return f"os:{pwd.getpwuid(os.getuid()).pw_name}"
    except KeyError:  # a container may run as a number
        return f"os:{os.getuid()}"


@asynccontextmanager
async def recorded(
    config: Config, action: str, target: str, event_log: Log | None = None, **detail: Any
) -> AsyncIterator[dict[str, Any]]:
    """Record what the block does for a command, with its outcome; the block may add to the detail.

    Whoever runs commands owns the data, so a trail that cannot be written does not stop them: it
    is logged.

    Args:
        config: of the hub.
        action: in the past tense.
        target: a table, or a file.
        event_log: the log, if the block has it open; otherwise it is opened after the block.
        detail: more about it.
    """
    outcome = "failed"
    try:
        yield detail
        outcome = "ok"
    except EventHubError as error:
        outcome = error.code
        raise
    finally:
        facts = {"user": operator(), "target": target, "outcome": outcome, "detail": detail}
        if (entry := _entry_of(config)) is not None:
            try:
                async with _log(config, event_log) as log:
                    trail = Trail()
                    trail.write_to(await log.open(channel_of(config, entry.table)), entry.name)
                    await trail.record(action, **facts)
            except EventHubError as error:
                logger.warning("audit_lost", action=action, reason=error.message)


@asynccontextmanager
async def _log(config: Config, opened: Log | None) -> AsyncIterator[Log]:
    if opened is not None:
        yield opened
        return
    async with open_log(config) as event_log:
        yield event_log
