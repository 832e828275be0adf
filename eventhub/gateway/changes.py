"""Changes: what has happened since a position, as the answer to one GET, which may wait for it.

It is long polling, for clients that neither WebSockets nor streams reach. While a poll waits, it is
a subscriber like any other, in the group of those with the same query.
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
from eventhub.gateway.disconnection import while_connected
from eventhub.gateway.encodings import accepted_format
from eventhub.gateway.route import Route, Visit
from eventhub.identity.expiry import while_valid

MAX_EVENTS = 10_000
"""In one answer. It ends soon after them, and the next poll continues from there."""
MAX_BYTES = 4 << 20
"""In one answer, as `MAX_EVENTS`."""
FORMATS = ("json", "ndjson")


class _FullError(ConnectionError):
    """The answer is full: its subscriber reads no further."""


class _Lines(asyncio.WriteTransport):
    """A transport for a sink that keeps what is written."""

    def __init__(self, keep: Callable[[bytes], None]) -> None:
        super().__init__()
        self.write = keep  # type: ignore[method-assign,assignment] # only bytes are written

    def get_write_buffer_size(self) -> int:
        """Return 0: nothing waits here."""
        return 0


class _Answer:
    """An `Outlet` that keeps what is written: one frame a line."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._events = 0
        self._bytes = 0
        self.is_ready = asyncio.Event()
        """There is something to answer with, or no more time."""
        self.sink = Sink(_Lines(self.push))
        self.is_closing = False
        self.on_full: Callable[[], None] = lambda: None
        """See `Outlet`; never called, because the poll ends with the first events."""

    @property
    def is_full(self) -> bool:
        """See `Outlet`."""
        return self._events >= MAX_EVENTS or self._bytes >= MAX_BYTES

    @property
    def lines(self) -> bytes:
        """What was written."""
        return b"".join(self._parts)

    def push(self, data: bytes) -> None:
        """See `Outlet`."""
        self._parts.append(data)
        self._events += data.count(b"\n")
        self._bytes += len(data)
        self.is_ready.set()

    def ping(self) -> None:
        """See `Outlet`; a client that waits for an answer is not pinged."""

    async def drain(self) -> None:
        """See `Outlet`; a full answer stays full."""
        if self.is_full:
            raise _FullError

    async def fail(self, error: EventHubError) -> None:
        """See `Outlet`; the error becomes the answer."""
        raise error


class Changes:
    """The polls that wait now."""

    def __init__(self) -> None:
        self._waiting: set[_Answer] = set()
        self._is_stopping = False

    def stop(self) -> None:
        """Answer every waiting poll with what there is; the clients poll again."""
        self._is_stopping = True
        self.answer_all()

    def answer_all(self) -> None:
        """Answer every waiting poll with what there is."""
        for answer in self._waiting:
            answer.is_ready.set()

    async def get(
        self, route: Route, request: web.Request, visit: Visit, headers: dict[str, str]
    ) -> web.StreamResponse:
        """Answer with the events since a position that concern the client's view.

        Raises:
            Rejected: `bad_position`; `gone`: reading cannot continue at the position; `bad_filter`.
            Unavailable: the log cannot be read now; `too_many_reads`: the client listens with too
                many different filters.
        """
        view = route.view(visit, Form.POLL)
        check_honoured(visit.asked, Surface.CHANGES)
        # A format among the endpoint's defaults is for its rows.
        asked = visit.control("_format") if "_format" in visit.asked else None
        if asked is None and accepted_format(request.headers.get("Accept", "")) == "ndjson":
            asked = "ndjson"
        form = checked_choice("_format", asked, FORMATS)
        seconds = wait_seconds(visit.control("_wait"))
        answer, budget = _Answer(), route.budget(request, visit)
        client = budget.client
        subscriber = Subscriber(view, route.channel, answer, client)
        held = route.channel.hold(view, client)
        async with while_connected(request), while_valid(visit.validity):
            start = await start_of(visit.control("_since"), view, route.channel)
            _check_recovered(start)
            with budget.connection(), held:
                await self._collect(subscriber, answer, start, seconds)
        lines, content_type = answer.lines, "application/x-ndjson"
        if form == "json":
            content_type, lines = "application/json", b"[%s]" % lines[:-1].replace(b"\n", b",\n")
        headers = {**headers, POSITION_HEADER: str(view.position(subscriber.position))}
        headers["Content-Type"] = content_type
        return await route.shared.compression.send_whole(request, lines, headers)

    async def _collect(
        self, subscriber: Subscriber, answer: _Answer, start: Start, seconds: float
    ) -> None:
        """Read from a position of the log until there are events, or the time is over."""
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
            f"_since: events after this position are lost ({start.reason}): GET the rows without"
            " _since, and continue from the EventHub-Position of that answer"
        )
        raise Rejected("gone", message, column="_since")
