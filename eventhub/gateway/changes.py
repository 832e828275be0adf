"""Changes: what has happened since a position, as the answer to one GET. It may wait for it.

For clients that neither WebSockets nor streams reach (long polling). While it waits, such a request
is a subscriber like any other, in the group of those who ask for the same, and nothing else.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from aiohttp import web

from eventhub.delivery.broadcast import Sink
from eventhub.delivery.frames import Form
from eventhub.delivery.start import Start, start_of
from eventhub.delivery.subscriber import Subscriber
from eventhub.errors import EventHubError, Rejected
from eventhub.event import POSITION_HEADER
from eventhub.gateway.controls import Surface, check_honoured, checked_choice, wait_seconds
from eventhub.gateway.presence import while_connected
from eventhub.gateway.route import Route, Visit
from eventhub.identity.expiry import while_valid

MAX_EVENTS = 10_000
"""Of one answer. It ends soon after them; the next one goes on from there."""
MAX_BYTES = 4 << 20
"""Of one answer, as `MAX_EVENTS`."""
FORMATS = ("json", "ndjson")


class _FullError(ConnectionError):
    """The answer holds enough: its subscriber reads no further."""


class _Lines(asyncio.WriteTransport):
    """Keeps what is written: what a sink needs of a transport."""

    def __init__(self, keep: Callable[[bytes], None]) -> None:
        super().__init__()
        self.write = keep  # type: ignore[method-assign,assignment] # only bytes are written

    def get_write_buffer_size(self) -> int:
        """Nothing waits here."""
        return 0


class _Answer:
    """An `Outlet` that keeps what it is told: a frame a line."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._events = 0
        self._bytes = 0
        self.is_ready = asyncio.Event()
        """There is something to answer with, or there is no more time."""
        self.sink = Sink(_Lines(self.push))
        self.is_closing = False
        self.on_full: Callable[[], None] = lambda: None
        """See `Outlet`; never called: the subscriber leaves as soon as there is anything."""

    @property
    def is_full(self) -> bool:
        """See `Outlet`."""
        return self._events >= MAX_EVENTS or self._bytes >= MAX_BYTES

    @property
    def lines(self) -> bytes:
        """What there is."""
        return b"".join(self._parts)

    def push(self, data: bytes) -> None:
        """See `Outlet`."""
        self._parts.append(data)
        self._events += data.count(b"\n")
        self._bytes += len(data)
        self.is_ready.set()

    def ping(self) -> None:
        """See `Outlet`; who waits for an answer is not pinged."""

    async def drain(self) -> None:
        """See `Outlet`; one that is full stays full."""
        if self.is_full:
            raise _FullError

    async def fail(self, error: EventHubError) -> None:
        """See `Outlet`; whoever asked is told by the answer itself."""
        raise error


class Changes:
    """The requests for changes that wait now."""

    def __init__(self) -> None:
        self._waiting: set[_Answer] = set()
        self._is_stopping = False

    def stop(self) -> None:
        """Answer all who wait with what there is; they ask again."""
        self._is_stopping = True
        for answer in self._waiting:
            answer.is_ready.set()

    async def get(
        self, route: Route, request: web.Request, visit: Visit, headers: dict[str, str]
    ) -> web.Response:
        """Answer with the events since a position that a view is told of.

        Raises:
            Rejected: `bad_position`, `gone`: the position cannot be gone on from; `bad_filter`.
            Unavailable: the log cannot be read now; `too_many_reads`: the client waits with too
                many different filters.
        """
        view = route.view(visit, Form.POLL)
        check_honoured(visit.asked, Surface.CHANGES)
        # A format that the endpoint supplies is for its rows.
        asked = visit.control("_format") if "_format" in visit.asked else None
        form = checked_choice("_format", asked, FORMATS)
        seconds = wait_seconds(visit.control("_wait"))
        answer, client = _Answer(), route.client(request, visit)
        subscriber = Subscriber(view, route.channel, answer, client)
        held = route.channel.live_filters.hold(view, client)
        async with while_connected(request), while_valid(visit.expires_at):
            start = await start_of(visit.control("_since"), view, route.channel)
            _check_recovered(start)
            with held:
                await self._collect(subscriber, answer, start, seconds)
        lines, content_type = answer.lines, "application/x-ndjson"
        if form == "json":
            content_type, lines = "application/json", b"[%s]" % lines[:-1].replace(b"\n", b",\n")
        headers = {**headers, POSITION_HEADER: str(view.position(subscriber.position))}
        return web.Response(body=lines, content_type=content_type, headers=headers)

    async def _collect(
        self, subscriber: Subscriber, answer: _Answer, start: Start, seconds: float
    ) -> None:
        """Read from a place in the log until there is something, or the time is over."""
        try:
            with suppress(_FullError):
                await subscriber.join(start)
                await self._wait(answer, seconds)
        finally:
            subscriber.stop()

    async def _wait(self, answer: _Answer, seconds: float) -> None:
        if self._is_stopping or not seconds:
            return
        self._waiting.add(answer)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await answer.is_ready.wait()
        finally:
            self._waiting.discard(answer)


def _check_recovered(start: Start) -> None:
    if start.position is None or not start.recovered:
        message = (
            f"_since: the position is lost ({start.reason}): GET the rows again without it,"
            " and go on from the EventHub-Position of that answer"
        )
        raise Rejected("gone", message, column="_since")
