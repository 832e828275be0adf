"""Quotas: how many rows, events and bytes a user may write to a table in one day (UTC).

What counts are the events of the log: those of today are read once, and further ones come from the
channel's feed. So a restart forgets nothing, and every gateway counts what the others store. What
this process is storing is counted from the moment it is sent, so that no burst exceeds a quota of
rows or events; its bytes are known only once it is stored. Other gateways may exceed a quota by
what they store until the feed delivers it (ADR-78).
"""

import asyncio
from collections.abc import Callable, Coroutine, Hashable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

import structlog

from eventhub import metrics
from eventhub.config import Quota
from eventhub.demand import Demand
from eventhub.errors import EventHubError, Rejected, Unavailable
from eventhub.event import LOADED, Event, StoredEvent
from eventhub.logs import limited
from eventhub.stream import Appended, EventStream, OnAppended

logger = structlog.get_logger(__name__)

WAIT_SECONDS: Final = 20.0
"""How long a write waits until the events of today are counted."""
RETRY_SECONDS: Final = 1.0
_DAY: Final = len("2026-11-23")


class Usage:
    """What one user has written today, or is writing now."""

    __slots__ = ("bytes", "events", "rows")

    def __init__(self) -> None:
        self.rows = self.events = self.bytes = 0

    def add(self, rows: int, events: int, size: int) -> None:
        """Add; negative numbers take away."""
        self.rows += rows
        self.events += events
        self.bytes += size


