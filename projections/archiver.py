"""Archiver: keeps an export of the events of all channels current, in a folder for each.

It does what `eventhub export --events --continue` does, again and again. What it cannot write or
read is logged and tried again; no client waits for it.
"""

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import structlog

from eventhub.channel import encode_token
from eventhub.errors import EventHubError
from eventhub.metrics import ARCHIVED
from eventhub.stream import EventStream
from projections.export import export_events
from projections.manifest import Scope

RETRY_SECONDS: Final = 60.0
"""After a failure it is tried again in this time, if it is not due earlier."""

logger = structlog.get_logger(__name__)


class Archiver:
    """The archive of some channels."""

    def __init__(self, streams: Iterable[EventStream], folder: Path, every_seconds: float) -> None:
        """Prepare; `run` does the work.

        Args:
            streams: of the channels.
            folder: has a folder for each of them.
            every_seconds: how old the archive may be.
        """
        self._streams = tuple(streams)
        self._folder = folder
        self._every_seconds = every_seconds
        self._failing: dict[str, str] = {}

    @property
    def notes(self) -> list[str]:
        """What fails now, a line each."""
        return [f"the archive of {name} fails: {why}" for name, why in self._failing.items()]

    async def run(self) -> None:
        """Archive until cancelled: at once, and then each time it is due."""
        while True:
            for stream in self._streams:
                await self._archive(stream)
            pause = self._every_seconds
            await asyncio.sleep(min(pause, RETRY_SECONDS) if self._failing else pause)

    async def _archive(self, stream: EventStream) -> None:
        name = stream.channel.name
        scope = Scope(table=name, what="events", format="parquet")
        try:
            done = await export_events(
                stream, scope, self._folder / encode_token(name), _ignore, again=True
            )
        except (EventHubError, OSError) as error:
            if self._failing.get(name) != str(error):
                logger.warning("archive_failed", channel=name, reason=str(error))
            self._failing[name] = str(error)
            return
        except Exception as error:  # the hub and the other channels go on
            logger.exception("archive_failed", channel=name)
            self._failing[name] = type(error).__name__
            return
        if self._failing.pop(name, None) is not None:
            logger.info("archive_recovered", channel=name)
        ARCHIVED.labels(name).set(done.sequence)


def _ignore(_reached: int, _last: int) -> None:
    """Nobody looks at the progress."""
