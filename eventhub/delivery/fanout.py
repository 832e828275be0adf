"""Fan-out: everyone who is up to date with a channel.

Subscribers that want the same frames in the same form are one group: an event is decided and
encoded once for the group, and the bytes are written to each socket. One turn of the loop makes
at most one write for each connection. A subscriber whose socket is full leaves its group and is
nothing but a position until it has caught up; nothing is ever queued for it here.

Attaching happens without an await between the check and the act, so that a subscriber at
position P gets everything after P, exactly once.
"""

import asyncio

from eventhub import metrics
from eventhub.delivery.broadcast import Broadcast
from eventhub.delivery.groups import Group, Groups, Member
from eventhub.delivery.view import FrameMemo
from eventhub.event import StoredEvent
from eventhub.feed import Feed


class Fanout:
    """One channel's subscribers."""

    def __init__(self, feed: Feed, heartbeat: float, broadcast: Broadcast) -> None:
        self.feed = feed
        self._broadcast = broadcast
        self._heartbeat = heartbeat
        self._groups = Groups()
        self._delivered = metrics.DELIVERED.labels(feed.stream.channel.name)

    async def run(self) -> None:
        """Send heartbeats to subscribers that get nothing else, until cancelled."""
        while True:
            await asyncio.sleep(self._heartbeat)
            for group in self._groups:
                if group.is_quiet:
                    for member in tuple(group.members):
                        member.beat()
                group.is_quiet = True

    def publish(self, batch: list[StoredEvent]) -> None:
        """Write the frames of a batch to every subscriber that is up to date."""
        memo: FrameMemo = {}
        found: dict[Group, list[bytes]] = {}
        for stored in batch:
            for group in self._groups.concerned(stored):
                if frame := group.view.frame(stored, memo):
                    found.setdefault(group, []).append(frame)
        for group, frames in found.items():
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

    def is_attached(self, member: Member) -> bool:
        """Tell whether a subscriber is up to date: its position is then the feed's head."""
        return member in self._groups

    def _push(self, group: Group, frames: list[bytes]) -> None:
        group.is_quiet = False
        self._delivered.inc(len(frames) * len(group.members))
        data = b"".join(frames)
        # A subscriber whose socket does not take all of it detaches itself meanwhile.
        self._broadcast.write(group.sinks, data)
