"""Subscriber: one client's reading of a channel, from its first frame on.

It reads the past (a snapshot, or the log from a position), then what happened meanwhile, then is
attached to the fan-out. When its socket is full it goes back to reading by itself. At any time it
is only a position: at most `MAX_UNSENT_BYTES` and one turn's events wait in its socket's buffer.
"""

import asyncio
from collections.abc import Hashable
from contextlib import suppress
from itertools import accumulate

import structlog

from eventhub import metrics
from eventhub.delivery import frames
from eventhub.delivery.last_events import position_before
from eventhub.delivery.live_channel import LiveChannel
from eventhub.delivery.outlet import MAX_UNSENT_BYTES, Outlet
from eventhub.delivery.playback import Playback
from eventhub.delivery.start import Start
from eventhub.delivery.view import View
from eventhub.errors import EventHubError, Unavailable
from eventhub.event import StoredEvent
from eventhub.feed import turns
from eventhub.snapshots import PART_BYTES

logger = structlog.get_logger(__name__)

SLOT_SECONDS = 300.0
"""How long a subscriber may wait for its slot to read the log."""
PLAYED_BYTES = 64 << 10
"""A playback keeps this much of the log in memory while it waits, however slow it is."""
QUIET_SECONDS = 20.0
"""A playback sends a heartbeat at least this often while no event is due."""
READ_SECONDS = 30.0
"""How long one read of the log may take; then its client has to connect again."""


