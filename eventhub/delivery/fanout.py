"""Fan-out: everyone who is up to date with a channel.

Subscribers that want the same frames in the same form are one group: an event is decided and
encoded once for the group, and the bytes are written to each socket. One turn of the loop makes
at most one write for each connection. A subscriber whose socket is full leaves its group and is
nothing but a position until it has caught up; nothing is ever queued for it here.

Attaching happens without an await between the check and the act, so that a subscriber at
position P gets everything after P, exactly once.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

from eventhub import metrics
from eventhub.delivery.broadcast import Broadcast
from eventhub.delivery.groups import Group, Groups, Member
from eventhub.delivery.head import Head
from eventhub.delivery.view import FrameMemo
from eventhub.delivery.watches import Watches
from eventhub.event import StoredEvent
from eventhub.feed import Feed
from eventhub.places import Places

log = structlog.get_logger()

MAX_STREAM_READERS = 4
"""Laggards that read the log at once: each further consumer slows the broker's writes."""
MAX_SEARCHES = 2
"""Searches for the last events at once, which take longer."""


class Fanout:
    """One channel's subscribers."""

    def __init__(self, feed: Feed, heartbeat: float, broadcast: Broadcast) -> None:
        self.feed = feed
        self._broadcast = broadcast
        self._heartbeat = heartbeat
        self._groups = Groups()
        self._delivered = metrics.DELIVERED.labels(self.name)
        self._tasks: asyncio.TaskGroup | None = None
        self.end = Head(feed.stream)
        self.watches = Watches()
        self.stream_readers = Places(
            MAX_STREAM_READERS, each=MAX_STREAM_READERS - 1, waiting=50_000, what="read the log"
        )
        self.searches = Places(MAX_SEARCHES, each=1, waiting=20, what="search the log")
        feed.listeners.append(self._publish)

    @property
    def name(self) -> str:
        """The channel's name."""
        return self.feed.stream.channel.name

    async def run(self) -> None:
        """Serve until cancelled; owns the tasks of those who catch up."""
        async with asyncio.TaskGroup() as self._tasks:
            await self._beat()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a subscriber's task under this fan-out, which ends it when it ends.

        Raises:
            RuntimeError: the fan-out does not run.
        """
        if self._tasks is None:
            work.close()
            raise RuntimeError("the fan-out does not run")
        return self._tasks.create_task(work)

    def _publish(self, batch: list[StoredEvent]) -> None:
        memo: FrameMemo = {}
        told: dict[Group, list[bytes]] = {}
        for stored in batch:
            for group in self._groups.concerned(stored):
                if frame := group.view.frame(stored, memo):
                    told.setdefault(group, []).append(frame)
        for group, frames in told.items():
            self._push(group, frames)

    def attach(self, member: Member) -> bool:
        """Add a subscriber to those who are up to date, if it is: its position is the head."""
        if member.position != self.feed.head:
            return False
        self._groups.add(member)
        return True

    def detach(self, member: Member) -> None:
        """Forget a subscriber; no error if it is not attached."""
        self._groups.discard(member)

    def lag(self, member: Member) -> None:
        """Let a subscriber whose socket is full read by itself; no error if it does.

        What was written to it is everything up to the head.
        """
        if self.is_attached(member):
            member.position = self.feed.head
            self.detach(member)
            _ = self.spawn(member.catch_up())

    def is_attached(self, member: Member) -> bool:
        """Tell whether a subscriber is up to date: its position is then the feed's head."""
        return member in self._groups

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._heartbeat)
            for group in self._groups:
                if group.is_quiet:
                    for member in tuple(group.members):
                        member.beat()
                group.is_quiet = True

    def _push(self, group: Group, frames: list[bytes]) -> None:
        group.is_quiet = False
        self._delivered.inc(len(frames) * len(group.members))
        data = b"".join(frames)
        self._broadcast.write(group.crowd, data)  # who cannot take it all leaves meanwhile: `lag`
