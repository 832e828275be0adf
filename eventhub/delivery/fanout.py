"""Fan-out: writes new events to all subscribers that are up to date with a channel.

Subscribers that want the same frames in the same form are one group: an event is decided on and
encoded once for the group, and the same bytes are written to each socket. One turn of the loop
makes at most one write for each connection. A subscriber whose socket is full leaves its group and
is only a position until it has caught up; nothing is ever queued for it here.

Attaching happens without an `await` between the check and the act, so that a subscriber at
position P gets everything after P, exactly once.
"""

import asyncio
from datetime import UTC, datetime

from eventhub import metrics
from eventhub.delivery import frames
from eventhub.delivery.broadcast import Broadcast
from eventhub.delivery.groups import Group, Groups, Member
from eventhub.delivery.send import Send
from eventhub.delivery.view import FrameMemo, Payload
from eventhub.event import StoredEvent
from eventhub.feed import Feed


class Fanout:
    """One channel's subscribers that are up to date."""

    def __init__(self, feed: Feed, heartbeat: float, broadcast: Broadcast) -> None:
        """Make a fan-out without subscribers.

        Args:
            feed: its head is what subscribers have to be up to date with.
            heartbeat: seconds of silence after which a subscriber is pinged.
            broadcast: writes to many sockets.
        """
        self._feed = feed
        self._broadcast = broadcast
        self.heartbeat = heartbeat
        self._groups = Groups()
        self._delivered = metrics.DELIVERED.labels(feed.stream.channel.name)
        self._age = metrics.EVENT_AGE.labels(feed.stream.channel.name)

    async def run(self) -> None:
        """Send heartbeats to subscribers that get nothing else, until cancelled."""
        while True:
            await asyncio.sleep(self.heartbeat)
            if self._feed.stream.trouble:
                continue  # a heartbeat says that there is nothing newer, which is not known now
            for group in self._groups:
                if group.is_quiet:
                    for member in tuple(group.members):
                        member.heartbeat()
                group.is_quiet = True

    def publish(self, batch: list[StoredEvent]) -> None:
        """Write the frames of a batch to every subscriber that is up to date."""
        if not self._groups:
            return
        memo: FrameMemo = {}
        found: dict[Group, list[Payload]] = {}
        for stored in batch:
            for group in self._groups.candidates(stored):
                if (payload := group.view.payload(stored, memo)) is not None:
                    found.setdefault(group, []).append(payload)
        for group, payloads in found.items():
            group.is_quiet = False
            self._delivered.inc(len(payloads) * len(group.members))
            # A subscriber whose socket does not take everything detaches itself meanwhile.
            for number, sinks in tuple(group.sinks.items()):
                self._broadcast.write(sinks, frames.events(group.view.form, payloads, number))
        if found:
            self._age.observe(_age_of(batch[0]))

    def send(self, batch: list[Send]) -> None:
        """Write messages that are not stored to every subscriber that is up to date.

        They say nothing of the log, so they are no reason to leave out a heartbeat.
        """
        memo: FrameMemo = {}
        found: dict[Group, list[bytes]] = {}
        for send in batch:
            for group in self._groups.of_rows([send.row]):
                if (payload := send.payload(group.view, memo)) is not None:
                    found.setdefault(group, []).append(payload)
        for group, payloads in found.items():
            self._delivered.inc(len(payloads) * len(group.members))
            for number, sinks in tuple(group.sinks.items()):
                self._broadcast.write(sinks, frames.sent(group.view.form, payloads, number))

    def attach(self, member: Member) -> bool:
        """Add a subscriber if it is up to date, which is that its position is the head."""
        if not self._feed.is_followed or member.position != self._feed.head:
            return False
        self._groups.add(member)
        return True

    def detach(self, member: Member) -> None:
        """Remove a subscriber; no error if it is not attached."""
        self._groups.discard(member)

    def is_attached(self, member: Member) -> bool:
        """Return whether a subscriber is up to date: its position is then the feed's head."""
        return member in self._groups


def _age_of(stored: StoredEvent) -> float:
    """Return the seconds since an event was accepted, perhaps by a process with another clock."""
    accepted = datetime.fromisoformat(stored.event.time)
    return max(0.0, (datetime.now(UTC) - accepted).total_seconds())
