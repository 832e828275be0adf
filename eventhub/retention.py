"""Retention: seals the old events of the tables whose `log: {keep: ...}` asks for it."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

import structlog

from eventhub.config import Config, MessageEndpoint
from eventhub.errors import EventHubError, Misconfigured
from eventhub.jetstream import JetStreamLog
from eventhub.metrics import SEALED, SEALED_BYTES
from eventhub.stream import EventStream
from projections.sealing import Sealer

CHECK_SECONDS: Final = (1.0, 60.0)
"""The shortest and the longest time between two looks for events that are old enough."""
CHECKS: Final = 20
"""Looks in the time that events are kept."""

logger = structlog.get_logger(__name__)


def keeps_of(config: Config) -> dict[str, timedelta]:
    """Return how long the history of tables stays in their streams; the others keep it forever.

    Raises:
        Misconfigured: two endpoints of one table disagree.
    """
    found: dict[str, tuple[str, int]] = {}
    for entry in config.of_kind(MessageEndpoint):
        if entry.log is None:
            continue
        name, seconds = found.setdefault(entry.table, (entry.name, entry.log.keep_seconds))
        if seconds != entry.log.keep_seconds:
            raise Misconfigured(
                f"url: {entry.name}: log.keep: table {entry.table} has another one at"
                f" {name!r}; make them equal"
            )
    return {table: timedelta(seconds=seconds) for table, (_, seconds) in found.items()}


class Retention:
    """Seals the old events of some tables; `run` does the work."""

    def __init__(
        self,
        event_log: JetStreamLog,
        streams: Mapping[str, EventStream],
        keeps: Mapping[str, timedelta],
    ) -> None:
        """Prepare.

        Args:
            event_log: the log of the tables.
            streams: by table.
            keeps: how long events of each table stay in its stream.
        """
        self._log = event_log
        self._streams = streams
        self._keeps = keeps
        self._sealers: dict[str, Sealer] = {}
        self._failing: dict[str, str] = {}

    @property
    def notes(self) -> list[str]:
        """What fails, or waits, now, a line each."""
        failing = [f"the log of {name} is not sealed: {why}" for name, why in self._failing.items()]
        waiting = [
            f"the log of {name} is not trimmed: alerts up to event {sealer.waits_for} are pending"
            for name, sealer in self._sealers.items()
            if sealer.waits_for
        ]
        return failing + waiting

    async def run(self) -> None:
        """Seal until cancelled."""
        shortest, longest = CHECK_SECONDS
        soonest = min(self._keeps.values()).total_seconds() / CHECKS
        while True:
            for name in self._keeps:
                await self._seal(name)
            await asyncio.sleep(longest if self._failing else min(max(soonest, shortest), longest))

    async def _seal(self, name: str) -> None:
        try:
            sealer = self._sealers.get(name) or await self._sealer(name)
            while await sealer.run_once():
                pass
        except EventHubError as error:
            if self._failing.get(name) != error.message:
                logger.warning("sealing_failed", channel=name, reason=error.message)
            self._failing[name] = error.message
            return
        except Exception as error:  # the hub and the other tables go on
            logger.exception("sealing_failed", channel=name)
            self._failing[name] = type(error).__name__
            return
        if self._failing.pop(name, None) is not None:
            logger.info("sealing_recovered", channel=name)
        SEALED.labels(name).set(sealer.manifest.last)
        SEALED_BYTES.labels(name).set(sum(each.bytes for each in sealer.manifest.segments))

    async def _sealer(self, name: str) -> Sealer:
        stream = self._streams[name]
        sealing = await self._log.sealing(stream.channel, stream.epoch)
        sealer = self._sealers[name] = Sealer(stream, sealing, self._keeps[name])
        return sealer
