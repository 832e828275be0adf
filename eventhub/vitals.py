"""Vitals: how this process is now, and how it was in the last 15 minutes.

The past is a ring of samples in memory, gone with the process; Prometheus and `/metrics` are for
longer ones. A sample reads counters that are kept anyway.
"""

import asyncio
import os
import shutil
import socket
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

from prometheus_client.metrics import MetricWrapperBase

from eventhub import __version__, metrics
from eventhub.feed import Feed

EVERY_SECONDS: Final = 5.0
"""Between two samples."""
KEPT: Final = 180
"""Samples: 15 minutes."""


class Sample(NamedTuple):
    """How the process was at one moment; events, deliveries and failures since its start."""

    time: datetime
    events: int
    """Read from the log, whichever process wrote them."""
    deliveries: int
    """Frames handed to clients."""
    refused: int
    """Messages that were answered by an error."""
    mails_failed: int
    """Attempts to send one that failed, and are made again."""
    subscriptions: int
    """That are open."""
    laggards: int
    """Of these, those that catch up from the log."""
    behind: int
    """Events that the log has, and the current tables do not have yet."""


class Vitals:
    """The vitals of one process; `run` takes the samples."""

    def __init__(self, feeds: Mapping[str, Feed], data: Path, roles: Sequence[str]) -> None:
        """Get ready.

        Args:
            feeds: by name of the channel; more may be added.
            data: the data folder, for the room on its disk.
            roles: of this process.
        """
        self._feeds = feeds
        self._data = data
        self.roles = roles
        self._heads = dict[str, int]()
        """Of the feeds that were followed at the last sample, by name."""
        self._events = 0
        self._started = datetime.now(UTC)
        self._samples: deque[Sample] = deque(maxlen=KEPT + 1)
        self._disk: tuple[int, int] | None = None
        """Bytes of the disk, and those that are free."""
        self._late: dict[str, deque[tuple[datetime, int]]] = {}
        """Of the tables that are behind, by name: when the log was first seen to end where."""

    async def run(self) -> None:
        """Take samples until cancelled."""
        while True:
            await self.sample()
            await asyncio.sleep(EVERY_SECONDS)

    async def sample(self) -> None:
        """Take one sample."""
        heads = {name: feed.head for name, feed in self._feeds.items() if feed.is_followed}
        # A feed that rested goes on at the end of the log: what it left out was not read.
        known = heads.keys() & self._heads.keys()
        self._events += sum(max(0, heads[name] - self._heads[name]) for name in known)
        self._heads = heads
        behind, time = self._behind(), datetime.now(UTC)
        self._note_ends(behind, time)
        taken = Sample(
            time=time,
            events=self._events,
            deliveries=_sum(metrics.DELIVERED),
            refused=_sum(metrics.REFUSED),
            mails_failed=_sum(metrics.ALERTS, "failed"),
            subscriptions=_sum(metrics.CONNECTIONS),
            laggards=_sum(metrics.LAGGARDS),
            behind=sum(behind.values()),
        )
        self._samples.append(taken)
        try:
            disk = await asyncio.to_thread(shutil.disk_usage, self._data)
            self._disk = disk.total, disk.free
            metrics.DISK_FREE.set(disk.free)
        except OSError:  # what the hub needs it for fails, too, and is a problem of its own
            self._disk = None

    def report(self) -> dict[str, Any]:
        """Return what the ring holds, as JSON values; rates are per second."""
        behind = {name: events for name, events in self._behind().items() if events}
        disk = None if self._disk is None else {"bytes": self._disk[0], "free": self._disk[1]}
        return {
            "version": __version__,
            "process": self.process,
            "roles": list(self.roles),
            "started": _text(self._started),
            "tables": len(self._feeds),
            "behind": behind,
            "behind_seconds": max(map(self._age, behind), default=0.0),
            "disk": disk,
            "mails": self._mails() if "alerts" in self.roles else None,
            "every": EVERY_SECONDS,
            "past": [_rates(before, after) for before, after in pairwise(self._samples)],
        }

    def summary(self) -> dict[str, Any]:
        """Return how this process is now, in as few words as the other processes need."""
        behind = {name: events for name, events in self._behind().items() if events}
        return {
            "process": self.process,
            "version": __version__,
            "roles": list(self.roles),
            "running_seconds": round((datetime.now(UTC) - self._started).total_seconds(), 1),
            "connections": _sum(metrics.CONNECTIONS) if "gateway" in self.roles else None,
            "behind": sum(behind.values()) if self._has_tables else None,
            "behind_seconds": max(map(self._age, behind), default=0.0),
            "mails": self._mails() if "alerts" in self.roles else None,
        }

    @property
    def process(self) -> str:
        """What operators call this process: its host and number."""
        return f"{socket.gethostname()}:{os.getpid()}"

    @property
    def logs(self) -> set[str]:
        """The epochs of the streams of all tables, which no other hub has."""
        return {feed.stream.epoch for feed in self._feeds.values()}

    @property
    def _has_tables(self) -> bool:
        return not {"gateway", "projector"}.isdisjoint(self.roles)

    def _behind(self) -> dict[str, int]:
        """Return how many events the current table of each channel does not have yet."""
        projected = {
            sample.labels["channel"]: int(sample.value)
            for family in metrics.PROJECTED.collect()
            for sample in family.samples
        }
        return {
            name: max(0, self._end(name) - projected[name])
            for name in self._feeds
            if name in projected
        }

    def _end(self, name: str) -> int:
        """Return where the log of a channel ends, as far as this process knows.

        The feed of a process without a gateway is not followed.
        """
        feed = self._feeds[name]
        return max(feed.head, feed.stream.known_last)

    def _note_ends(self, behind: Mapping[str, int], time: datetime) -> None:
        """Remember where the logs of tables that are behind end now."""
        self._late = {
            name: self._late.get(name, deque(maxlen=KEPT))
            for name, events in behind.items()
            if events
        }
        for name, ends in self._late.items():
            end = self._end(name)
            if not ends or end > ends[-1][1]:
                ends.append((time, end))

    def _age(self, name: str) -> float:
        """Return the seconds since the first event that the current table of a channel lacks.

        If the feed does not remember that event, they are those since a sample noticed it.
        """
        feed, end = self._feeds[name], self._end(name)
        watermark = end - self._behind()[name]
        now = datetime.now(UTC)
        noticed = (time for time, at in self._late.get(name, ()) if at > watermark)
        since = next(noticed, now)
        if first := feed.recent(watermark):
            since = datetime.fromisoformat(first[0].event.time)
        return max(0.0, round((now - since).total_seconds(), 3))

    def _mails(self) -> dict[str, int]:
        """Return how many mails were sent, failed (and are tried again) and given up."""
        return {outcome: _sum(metrics.ALERTS, outcome) for outcome in ("sent", "failed", "dead")}


def _sum(metric: MetricWrapperBase, outcome: str = "") -> int:
    """Return the sum of a metric over its labels, or over those with one outcome."""
    return int(
        sum(
            sample.value
            for family in metric.collect()
            for sample in family.samples
            if not sample.name.endswith("_created")
            and outcome in ("", sample.labels.get("outcome"))
        )
    )


def _rates(before: Sample, after: Sample) -> dict[str, Any]:
    seconds = max((after.time - before.time).total_seconds(), 0.001)  # a clock may be set back
    rates = {
        name: round((getattr(after, name) - getattr(before, name)) / seconds, 2)
        for name in ("events", "deliveries", "refused", "mails_failed")
    }
    levels = {name: getattr(after, name) for name in ("subscriptions", "laggards", "behind")}
    return {"time": _text(after.time), **rates, **levels}


def _text(time: datetime) -> str:
    return time.isoformat(timespec="seconds").replace("+00:00", "Z")