class Subscriber:
    """One client's reading of one channel."""

    def __init__(
        self, view: View, channel: LiveChannel, outlet: Outlet, client: Hashable = None
    ) -> None:
        """Make a subscriber that does not read yet.

        Args:
            view: what the client sees.
            channel: what it reads; owns its tasks.
            outlet: where frames are written.
            client: whose share of the slots it uses.
        """
        self.view = view
        self.position = 0
        """Everything up to here has been written, or, while attached, up to the feed's head."""
        self.sink = outlet.sink
        self._channel = channel
        self._outlet = outlet
        self._client = client
        self._task: asyncio.Task[None] | None = None
        self._is_stopped = False
        outlet.on_full = self._lag

    @property
    def behind(self) -> int:
        """Events of the channel that it has not read yet."""
        if self._channel.fanout.is_attached(self):
            return 0
        return max(0, self._channel.feed.head - self.position)

    def start(self, start: Start) -> None:
        """Start to read; errors are sent to the client and close its connection."""
        self._task = self._channel.tasks.spawn(self._run(start))

    async def join(self, start: Start) -> None:
        """Read from a position of the log until attached; errors are raised.

        Unlike `start` it sends nothing but events, and has no task of its own.
        """
        await self._seek(start)
        await self._catch_up(up_to=start.head)
        await self._catch_up()

    def stop(self) -> None:
        """Read no more; idempotent. Everything up to `position` has been written."""
        self._is_stopped = True
        self._detach()
        if self._task is not None:
            self._task.cancel()

    def heartbeat(self) -> None:
        """Keep the connection open, and send the client its position."""
        self._outlet.ping()
        head = self._channel.feed.head
        self._control(frames.tick(self.view.position(head)), head)

    def _lag(self) -> None:
        """Leave the fan-out, and read at the pace of the client unless its connection ends."""
        if self._detach() and not self._outlet.is_closing:
            self._task = self._channel.tasks.spawn(self._run_lagging())

    def _detach(self) -> bool:
        """Leave the fan-out; return whether it was attached: the head has been written then."""
        if not self._channel.fanout.is_attached(self):
            return False
        self.position = self._channel.feed.head
        self._channel.fanout.detach(self)
        return True

    async def _run_lagging(self) -> None:
        laggards = metrics.LAGGARDS.labels(self._channel.name)
        laggards.inc()
        try:
            await self._run(None)
        finally:
            laggards.dec()

    async def _run(self, start: Start | None) -> None:
        """Read until attached: the past first, if there is a start, then on from the position."""
        try:
            if start is not None:
                await self._replay(start)
                if start.speed is None:
                    return
                if start.speed:
                    await self._play(start.speed)
            await self._catch_up()
        except ConnectionError:
            return  # the client is gone, which the owner of the connection is notified of
        except EventHubError as error:
            await self._fail(error)
        except Exception:  # one client's failure must not end the others
            logger.exception("subscriber_failed", channel=self._channel.name)
            await self._fail(EventHubError("internal error"))

    async def _fail(self, error: EventHubError) -> None:
        with suppress(ConnectionError):
            await self._outlet.fail(error)

    async def _replay(self, start: Start) -> None:
        """Send the past, then `_ready`.

        Rows are as of `start.head` or later: what was acknowledged before the client came is sent
        as a row.
        """
        await self._seek(start)
        if start.reason:
            self._control(frames.resume(recovered=start.recovered, reason=start.reason))
        if start.position is None:
            await self._send_snapshot(start.head)
        await self._catch_up(up_to=start.head)
        recovered = start.recovered and start.position is not None
        ready = frames.ready(self.view.position(self.position), recovered=recovered)
        self._control(ready, self.position)

    async def _seek(self, start: Start) -> None:
        """Go to the position after which reading starts, if it is not the current rows."""
        if start.last is not None:
            self.position = await position_before(
                start.last, self.view, self._channel, self._client
            )
        elif start.position is not None:
            self.position = start.position

    async def _send_snapshot(self, head: int) -> None:
        async with self._channel.replays.open(self.view, head, client=self._client) as rows:
            rest = b""
            async for part in rows.parts():
                # What comes between two parts, such as a receipt, must not be within a frame.
                data = rest + part
                is_whole = len(part) < PART_BYTES
                end = len(data) if is_whole else frames.whole(self.view.form, data)
                rest = data[end:]
                self._outlet.push(data[:end])
                await self._outlet.drain()
                await asyncio.sleep(0)
                if self._outlet.is_closing:
                    raise ConnectionResetError("the client is gone")
            self.position = rows.sequence

    async def _catch_up(self, up_to: int | None = None) -> None:
        """Read from the ring or the log until attached, or until a sequence is reached."""
        while up_to is None or self.position < up_to:
            await self._outlet.drain()
            if self._is_stopped or self._outlet.is_closing:
                return
            if up_to is None and self._channel.fanout.attach(self):
                return
            events = self._channel.feed.recent(self.position)
            if events is None:
                await self._write_some(await self._read_log())
            elif events:
                await self._write_some(events)
            else:
                await self._wait_for_more(up_to)

    async def _wait_for_more(self, up_to: int | None) -> None:
        """Wait for the feed: a snapshot or a start may be ahead of it by a moment."""
        target = self.position if up_to is None else up_to
        try:
            await self._channel.feed.reached(target, READ_SECONDS)
        except TimeoutError:
            raise Unavailable("the event log does not answer") from None
        if self._channel.feed.recent(self.position) == []:
            self.position = max(self.position, target)

    async def _read_log(self) -> list[StoredEvent]:
        """Return the events of one read of the log after the position."""
        # The holder of a slot gives it back within `READ_SECONDS`.
        async with self._channel.log_readers.take(self._client, SLOT_SECONDS):
            try:
                async with asyncio.timeout(READ_SECONDS):
                    with suppress(Unavailable):  # then wait for the broker, as a follower does
                        events = await self._channel.stream.read(self.position, MAX_UNSENT_BYTES)
                        if events:
                            return events
                    async with self._channel.stream.follow(self.position) as log:
                        return await anext(log)
            except TimeoutError:
                raise Unavailable("the event log does not answer") from None

    async def _write_some(self, events: list[StoredEvent]) -> None:
        """Write events while the socket takes them; what it does not take is read again."""
        for turn in turns(events):
            if data := self.view.wire(turn):
                self._outlet.push(data)
            self.position = turn[-1].sequence
            await asyncio.sleep(0)
            if self._outlet.is_full:
                return

    async def _play(self, speed: float) -> None:
        """Write the events up to the head, each when it is due."""
        playback = Playback(speed, asyncio.get_running_loop().time)
        while not (self._is_stopped or self._outlet.is_closing):
            await self._outlet.drain()
            events = self._channel.feed.recent(self.position)
            if events == []:
                return
            events = _first(await self._read_log() if events is None else events)
            for stored in events:
                await self._until_due(stored, playback)
                if data := self.view.wire([stored]):
                    self._outlet.push(data)
                self.position = stored.sequence
                await asyncio.sleep(0)
                if self._outlet.is_full or self._outlet.is_closing:
                    break

    async def _until_due(self, stored: StoredEvent, playback: Playback) -> None:
        while (delay := playback.delay(stored)) > 0:
            await asyncio.sleep(min(delay, QUIET_SECONDS))
            if delay > QUIET_SECONDS:
                self._outlet.ping()
                self._control(frames.tick(self.view.position(self.position)), self.position)

    def _control(self, frame: dict[str, object], sequence: int | None = None) -> None:
        """Send a control frame; bare clients and polls get none."""
        if self.view.form.controlled:
            position = None if sequence is None else self.view.position(sequence)
            payload = frames.encode(frames.of_subscription(self.view.number, frame))
            self._outlet.push(frames.wire(self.view.form, payload, position))


def _first(events: list[StoredEvent]) -> list[StoredEvent]:
    """Return the first events that a playback may keep: at least one."""
    sizes = accumulate(stored.size for stored in events)
    return events[: max(1, sum(size <= PLAYED_BYTES for size in sizes))]
