"""Inbox: what one client sends, written in the order it was sent, without waiting for each."""

import asyncio
from collections import deque
from functools import partial
from typing import Any

import structlog

from eventhub import metrics
from eventhub.command import parse_json
from eventhub.errors import EventHubError, Rejected
from eventhub.gateway import protocol
from eventhub.gateway.connection import NORMAL, WebSocketConnection, too_large
from eventhub.gateway.protocol import Form
from eventhub.gateway.route import Route, Visit
from eventhub.ingest import Draft, Outcome
from eventhub.receipts import Receipt

log = structlog.get_logger()

Frame = dict[str, Any]

MAX_UNDER_WAY = 256
"""Messages of one client that are being stored at once."""
MAX_WAITING_BYTES = 64 << 10
"""Of frames read and not begun: above it the client is not read from."""


class Inbox:
    """The messages of one WebSocket.

    A plain POST is begun as soon as it is read: it needs nothing but its place in the log. All
    else (hooks, other methods, arrays) is written by a task, once what was begun is stored.
    """

    __slots__ = (
        "_answers",
        "_connection",
        "_emptied",
        "_is_ending",
        "_is_held",
        "_is_writing",
        "_route",
        "_under_way",
        "_visit",
        "_waiting",
        "_waiting_bytes",
    )

    def __init__(self, route: Route, visit: Visit, connection: WebSocketConnection) -> None:
        self._route = route
        self._visit = visit
        self._connection = connection
        self._waiting: deque[Any] = deque()
        self._waiting_bytes = 0
        self._under_way = 0
        self._answers: list[Frame] = []
        self._is_writing = False
        self._is_held = False
        self._is_ending = False
        self._emptied: asyncio.Event | None = None

    def receive(self, data: bytes) -> None:
        """Take the messages of one frame; each is answered by itself."""
        if self._is_ending:
            return
        try:
            if len(data) > self._route.server.max_message:
                raise too_large(self._route.server)
            self._waiting.extend(parse_json(data, exact=self._route.reads_decimals))
        except Rejected as error:
            metrics.REFUSED.labels(error.code).inc()
            self._connection.tell(protocol.refusal(error))
            return
        self._waiting_bytes += len(data)
        self._go_on()

    def end(self) -> None:
        """The client is done: answer its close frame once its messages are answered."""
        self._is_ending = True
        if self._is_empty:
            self._connection.leave(NORMAL)

    async def empty(self) -> None:
        """Take no more, and wait until all that was taken is answered."""
        self._is_ending = True
        self._emptied = asyncio.Event()
        if not self._is_empty:
            await self._emptied.wait()

    @property
    def _is_empty(self) -> bool:
        return not (self._waiting or self._under_way or self._is_writing)

    def _go_on(self) -> None:
        while self._waiting and not self._is_writing:
            message = self._waiting.popleft()
            if not self._begin(message):
                self._waiting.appendleft(message)
                break
        if self._waiting and not self._is_writing and not self._under_way:
            self._is_writing = True
            _ = self._route.fanout.spawn(self._write([*self._waiting]))
            self._waiting.clear()
        if not self._waiting:
            self._waiting_bytes = 0
        self._hold(self._waiting_bytes > MAX_WAITING_BYTES)
        if self._is_ending and self._is_empty:
            self._conclude()

    def _hold(self, held: bool) -> None:
        if held is not self._is_held:
            self._is_held = held
            self._connection.listen(on=not held)

    def _conclude(self) -> None:
        if self._emptied is None:
            self._connection.leave(NORMAL)
        else:
            self._emptied.set()

    def _begin(self, message: Any) -> bool:
        """Begin to store a message, if nothing has to be waited for."""
        if self._under_way >= MAX_UNDER_WAY or self._connection.is_full:
            return False
        self._under_way += 1
        told = partial(self._on_outcome, message)
        begun = self._route.post(message, self._visit, told)
        self._under_way -= not begun
        return begun

    def _on_outcome(self, message: Any, outcome: Outcome) -> None:
        if isinstance(outcome, Draft):
            _ = self._route.fanout.spawn(self._settle(message, outcome))
            return
        self._under_way -= 1
        if frame := self._answer(message, outcome):
            self._tell_soon(frame)
        if not self._under_way and (self._waiting or self._is_ending):
            # Not now: a refusal comes while its message is being begun.
            asyncio.get_running_loop().call_soon(self._go_on)

    def _tell_soon(self, frame: Frame) -> None:
        """Answer messages that are stored together with one write to the socket."""
        self._answers.append(frame)
        if not self._under_way:
            self._tell_all()
        elif len(self._answers) == 1:
            asyncio.get_running_loop().call_soon(self._tell_all)

    def _tell_all(self) -> None:
        if self._answers:
            answers, self._answers = self._answers, []
            self._connection.tell(*answers)

    async def _settle(self, message: Any, draft: Draft) -> None:
        self._on_outcome(message, await self._route.ingest.settle(draft))

    async def _write(self, messages: list[Any]) -> None:
        asked = iter(messages)
        try:
            await self._connection.drain()
            async for outcome in self._route.write(messages, self._visit):
                if frame := self._answer(next(asked), outcome):
                    self._connection.tell(frame)
                await self._connection.drain()  # whoever does not read its answers does not go on
        except ConnectionError:
            self._waiting.clear()
            return
        finally:
            self._is_writing = False
        self._go_on()

    def _answer(self, message: Any, outcome: Receipt | EventHubError) -> Frame | None:
        """Return what the sender is told, if anything."""
        ref = message.get("_ref") if isinstance(message, dict) else None
        if isinstance(outcome, EventHubError):
            return protocol.refusal(outcome, ref)
        if self._connection.form is Form.V1:
            return None if ref is None else protocol.ack(ref, outcome.as_dict())
        if not outcome.duplicate:
            return None
        known = f"{outcome.id} is stored already, at {outcome.sequence}"
        return protocol.refusal(Rejected("duplicate", known), ref)
