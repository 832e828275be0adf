"""Inbox: what one client sends, stored in the order it was sent, without waiting for each."""

import asyncio
from collections import deque
from functools import partial
from typing import Any

import structlog

from eventhub import metrics
from eventhub.delivery import frames as protocol
from eventhub.errors import EventHubError, Rejected, Unavailable
from eventhub.gateway.answers import Answers, Frame
from eventhub.gateway.budget import Share
from eventhub.gateway.connection_login import NotAdmittedError
from eventhub.gateway.dispatcher import Command, Dispatcher, Target
from eventhub.gateway.large import LARGE_BYTES
from eventhub.gateway.route import Shared
from eventhub.gateway.turns import IsOver
from eventhub.gateway.websocket import NORMAL, REFUSAL_SECONDS, WebSocketConnection
from eventhub.ingest.decoding import parse_json
from eventhub.ingest.run import Outcome
from eventhub.ingest.writing import MAX_REFUSED, TOO_MANY

logger = structlog.get_logger(__name__)

MAX_UNANSWERED = 256
"""Messages of one client that are being stored at once."""
MAX_UNANSWERED_BYTES = 4 << 20
"""Bytes of their text; a larger message is stored if it is the only one."""
EXACT_BYTES = 8 << 10
"""From this size on, text is decoded in a thread if numbers are read as decimals."""


