"""Writing: message → hooks → event → append → receipt. The one way into the log for clients.

A client's message is not trusted; the configuration is. Everything that can refuse a message does
so before the append. After it, the message is an event, and nothing undoes it.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from datetime import UTC, datetime
from functools import partial
from typing import Any
from weakref import WeakSet

from eventhub import metrics
from eventhub.channel import Endpoint
from eventhub.columns import Columns
from eventhub.errors import Conflict, EventHubError, Rejected
from eventhub.handler import Handler
from eventhub.hooks import Hooks
from eventhub.ingest.command import Command, Precondition, Sender
from eventhub.ingest.draft import Draft, Drafting
from eventhub.ingest.receipts import Receipt
from eventhub.ingest.reverting import restoring
from eventhub.ingest.sending import Sending, Sent, is_send
from eventhub.ingest.settling import Settling, Unsettled
from eventhub.ingest.slices import SLICE_SECONDS, Slices
from eventhub.ingest.upserting import Upserting
from eventhub.logs import limited
from eventhub.methods import METHODS
from eventhub.signals import Signals
from eventhub.stream import Appended, EventStream, WrongSequence

MAX_REFUSED = 1_000
"""Messages of one array that may be refused; after that, the rest is refused unread."""
TOO_MANY = Rejected(
    "too_many", f"{MAX_REFUSED:,} messages of the array were refused: correct them, send the rest"
)
RUN_MESSAGES = 256
"""Messages of one array that are stored at the same time: a good batch for the broker."""

Outcome = Receipt | Sent | EventHubError
"""The end of a message: its receipt, that it was sent, or why it was refused."""
OnOutcome = Callable[[Outcome], None]
"""Called once with the outcome of a message, by the event loop; must not raise or wait."""
Spawn = Callable[[Coroutine[Any, Any, None]], object]
"""Starts a task whose owner ends it."""


_OnSubmitted = Callable[[Outcome | Unsettled], None]
_Started = Sent | EventHubError | asyncio.Future[Outcome | Unsettled]


class Ingest:
    """Writes the messages of one endpoint to its channel.

    A POST without an expectation depends on no row, so it is submitted without waiting for the
    messages before it. If it turns out to be a retry, or its id exists, it is settled afterwards,
    as all other messages are: see `settling`.
    """

    def __init__(  # noqa: PLR0913 - what a message meets on its way
        self,
        endpoint: Endpoint,
        hooks: Hooks,
        stream: EventStream,
        settling: Settling,
        spawn: Spawn,
        signals: Signals,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._endpoint = endpoint
        self._columns: Columns = endpoint.channel.columns
        self._stream = stream
        self._changes_posts = hooks.changes_posts
        self._settling = settling
        self._spawn = spawn
        self._now = now
        self._drafting = Drafting(endpoint, hooks, now, lambda: stream.newer_columns)
        self._is_suppressible = not (alert := endpoint.config.alert) or alert.suppressible
        self._sending = Sending(endpoint, hooks, signals, now)
        self._upserting = Upserting(settling, self._drafting)
        self._slices = Slices()
        self._suspects: WeakSet[Handler] = WeakSet()
        """Senders that named an existing id before: their rows are read before the append."""
        channel = endpoint.channel.name
        self._appended = {m: metrics.APPENDED.labels(channel, m) for m in METHODS}

    def post(self, message: object, sender: Sender, on_outcome: OnOutcome) -> bool:
        """Start to store a plain POST; return False for any other message: it needs `write`.

        Args:
            message: the decoded JSON.
            sender: the client; its messages are stored in the order they were submitted.
            on_outcome: called now or later, if the result is True.
        """
        if self._changes_posts:
            return False
        try:
            command = self._command(message, sender)
        except EventHubError:
            return False
        if not command.needs_no_row:
            return False
        try:
            draft = self._drafting.draft_plain(command, sender)
        except EventHubError as refusal:
            on_outcome(_counted(refusal))
            return True
        if self._is_suspect(draft, sender):
            return False
        return self._submit(draft, sender, partial(self._on_submitted, on_outcome))

    async def write(
        self,
        messages: Iterable[object],
        sender: Sender,
        *,
        method: str | None = None,
        precondition: Precondition | None = None,
    ) -> AsyncIterator[Outcome]:
        """Turn decoded messages into events, in order; yield the receipt of each once it is stored.

        Up to `RUN_MESSAGES` plain POSTs are stored at the same time; any other message is stored
        alone. A refused message yields its error, and is not stored; only an `Unavailable` with the
        code `unknown_outcome` leaves that open. After `MAX_REFUSED` refusals the rest is refused
        unread.

        Args:
            messages: the decoded JSON.
            sender: the client.
            method: of the transport, for messages that name none.
            precondition: of the transport.
        """
        started: deque[_Started] = deque()
        refused, ends = 0, time.perf_counter() + SLICE_SECONDS
        for message in messages:
            ends = await self._slices.next(ends)
            draft: Draft | Sent | EventHubError = TOO_MANY
            if refused < MAX_REFUSED:
                draft = await self._draft(message, sender, method, precondition)
            if isinstance(draft, EventHubError):
                started.append(_counted(draft))
                refused += 1
            elif isinstance(draft, Sent):
                started.append(draft)
            elif (stored := self._start(draft, sender)) is not None:
                started.append(stored)
            else:
                is_suspect = self._is_suspect(draft, sender)
                while started:  # the draft may depend on the rows that these store
                    yield await self._finish(started.popleft())
                outcome = await self._settle(draft, is_suspect, upserter=sender)
                if is_suspect and isinstance(outcome, Receipt):
                    self._suspects.discard(sender.handler)
                refused += isinstance(outcome, Rejected)
                yield outcome
            if len(started) > RUN_MESSAGES:
                outcome = await self._finish(started.popleft())
                refused += isinstance(outcome, Conflict)  # other refusals were counted above
                yield outcome
        while started:
            yield await self._finish(started.popleft())

    def _command(
        self,
        message: object,
        sender: Sender,
        method: str | None = None,
        precondition: Precondition | None = None,
    ) -> Command:
        self._endpoint.channel.check_writable()
        if (validity := sender.handler.validity) is not None:
            validity.check(self._now().timestamp())
        return Command.parse(
            message,
            method=method,
            owner=sender.owner,
            unknown=self._endpoint.config.unknown,
            precondition=precondition,
            is_suppressible=self._is_suppressible,
        )

    async def _draft(
        self,
        message: object,
        sender: Sender,
        method: str | None,
        precondition: Precondition | None,
    ) -> Draft | Sent | EventHubError:
        try:
            if is_send(message, method):
                return await self._sending.send(message, sender, precondition)
            command = self._command(message, sender, method, precondition)
            if command.revert is not None:
                command = await restoring(command, self._stream, sender.permission)
            elif command.upsert:
                command = await self._upserting.decided(command)
            return await self._drafting.draft(command, sender)
        except EventHubError as error:
            return error
        except Exception:  # the sender gets an error, and the next message is served
            limited.exception("message_failed", by=self._endpoint.name)
            return EventHubError("internal error")

    def _start(self, draft: Draft, sender: Sender) -> "asyncio.Future[Outcome | Unsettled] | None":
        """Submit a draft of a plain POST; return None for one that has to be settled."""
        if not draft.command.needs_no_row or self._is_suspect(draft, sender):
            return None
        stored: asyncio.Future[Outcome | Unsettled] = asyncio.get_running_loop().create_future()

        def on_submitted(outcome: Outcome | Unsettled) -> None:
            if not stored.done():  # the waiting task was not cancelled
                stored.set_result(outcome)

        return stored if self._submit(draft, sender, on_submitted) else None

    async def _finish(self, started: _Started) -> Outcome:
        outcome = await started if isinstance(started, asyncio.Future) else started
        return await self._settle(*outcome) if isinstance(outcome, Unsettled) else outcome

    def _is_suspect(self, draft: Draft, sender: Sender) -> bool:
        """Tell whether the sender chose the id, and chose an existing one before."""
        return bool(draft.command.message.get("id")) and sender.handler in self._suspects

    def _submit(self, draft: Draft, sender: Sender, on_submitted: _OnSubmitted) -> bool:
        """Start to append a plain POST; return False if there is no room, or it must be settled.

        A row that changed lately is settled: most likely it was deleted, and the sender's next
        message must not overtake this one while the row is read.
        """
        if self._settling.has_recent(draft.id):
            return False
        on_appended = partial(self._on_appended, draft, sender, on_submitted)
        try:
            event = draft.event_after(None, self._columns)
            return self._settling.submit(event, sender=sender.handler, on_appended=on_appended)
        except EventHubError as refusal:
            is_keyed = draft.command.is_keyed  # it may be a retry of a stored write
            on_submitted(Unsettled(draft, False) if is_keyed else _counted(refusal))
            return True

    def _on_appended(
        self,
        draft: Draft,
        sender: Sender,
        on_submitted: _OnSubmitted,
        result: Appended | EventHubError,
    ) -> None:
        if isinstance(result, WrongSequence):
            self._suspects.add(sender.handler)  # one conflict fails a batch of many senders
            on_submitted(Unsettled(draft, True))
        elif isinstance(result, EventHubError):
            on_submitted(_counted(result))
        elif result.duplicate:
            on_submitted(Unsettled(draft, False, result.sequence))
        else:
            self._appended["POST"].inc()
            sender.spend(result.size)
            receipt = Receipt(draft.id, result.sequence, duplicate=False, ignored=draft.ignored)
            on_submitted(receipt)

    def _on_submitted(self, on_outcome: OnOutcome, outcome: Outcome | Unsettled) -> None:
        if isinstance(outcome, Unsettled):
            self._spawn(self._settle_later(outcome, on_outcome))
        else:
            on_outcome(outcome)

    async def _settle_later(self, unsettled: Unsettled, on_outcome: OnOutcome) -> None:
        on_outcome(await self._settle(*unsettled))

    async def _settle(
        self, draft: Draft, reads_row: bool, stored_at: int = 0, upserter: Sender | None = None
    ) -> Outcome:
        try:
            if draft.command.upsert and upserter is not None:
                draft, receipt = await self._upserting.store(draft, upserter)
            elif stored_at:
                receipt = await self._settling.receipt_of(draft, stored_at)
            else:
                receipt = await self._settling.store(draft, reads_row=reads_row)
        except EventHubError as error:
            return _counted(error)
        except Exception:  # the sender gets an error, and the next message is served
            limited.exception("message_failed", by=self._endpoint.name)
            return _counted(EventHubError("internal error"))
        if not receipt.duplicate:
            self._appended[draft.command.method].inc()
        return receipt


def _counted(refusal: EventHubError) -> EventHubError:
    metrics.REFUSED.labels(refusal.code).inc()
    return refusal
