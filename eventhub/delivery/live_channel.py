"""Live channel: what one gateway process keeps for one channel, shared by its endpoints."""

from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from eventhub.background import Background
from eventhub.delivery.broadcast import Broadcast
from eventhub.delivery.fanout import Fanout
from eventhub.delivery.fold import MAX_EVENTS
from eventhub.delivery.live_filters import LiveFilters
from eventhub.delivery.log_bounds import LogBounds
from eventhub.delivery.presence import Presences
from eventhub.delivery.replay import Replays
from eventhub.delivery.sends import Sends
from eventhub.delivery.view import View
from eventhub.feed import Feed
from eventhub.ingest.quotas import Quotas
from eventhub.ingest.receipts import Receipts
from eventhub.ingest.row_cache import RowCache
from eventhub.ingest.settling import Settling
from eventhub.signals import Signals
from eventhub.slots import Slots
from eventhub.snapshots import Snapshots

MAX_LOG_READERS = 4
"""Slow subscribers that read the log at once; each consumer slows down the broker's writes."""
MAX_SEARCHES = 2
"""Concurrent searches for the last events. They take longer, so resuming does not wait for them."""

MAX_LEAD = 0.5
"""Of the recent events: while those that the tables lack take more, large messages come slowly."""


class LiveChannel:
    """One channel's feed, and everything that works from it.

    The feed hands each batch to the row cache, then to the receipts, then to the fan-out. So the
    caches are fresh before a frame goes out: a client that answers a frame at once is answered from
    the row that the frame shows.
    """

    def __init__(
        self,
        feed: Feed,
        snapshots: Snapshots,
        broadcast: Broadcast,
        heartbeat: float,
        tasks: Background,
        signals: Signals,
    ) -> None:
        """Connect a feed with its caches and its subscribers.

        Args:
            feed: run by the caller.
            snapshots: where current rows are read.
            broadcast: writes to many sockets.
            heartbeat: seconds of silence after which a subscriber is pinged.
            tasks: owns the tasks of the subscribers and the replays.
            signals: of all processes.
        """
        self.feed = feed
        self.stream = feed.stream
        self.name = feed.stream.channel.name
        self.tasks = tasks
        self.rows = RowCache(feed.stream)
        self.receipts = Receipts(feed.stream, after=feed.head if feed.is_followed else None)
        self.quotas = Quotas(feed.stream, lambda: feed.head, tasks.spawn, demand=feed.demand)
        self.settling = Settling(feed.stream, self.rows, self.receipts, self.quotas)
        self.fanout = Fanout(feed, heartbeat, broadcast)
        self.signals = signals
        self.sends = Sends(feed.stream.channel, signals, self.fanout)
        self.presences = Presences(feed.stream.channel, signals)
        self.snapshots = snapshots
        self.replays = Replays(snapshots, feed, tasks)
        self.bounds = LogBounds(feed.stream)
        self.live_filters = LiveFilters()
        self.log_readers = Slots(
            MAX_LOG_READERS, each=MAX_LOG_READERS - 1, waiting=50_000, what="read the log"
        )
        self.searches = Slots(MAX_SEARCHES, each=1, waiting=20, what="search the log")
        caches = [self.rows.note, self.receipts.note, self.quotas.note]
        feed.listeners += [*caches, self.fanout.publish]
        feed.on_followed += [each.on_followed for each in (self.rows, self.receipts, self.quotas)]

    @property
    def is_behind(self) -> bool:
        """The tables lack so many large events that readers would soon have to wait for them."""
        stored = self.snapshots.sequence_of(self.name)
        return self.feed.lead(stored, MAX_EVENTS) > MAX_LEAD

    @contextmanager
    def hold(self, view: View, client: Hashable) -> Iterator[None]:
        """Count a live subscriber for the length of a block; the channel is followed for it.

        Raises:
            Unavailable: `too_many_reads`: see `LiveFilters.hold`.
        """
        with self.feed.demand.hold(), self.live_filters.hold(view, client):
            yield