class Inbox:
    """The messages of one WebSocket.

    A plain POST is submitted as soon as it is read: it needs nothing but its place in the log.
    Everything else (hooks, other methods, arrays) is written by a task, once what was submitted
    before it is stored. A command waits in the same way: what was sent before a token belongs to
    the login before it.
    """

    __slots__ = (
        "_answers",
        "_command",
        "_connection",
        "_dispatcher",
        "_emptied",
        "_is_behind",
        "_is_decoding",
        "_is_large",
        "_is_writing",
        "_refused",
        "_share",
        "_shared",
        "_size",
        "_target",
        "_unanswered",
        "_unanswered_bytes",
        "_waiting",
        "is_ending",
    )

    def __init__(
        self,
        dispatcher: Dispatcher,
        shared: Shared,
        connection: WebSocketConnection,
        share: Share,
    ) -> None:
        self._dispatcher = dispatcher
        self._shared = shared
        self._share = share
        """While it waits, nothing is read."""
        self._connection = connection
        self._command: Command | None = None
        """What the last frame asks for, if it is no message."""
        self._target: Target | Rejected = Rejected("bad_request", "nothing was sent")
        """Of the messages of the last frame."""
        self._waiting: deque[Any] = deque()
        self._size = 0
        """Bytes of each waiting message: all came in one frame."""
        self._unanswered = 0
        """Messages that were submitted and are not stored or refused yet."""
        self._unanswered_bytes = 0
        self._refused = 0
        """Refused messages of the last frame."""
        self._answers = Answers(connection)
        self._is_writing = False
        self._is_decoding = False
        self._is_large = False
        """The last frame is so large that nothing is read until it is answered."""
        self._is_behind = False
        """Nothing is read until something has been answered."""
        self.is_ending = False
        """Nothing is taken any more: what was, is answered, and then the connection closes."""
        self._emptied: asyncio.Event | None = None
        connection.on_text, connection.on_turn = self.receive, self.turn
        connection.on_end = self.end

    def release(self) -> None:
        """Hold nothing of what the client's connections share: this one has ended."""
        self._share.release()

    def receive(self, data: bytes) -> None:
        """Take the messages of one frame. Those of the frame before it have been submitted."""
        if self.is_ending:
            return
        size, exact = len(data), self._dispatcher.reads_decimals
        most = self._shared.server.max_message
        if size > most:
            self._refuse_frame(Rejected("too_large", f"a message has at most {most} bytes"), size)
        elif size >= (EXACT_BYTES if exact else LARGE_BYTES):
            self._is_large = self._is_decoding = True
            _ = self._shared.tasks.spawn(self._decode(data, exact=exact))
        else:
            try:
                self._take(parse_json(data, exact=exact), size)
            except Rejected as error:
                self._refuse_frame(error, size)

    def turn(self, is_over: IsOver) -> bool:
        """Submit what waits; return whether more may be read. If not, it wakes the connection."""
        if not (self._waiting or self._is_writing or self.is_ending or self._is_large):
            self._is_behind = False
            return not self._share.is_waiting
        while self._waiting and not (self._is_writing or self._command or is_over()):
            if self._refused > MAX_REFUSED:
                # Unread: most of those before it were refused.
                if frame := self._answers.frame_of(self._waiting.popleft(), TOO_MANY):
                    self._connection.send(frame)
            elif self._has_room:
                if not self._submit(self._waiting[0]):
                    break
                self._waiting.popleft()
            else:
                break
        if self._waiting and not (self._is_writing or self._unanswered or is_over()):
            self._is_writing = True
            messages = [*self._waiting]  # of one frame
            command, self._command = self._command, None
            work = self._write(messages) if command is None else self._do(command, messages[0])
            _ = self._shared.tasks.spawn(work)
            self._waiting.clear()
        if self.is_ending and self._is_empty:
            self._conclude()
        self._is_large = self._is_large and not self._is_empty
        self._is_behind = bool(self._waiting) or self._is_writing or self._is_large
        return not (self._is_behind or self._share.is_waiting)

    def end(self) -> None:
        """Answer the client's close frame, once its messages are answered."""
        self.is_ending = True
        if self._is_empty:
            self._connection.leave(NORMAL)

    async def empty(self) -> None:
        """Take no more, and wait until everything that was taken is answered."""
        self.is_ending = True
        self._emptied = asyncio.Event()
        if not self._is_empty:
            await self._emptied.wait()

    @property
    def _is_empty(self) -> bool:
        return not (self._waiting or self._unanswered or self._is_writing or self._is_decoding)

    @property
    def _has_room(self) -> bool:
        if self._unanswered >= MAX_UNANSWERED or self._connection.is_full:
            return False
        return not self._unanswered or self._unanswered_bytes + self._size <= MAX_UNANSWERED_BYTES

    def _take(self, messages: list[Any], size: int) -> None:
        self._share.charge(len(messages), size)
        self._command = self._dispatcher.command_of(messages)
        try:
            if self._command is None:
                self._target = self._dispatcher.target_of(messages)
        except Rejected as error:
            self._target = error
        self._waiting.extend(messages)
        self._size = size // max(1, len(messages))
        self._refused = 0

    async def _decode(self, data: bytes, *, exact: bool) -> None:
        try:
            messages = await self._shared.large.decode(data, exact=exact)
        except Rejected as error:
            self._refuse_frame(error, len(data))
        else:
            self._take(messages, len(data))
        finally:
            self._is_decoding = False
        self._connection.wake()

    def _refuse_frame(self, error: Rejected, size: int) -> None:
        self._share.charge(1, size)
        metrics.REFUSED.labels(error.code).inc()
        self._connection.refuse(protocol.refusal(error))

    def _conclude(self) -> None:
        if self._emptied is None:
            self._connection.leave(NORMAL)
        else:
            self._emptied.set()

    def _submit(self, message: Any) -> bool:
        """Start to store a message; return False if it has to wait for those before it."""
        self._unanswered += 1
        self._unanswered_bytes += self._size
        on_outcome = partial(self._on_outcome, message, self._size)
        if isinstance(self._target, Rejected):
            metrics.REFUSED.labels(self._target.code).inc()
            on_outcome(self._target)
            return True
        route, sender = self._target
        is_submitted = route.ingest.post(message, sender, on_outcome)
        if not is_submitted:
            self._unanswered -= 1
            self._unanswered_bytes -= self._size
        return is_submitted

    def _on_outcome(self, message: Any, size: int, outcome: Outcome) -> None:
        self._unanswered -= 1
        self._unanswered_bytes -= size
        self._note(outcome)
        if frame := self._answers.frame_of(message, outcome):
            self._answers.send_soon(frame, is_last=not self._unanswered)
        if not self._unanswered and (self._is_behind or self.is_ending):
            # Not now: a refusal comes while its message is being submitted.
            asyncio.get_running_loop().call_soon(self._connection.wake)

    def _note(self, outcome: Outcome) -> None:
        """Charge for a refusal."""
        if outcome is TOO_MANY:
            return
        if isinstance(outcome, EventHubError) and not isinstance(outcome, Unavailable):
            self._refused += 1
            self._connection.charge(REFUSAL_SECONDS)

    async def _write(self, messages: list[Any]) -> None:
        answered = iter(messages)
        try:
            await self._connection.drain()
            assert not isinstance(self._target, Rejected)  # noqa: S101 - that is answered at once
            route, sender = self._target
            writing = route.ingest.write(messages, sender)
            async for outcomes in self._share.paced(writing):
                for outcome in outcomes:
                    self._note(outcome)
                    if frame := self._answers.frame_of(next(answered), outcome):
                        self._connection.send(frame)
                    await self._connection.wait_while_paused()
                    await self._connection.drain()  # a client that does not read its answers waits
        except ConnectionError:
            self._waiting.clear()
            return
        finally:
            self._is_writing = False
        self._connection.wake()

    async def _do(self, command: Command, message: Frame) -> None:
        ref = message.get("_ref")
        try:
            if (answer := await command(message)) is not None:
                self._connection.send(answer if ref is None else {**answer, "ref": ref})
        except NotAdmittedError as refused:
            await self._dismiss(refused.error, ref)
        except EventHubError as error:
            metrics.REFUSED.labels(error.code).inc()
            self._connection.send(protocol.refusal(error, ref))
        except Exception:  # one client's failure must not end the others
            logger.exception("command_failed", endpoint=self._dispatcher.name)
            await self._dismiss(EventHubError("internal error"), ref)
        finally:
            self._is_writing = False
        self._connection.wake()

    async def _dismiss(self, error: EventHubError, ref: Any) -> None:
        """Take no more, and close."""
        self.is_ending = True
        metrics.REFUSED.labels(error.code).inc()
        await self._connection.fail(error, ref)
