"""Subscriber: one client's place in a channel, from its first frame on.

It reads the past (a snapshot, or the log from a position), then what happened meanwhile, then is
attached to the fan-out. When its socket is full it goes back to reading by itself. At any time
it is only a position, and at most `MAX_UNSENT_BYTES` and one turn's events in its socket's buffer.
"""

import asyncio
from collections.abc import Hashable
from contextlib import suppress

import structlog

from eventhub import metrics
from eventhub.delivery import frames as protocol
from eventhub.delivery.live_channel import LiveChannel
from eventhub.delivery.outlet import MAX_UNSENT_BYTES, Outlet
from eventhub.delivery.start import Start, searched
from eventhub.delivery.view import View
from eventhub.errors import EventHubError, Unavailable
from eventhub.event import StoredEvent
from eventhub.feed import turns

logger = structlog.get_logger(__name__)

TURN_SECONDS = 300.0
"""How long one may wait for a turn to read the log."""
READ_SECONDS = 30.0
"""How long one read of the log may take before the attempt is made again."""


class Subscriber:
    """One client's reading of one channel."""

    def __init__(
        self,
        view: View,
        channel: LiveChannel,
        outlet: Outlet,
        client: Hashable = None,
    ) -> None:
        self.view = view
        self._client = client
        self.position = 0
        self._channel = channel
        self._outlet = outlet
        self.sink = outlet.sink
        outlet.on_full = self._lag
        self._task: asyncio.Task[None] | None = None
        self._is_stopped = False

    def start(self, start: Start) -> None:
        """Begin to read; errors are sent to the client and close its connection."""
        self._task = self._channel.tasks.spawn(self._guarded(start))

    async def join(self, start: Start) -> None:
        """Read on from a place in the log until attached; errors are the caller's.

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

    def beat(self) -> None:
        """Keep the connection open, and tell the client how far it is."""
        self._outlet.ping()
        head = self._channel.feed.head
        self._tell(protocol.tick(self.view.position(head)), head)

    def _lag(self) -> None:
        """Leave the fan-out, and read on at the pace of the client if its connection goes on."""
        if self._detach() and not self._outlet.is_closing:
            self._task = self._channel.tasks.spawn(self._lagging())

    def _detach(self) -> bool:
        """Leave the fan-out; return whether it was attached: everything up to the head is out."""
        if not self._channel.fanout.is_attached(self):
            return False
        self.position = self._channel.feed.head
        self._channel.fanout.detach(self)
        return True

    async def _lagging(self) -> None:
        laggards = metrics.LAGGARDS.labels(self._channel.name)
        laggards.inc()
        try:
            await self._guarded(None)
        finally:
            laggards.dec()

    async def _guarded(self, start: Start | None) -> None:
        try:
            if start is not None:
                await self._replay(start)
            await self._catch_up()
        except ConnectionError:
            return  # the client is gone, and whoever owns the connection knows
        except EventHubError as error:
            await self._fail(error)
        except Exception:  # one client's trouble must not end the others
            logger.exception("subscriber_failed", channel=self._channel.name)
            await self._fail(EventHubError("internal error"))

    async def _fail(self, error: EventHubError) -> None:
        with suppress(ConnectionError):
            await self._outlet.fail(error)

    async def _replay(self, start: Start) -> None:
        """Send what was there when the client came, then `_ready`.

        Rows are of `start.head` at least: what was acknowledged before is told as a row.
        """
        await self._seek(start)
        if start.reason:
            self._tell(protocol.resume(recovered=start.recovered, reason=start.reason))
        if start.position is None:
            await self._send_snapshot(start.head)
        await self._catch_up(up_to=start.head)
        recovered = start.recovered and start.position is not None
        ready = protocol.ready(self.view.position(self.position), recovered=recovered)
        self._tell(ready, self.position)

    async def _seek(self, start: Start) -> None:
        """Go to the position after which reading starts, if it is not the current rows."""
        if start.last is not None:
            self.position = await searched(start.last, self.view, self._channel, self._client)
        elif start.position is not None:
            self.position = start.position

    async def _send_snapshot(self, head: int) -> None:
        async with self._channel.replays.open(self.view, head, client=self._client) as past:
            async for part in past.parts():
                self._outlet.push(part)
                await self._outlet.drain()
                await asyncio.sleep(0)
                if self._outlet.is_closing:
                    raise ConnectionResetError("the client is gone")
            self.position = past.sequence

    async def _catch_up(self, up_to: int | None = None) -> None:
        """Read from memory or the log until attached, or until a sequence is passed."""
        while up_to is None or self.position < up_to:
            await self._outlet.drain()
            if self._is_stopped or self._outlet.is_closing:
                return
            if up_to is None and self._channel.fanout.attach(self):
                return
            events = self._channel.feed.recent(self.position)
            if events is None:
                await self._read_log()
            elif events:
                await self._write_some(events)
            else:
                await self._wait_for_more(up_to)

    async def _wait_for_more(self, up_to: int | None) -> None:
        """A snapshot or a start may be ahead of the fan-out by a moment."""
        target = self.position if up_to is None else up_to
        try:
            await self._channel.feed.reached(target, READ_SECONDS)
        except TimeoutError:
            raise Unavailable("the event log does not answer") from None
        if self._channel.feed.recent(self.position) == []:
            self.position = max(self.position, target)

    async def _read_log(self) -> None:
        """Send what one read of the log gives, as far as the socket takes it."""
        # Each who is there leaves in `READ_SECONDS`.
        async with self._channel.log_readers.take(self._client, TURN_SECONDS):
            try:
                async with asyncio.timeout(READ_SECONDS):
                    events = await self._read_on()
            except TimeoutError:
                raise Unavailable("the event log does not answer") from None
        await self._write_some(events)

    async def _read_on(self) -> list[StoredEvent]:
        with suppress(Unavailable):  # else wait for the broker as whoever follows does
            if events := await self._channel.stream.read(self.position, MAX_UNSENT_BYTES):
                return events
        async with self._channel.stream.follow(self.position) as log:
            return await anext(log)

    async def _write_some(self, events: list[StoredEvent]) -> None:
        """Write events while the socket takes them; what it does not take is read again."""
        for turn in turns(events):
            self._write(turn)
            await asyncio.sleep(0)
            if self._outlet.is_full:
                return

    def _write(self, events: list[StoredEvent]) -> None:
        if frames := b"".join(self.view.frame(stored, {}) for stored in events):
            self._outlet.push(frames)
        self.position = events[-1].sequence

    def _tell(self, frame: dict[str, object], sequence: int | None = None) -> None:
        """Write a control frame; bare clients know none."""
        if self.view.form.controlled:
            position = None if sequence is None else self.view.position(sequence)
            self._outlet.push(protocol.wire(self.view.form, protocol.encode(frame), position))