class Quotas:
    """Appends to one channel, within the quotas of its endpoints.

    Args:
        stream: the log of the channel.
        head: returns the sequence up to which the feed has delivered.
        spawn: starts a task whose owner ends it.
        now: the clock; returns aware instants.
        demand: of the feed, which may rest: then `on_followed` is called.
    """

    def __init__(
        self,
        stream: EventStream,
        head: Callable[[], int],
        spawn: Callable[[Coroutine[Any, Any, None]], object],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        demand: Demand | None = None,
    ) -> None:
        self._stream = stream
        self._demand = demand or Demand()
        self._is_followed = not self._demand.may_end
        self._head = head
        self._spawn = spawn
        self._now = now
        self._of: Mapping[str, Quota] = {}
        self._is_counting = False
        self._counted = asyncio.Event()
        self._read_to = 0
        """Events of today up to here are counted."""
        self._day = ""
        self._used: dict[str | None, Usage] = {}
        self._under_way: dict[str | None, Usage] = {}
        """What was sent, and is not stored or not delivered by the feed yet."""
        self._stored: dict[int, tuple[str | None, int, int]] = {}
        """What is stored, and not delivered yet: user, rows and bytes, by sequence."""

    def limit(self, of: Mapping[str, Quota]) -> None:
        """Apply the quotas of the endpoints, by name, from now on."""
        self._of = of
        if of and not self._is_counting:
            self._is_counting = True
            if self._is_followed:
                self._spawn(self._count(self._head()))

    def on_followed(self, after: int | None) -> None:
        """Count on: `note` will be given every event after a sequence; None: no more events."""
        self._is_followed = after is not None
        if after is None and self._counted.is_set():
            self._read_to = self._head()
            self._counted.clear()
        elif after is not None and self._is_counting:
            self._spawn(self._count(after))

    def note(self, batch: Iterable[StoredEvent]) -> None:
        """Count delivered events, in order; if no endpoint has had a quota, nothing is counted."""
        if self._is_counting:
            for stored in batch:
                self._add(stored)

    async def append(self, event: Event, *, expect: int) -> Appended:
        """Append as `EventStream.append` does.

        Raises:
            Rejected: `quota_exceeded`; nothing was appended.
            Unavailable: what was written today is not counted yet; nothing was appended.
        """
        quota = self._of.get(event.endpoint)
        if quota is None:
            return await self._stream.append(event, expect=expect)
        with self._demand.hold():
            await self._ready()
            self._take(event, quota)
            outcome: Appended | EventHubError = EventHubError("it was cancelled")
            try:
                outcome = await self._stream.append(event, expect=expect)
            finally:
                self._give_back(event, outcome)
            return outcome

    def submit(
        self, event: Event, *, expect: int, sender: Hashable, on_appended: OnAppended
    ) -> bool:
        """Submit as `EventStream.submit` does; errors also as `append`."""
        quota = self._of.get(event.endpoint)
        if quota is None:
            return self._stream.submit(event, expect=expect, sender=sender, on_appended=on_appended)
        if not self._counted.is_set():
            return False  # `append` waits
        self._take(event, quota)
        is_submitted = False
        ended = partial(self._on_appended, event, on_appended)
        try:
            is_submitted = self._stream.submit(
                event, expect=expect, sender=sender, on_appended=ended
            )
        finally:
            if not is_submitted:
                self._give_back(event, None)
        return is_submitted

    def _on_appended(
        self, event: Event, on_appended: OnAppended, outcome: Appended | EventHubError
    ) -> None:
        self._give_back(event, outcome)
        on_appended(outcome)

    # --- What a user may -------------------------------------------------------------------------

    def _take(self, event: Event, quota: Quota) -> None:
        """Count an event that will be sent.

        Raises:
            Rejected: `quota_exceeded`.
        """
        now = self._now().astimezone(UTC)
        self._begin(now.date().isoformat())
        user, rows = event.user, int(event.method == "POST")
        used, under_way = self._used.get(user, _NOTHING), self._under_way.get(user, _NOTHING)
        for name, wants in (("rows", rows), ("events", 1), ("bytes", 1)):
            most = getattr(quota, name)
            has = getattr(used, name) + getattr(under_way, name)
            if most is not None and wants and has + wants > most:
                raise _exceeded(user, name, most, now)
        self._under_way.setdefault(user, Usage()).add(rows, 1, 0)

    def _give_back(self, event: Event, outcome: Appended | EventHubError | None) -> None:
        """Count an event no longer as under way: at once, or when the feed delivers it."""
        user, rows = event.user, int(event.method == "POST")
        match outcome:
            case Appended(duplicate=False) if outcome.sequence > self._head():
                self._under_way[user].add(0, 0, outcome.size)
                self._stored[outcome.sequence] = user, rows, outcome.size
            case _:
                self._end(user, rows, 0)

    def _end(self, user: str | None, rows: int, size: int) -> None:
        under_way = self._under_way[user]
        under_way.add(-rows, -1, -size)
        if under_way.events == 0:
            del self._under_way[user]

    # --- What was written today ------------------------------------------------------------------

    def _begin(self, day: str) -> None:
        """Start to count a day, if it is a new one."""
        if day > self._day:
            self._day = day
            self._used = {}

    def _add(self, stored: StoredEvent) -> None:
        event = stored.event
        day = event.time[:_DAY]
        if day > self._day and day <= self._now().astimezone(UTC).date().isoformat():
            self._begin(day)
        if day == self._day and not event.write.startswith(LOADED):
            usage = self._used.setdefault(event.user, Usage())
            usage.add(int(event.method == "POST"), 1, stored.size)
        if self._stored and (own := self._stored.pop(stored.sequence, None)):
            self._end(*own)

    async def _ready(self) -> None:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._counted.wait()
        except TimeoutError:
            text = "what was written today is still being counted: try again"
            raise Unavailable(text, retry_after=5) from None

    async def _count(self, end: int) -> None:
        """Count the events of today up to a sequence; those after it come from the feed."""
        today = self._now().astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        with self._demand.hold():  # the feed must not rest meanwhile
            while True:
                try:
                    await self._read(today, end)
                except EventHubError as error:
                    name = self._stream.channel.name
                    logger.warning("quota_not_counted", channel=name, error=error)
                    await asyncio.sleep(RETRY_SECONDS)
                else:
                    self._counted.set()
                    return

    async def _read(self, since: datetime, end: int) -> None:
        end = min(end, (await self._stream.bounds()).last)
        position = max(self._read_to, await self._stream.sequence_before(since))
        if position >= end:
            return
        async with self._stream.follow(position) as batches:
            async for batch in batches:
                for stored in batch:
                    if stored.sequence <= end:
                        self._add(stored)
                self._read_to = batch[-1].sequence  # a retry after a failure goes on from here
                if self._read_to >= end:
                    return


_NOTHING: Final = Usage()
_DONE: Final = {
    "rows": "created {:,} rows of this table",
    "events": "sent {:,} changes to this table",
    "bytes": "used {:,} bytes of this table",
}


def _exceeded(user: str | None, name: str, most: int, now: datetime) -> Rejected:
    metrics.LIMITED.labels(f"quota_{name}").inc()
    limited.warning("quota_exceeded", by=user or "clients without a login", reason=name, most=most)
    who = "clients without a login have" if user is None else "you have"
    done = _DONE[name].format(most)
    midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return Rejected(
        "quota_exceeded",
        f"{who} {done} today, as many as allowed: try again after midnight UTC",
        retry_after=int((midnight - now).total_seconds()) + 1,
    )
