"""Writing: message → hooks → event → append → receipt. The one way into the log for clients.

A client's message is not trusted; the configuration is. Everything that can refuse a message does
so before the append. After it, the message is an event, and nothing undoes it.
"""

import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
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
from eventhub.ingest.accepting import Accepting
from eventhub.ingest.command import Precondition, Sender
from eventhub.ingest.draft import Draft, Drafting
from eventhub.ingest.receipts import Receipt
from eventhub.ingest.run import OnSubmitted, Outcome, Run
from eventhub.ingest.sending import Sending, Sent
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
"""Messages of a run of one array, a good batch for the broker: while one run is stored, the next
one is prepared."""

OnOutcome = Callable[[Outcome], None]
"""Called once with the outcome of a message, by the event loop; must not raise or wait."""
Spawn = Callable[[Coroutine[Any, Any, None]], object]
"""Starts a task whose owner ends it."""


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
        self._name = endpoint.name
        self._columns: Columns = endpoint.channel.columns
        self._settling = settling
        self._spawn = spawn
        drafting = Drafting(endpoint, hooks, now, lambda: stream.newer_columns)
        sending = Sending(endpoint, hooks, signals, now)
        self._upserting = Upserting(settling, drafting)
        self._accepting = Accepting(endpoint, stream, drafting, sending, self._upserting, now)
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
        draft = self._accepting.plain(message, sender)
        if draft is None:
            return False
        if isinstance(draft, EventHubError):
            on_outcome(_counted(draft))
            return True
        if self._is_suspect(draft, sender):
            return False
        return self._submit(draft, sender, partial(self._on_submitted, on_outcome, sender))

    async def write(
        self,
        messages: Iterable[object],
        sender: Sender,
        *,
        method: str | None = None,
        precondition: Precondition | None = None,
    ) -> AsyncIterator[Sequence[Outcome]]:
        """Turn decoded messages into events, in order; yield the outcomes of each run of them.

        Plain POSTs are stored at the same time, up to `RUN_MESSAGES` of them, while the next ones
        are prepared; any other message is stored alone. A refused message has its error as its
        outcome, and is not stored; only an `Unavailable` with the code `unknown_outcome` leaves
        that open. After `MAX_REFUSED` refusals the rest is refused unread.

        Args:
            messages: the decoded JSON.
            sender: the client.
            method: of the transport, for messages that name none.
            precondition: of the transport.
        """
        new_run = partial(Run, partial(self._on_stored, sender))
        run, before = new_run(), new_run()
        refused, ends = 0, time.perf_counter() + SLICE_SECONDS
        for message in messages:
            if time.perf_counter() >= ends:
                ends = await self._slices.next(ends)
            draft: Draft | Sent | EventHubError | None = TOO_MANY
            if refused < MAX_REFUSED:
                draft = self._accepting.plain(message, sender, method, precondition)
            if draft is None:
                draft = await self._accepting.any(message, sender, method, precondition)
            if not isinstance(draft, Draft):
                run.add(_counted(draft))
            elif not self._start(draft, sender, run.expect()):
                run.withdraw()
                for each in (before, run):  # the draft may depend on the rows that these store
                    yield await self._finish(each)
                run, before = new_run(), new_run()
                run.add(await self._settle_next(draft, sender))
                yield await self._finish(run)
                refused, run = refused + run.is_refused, new_run()
                continue
            refused += run.is_refused
            if len(run) == RUN_MESSAGES:
                outcomes = await self._finish(before)
                refused += sum(isinstance(each, Conflict) for each in outcomes)
                yield outcomes  # other refusals were counted above
                run, before = new_run(), run
        for each in (before, run):
            yield await self._finish(each)

    def _start(self, draft: Draft, sender: Sender, on_submitted: OnSubmitted) -> bool:
        """Submit the draft of a plain POST; return False for one that has to be settled."""
        if not draft.command.needs_no_row or self._is_suspect(draft, sender):
            return False
        return self._submit(draft, sender, on_submitted)

    async def _settle_next(self, draft: Draft, sender: Sender) -> Outcome:
        """Store a draft that could not be submitted; those before it are stored."""
        is_suspect = self._is_suspect(draft, sender)
        outcome = await self._settle(draft, is_suspect, upserter=sender)
        if is_suspect and isinstance(outcome, Receipt):
            self._suspects.discard(sender.handler)
        return outcome

    async def _finish(self, run: Run) -> list[Outcome]:
        return [
            await self._settle(*each) if isinstance(each, Unsettled) else each
            for each in await run.outcomes()
        ]

    def _is_suspect(self, draft: Draft, sender: Sender) -> bool:
        """Tell whether the sender chose the id, and chose an existing one before."""
        return bool(draft.command.message.get("id")) and sender.handler in self._suspects

    def _submit(self, draft: Draft, sender: Sender, on_submitted: OnSubmitted) -> bool:
        """Start to append a plain POST; return False if there is no room, or it must be settled.

        A row that changed lately is settled: most likely it was deleted, and the sender's next
        message must not overtake this one while the row is read.
        """
        on_appended = partial(self._on_appended, draft, sender.handler, on_submitted)
        try:
            event = draft.event_after(None, self._columns)  # what may not be, may be of no row
            if self._settling.has_recent(draft.id):
                return False
            return self._settling.submit(event, sender=sender.handler, on_appended=on_appended)
        except EventHubError as refusal:
            is_keyed = draft.command.is_keyed  # it may be a retry of a stored write
            on_submitted(Unsettled(draft, False) if is_keyed else _counted(refusal), 0)
            return True

    def _on_appended(
        self,
        draft: Draft,
        handler: Handler,
        on_submitted: OnSubmitted,
        result: Appended | EventHubError,
    ) -> None:
        if isinstance(result, Appended):
            if result.duplicate:
                on_submitted(Unsettled(draft, False, result.sequence), 0)
            else:
                receipt = Receipt(draft.id, result.sequence, duplicate=False, ignored=draft.ignored)
                on_submitted(receipt, result.size)
        elif isinstance(result, WrongSequence):
            self._suspects.add(handler)  # one conflict fails a batch of many senders
            on_submitted(Unsettled(draft, True), 0)
        else:
            on_submitted(_counted(result), 0)

    def _on_stored(self, sender: Sender, count: int, size: int) -> None:
        self._appended["POST"].inc(count)
        sender.spend(size)

    def _on_submitted(
        self, on_outcome: OnOutcome, sender: Sender, outcome: Outcome | Unsettled, size: int
    ) -> None:
        if size:
            self._on_stored(sender, 1, size)
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
            limited.exception("message_failed", by=self._name)
            return _counted(EventHubError("internal error"))
        if not receipt.duplicate:
            self._appended[draft.command.method].inc()
        return receipt


def _counted(outcome: Outcome) -> Outcome:
    if isinstance(outcome, EventHubError):
        metrics.REFUSED.labels(outcome.code).inc()
    return outcome
