"""Keepers: what keeps the history of a process's tables outside their streams.

The archiver exports it for others, and retention seals what the streams need not hold any more.
"""

from collections.abc import Collection, Mapping
from pathlib import Path

from eventhub.config import Config
from eventhub.jetstream import JetStreamLog
from eventhub.retention import Retention, keeps_of
from eventhub.service import Service, Services, until_stopped
from eventhub.stream import EventStream
from projections.archiver import Archiver


class Keepers:
    """The archiver and the retention of one process, if its roles have them."""

    def __init__(
        self, event_log: JetStreamLog, streams: Mapping[str, EventStream], roles: Collection[str]
    ) -> None:
        """Prepare.

        Args:
            event_log: the log of the tables.
            streams: by table; it may grow.
            roles: of the process.
        """
        self._log = event_log
        self._streams = streams
        self._roles = roles
        self._archiver: Archiver | None = None
        self._retention: Retention | None = None

    @property
    def notes(self) -> list[str]:
        """What fails now, a line each."""
        running = [each for each in (self._archiver, self._retention) if each is not None]
        return [note for each in running for note in each.notes]

    def services(self, config: Config) -> dict[str, Service]:
        """Return what runs under a configuration."""
        return self._archiving(config) | self._retaining(config)

    async def adopt(
        self, before: Config, config: Config, services: Services, *, has_more_tables: bool
    ) -> None:
        """Exchange what another configuration changes."""
        if before.archive != config.archive or has_more_tables:
            await services.exchange("archiver", self._archiving(config))
        if keeps_of(before) != keeps_of(config):
            await services.exchange("retention", self._retaining(config))

    def _archiving(self, config: Config) -> dict[str, Service]:
        self._archiver = None
        if "archiver" not in self._roles or (archive := config.archive) is None:
            return {}
        self._archiver = Archiver(self._streams.values(), Path(archive.to), archive.every_seconds)
        return {"archiver": until_stopped(self._archiver.run)}

    def _retaining(self, config: Config) -> dict[str, Service]:
        self._retention = None
        if "projector" not in self._roles or not (keeps := keeps_of(config)):
            return {}
        self._retention = Retention(self._log, self._streams, keeps)
        return {"retention": until_stopped(self._retention.run)}
