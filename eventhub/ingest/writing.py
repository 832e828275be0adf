"""Ingest: message → hooks → event → append → receipt. The one way into the log.

What a client sends is untrusted, what the configuration says is not. Everything that can refuse
a message does so before the append; after it, the message is an event and nothing undoes it.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeGuard
from weakref import WeakSet

import msgspec
import structlog

from eventhub import metrics
from eventhub.channel import Endpoint, checked_id
from eventhub.columns import STAMP, Columns, stamp_of_hooks
from eventhub.errors import Conflict, Damaged, EventHubError, Rejected, Unavailable
from eventhub.event import METHODS, Event, StoredEvent
from eventhub.filters.arguments import nearest, shown
from eventhub.hooks import Handler, Hooks
from eventhub.ingest.command import Command
from eventhub.ingest.receipts import Receipt, Receipts
from eventhub.ingest.row_cache import RowCache
from eventhub.ingest.slices import SLICE_SECONDS, Slices
from eventhub.logs import limited
from eventhub.stream import Appended, EventStream, WrongSequence

log = structlog.get_logger()

_NAIVE = len("2026-11-23T10:00:00.000000")  # without a zone
MAX_CONFLICTS = 20
"""Times a PUT is merged again because somebody was first, before its sender is told to wait."""
MAX_REFUSED = 1_000
"""Messages of one array that may be refused before the rest is not looked at."""
TOO_MANY = Rejected(
    "too_many", f"{MAX_REFUSED:,} messages of the array were refused: correct them, send the rest"
)
RUN_MESSAGES = 256
"""Messages of one array that are under way at once: a good batch for the broker."""


class Ingest:
    """Writes the messages of one endpoint to its channel.

    A POST without an expectation needs nothing but its place in the log. It is begun without
    waiting for those before it (`_submit`), and what turns out to be less simple (a retry, an id
    that exists) is told as its draft, and settled afterwards. All else reads a row first.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        stream: EventStream,
        hooks: Hooks,
        rows: RowCache,
        receipts: Receipts,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._endpoint = endpoint
        self._columns: Columns = endpoint.channel.columns
        self._stream = stream
        self._hooks = hooks
        self._rows = rows
        self._receipts = receipts
        self._now = now
        self._slices = Slices()
        self._doubted: WeakSet[Handler] = WeakSet()
        """Senders that named an id that exists: their ids are looked up before they are stored."""
        channel = endpoint.channel.name
        self._appended = {m: metrics.APPENDED.labels(channel, m) for m in METHODS}

    def post(self, command: Command | EventHubError, handler: Handler, done: "Done") -> bool:
        """Begin to store a message, if nothing has to be waited for; else leave it to `write`.

        Args:
            command: the message, or why it is none.
            handler: its sender.
            done: told the outcome, now or later; a draft has to be handed to `settle`.
        """
        if self._hooks.change_posts or not _reads_no_row(command):
            return False
        try:
            draft = self._plain_draft(command, handler)
        except EventHubError as refusal:
            done(_counted(refusal))
            return True
        return self._submit(draft, handler, done)

    async def write(
        self, commands: Iterable[Command | EventHubError], handler: Handler
    ) -> AsyncIterator[Receipt | EventHubError]:
        """Make commands events, in order; yield for each its receipt, once it is durable.

        Up to `RUN_MESSAGES` simple ones are under way at once; any other is stored alone. What is
        refused yields the error, and nothing of it is stored; for `Unavailable` its code says what
        is known. An error among the commands is yielded in its place. After `MAX_REFUSED` refusals
        the rest is not looked at: each is refused as one of too many.
        """
        begun: deque[EventHubError | asyncio.Future[Outcome]] = deque()
        refused, ends = 0, time.perf_counter() + SLICE_SECONDS
        for command in commands:
            ends = await self._slices.next(ends)
            draft = await self._drafted(command, handler) if refused < MAX_REFUSED else TOO_MANY
            if isinstance(draft, EventHubError):
                begun.append(_counted(draft))
                refused += 1
            elif (outcome := self._begun(draft, handler)) is not None:
                begun.append(outcome)
            else:
                while begun:  # it may need what they store
                    yield await self._finished(begun.popleft())
                told = await self.settle(draft)
                if draft.is_doubtful and isinstance(told, Receipt):
                    self._doubted.discard(handler)
                refused += isinstance(told, Rejected)
                yield told
            if len(begun) > RUN_MESSAGES:
                told = await self._finished(begun.popleft())
                refused += isinstance(told, Conflict)  # what was refused before is counted
                yield told
        while begun:
            yield await self._finished(begun.popleft())

    async def settle(self, draft: "Draft") -> Receipt | EventHubError:
        """Store a draft, whatever that takes."""
        try:
            receipt = await self._store(draft)
        except EventHubError as error:
            return _counted(error)
        except Exception:  # the sender is told, and the next message is served
            limited.exception("message_failed", by=self._endpoint.name)
            return _counted(EventHubError("internal error"))
        if not receipt.duplicate:
            self._appended[draft.command.method].inc()
        return receipt

    def _begun(self, draft: "Draft", sender: Handler) -> "asyncio.Future[Outcome] | None":
        """Begin to store a draft, if it is simple; None if it has to be settled."""
        outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        return outcome if self._submit(draft, sender, partial(_tell, outcome)) else None

    async def _finished(
        self, begun: "EventHubError | asyncio.Future[Outcome]"
    ) -> Receipt | EventHubError:
        told = begun if isinstance(begun, EventHubError) else await begun
        return await self.settle(told) if isinstance(told, Draft) else told

    async def _drafted(
        self, command: Command | EventHubError, handler: Handler
    ) -> "Draft | EventHubError":
        if isinstance(command, EventHubError):
            return command
        try:
            return await self._draft(command, handler)
        except EventHubError as error:
            return error
        except Exception:  # the sender is told, and the next message is served
            limited.exception("message_failed", by=self._endpoint.name)
            return EventHubError("internal error")

    def _submit(self, draft: "Draft", sender: Handler, done: "Done") -> bool:
        """Begin to append a simple POST; False if there is no room, or it is not simple.

        Of an id that changed lately something is known: most likely it was deleted, and what
        follows it must not overtake it while that is looked up.
        """
        if not _reads_no_row(draft.command) or draft.is_doubtful:
            return False
        if self._rows.recent(draft.id) is not None:
            return False
        try:
            event = draft.on(None, self._columns)
            told = partial(self._on_appended, draft, sender, done)
            return self._stream.submit(event, expect=0, sender=sender, told=told)
        except EventHubError as refusal:
            done(draft if draft.command.is_keyed else _counted(refusal))
            return True

    def _on_appended(
        self, draft: "Draft", sender: Handler, done: "Done", told: Appended | EventHubError
    ) -> None:
        if isinstance(told, WrongSequence):
            self._doubted.add(sender)  # one conflict spoils a batch for all who are in it
            done(msgspec.structs.replace(draft, is_doubtful=True))
        elif isinstance(told, Appended) and told.duplicate:
            done(draft)
        elif isinstance(told, EventHubError):
            done(_counted(told))
        else:
            self._appended["POST"].inc()
            done(Receipt(draft.id, told.sequence, duplicate=False, ignored=draft.ignored))

    async def _store(self, draft: "Draft") -> Receipt:
        command = draft.command
        if command.earlier and (receipt := await self._before_session(draft, command.earlier)):
            return receipt
        is_plain = command.method == "POST" and command.precondition is None
        needs_row = not is_plain or bool(command.if_sequence) or draft.is_doubtful
        last = self._rows.recent(draft.id)
        is_fresh = last is None and not needs_row
        if needs_row and last is None:
            last, is_fresh = await self._last(draft.id), True
        for _ in range(MAX_CONFLICTS):
            try:
                return await self._append(draft, last)
            except WrongSequence:
                last, is_fresh = await self._last(draft.id), True
            except Rejected as refusal:
                if is_fresh:
                    return await self._first_receipt(draft, last, refusal)
                last, is_fresh = await self._last(draft.id), True
        raise Unavailable(f"too many writers change {draft.id} at once")

    async def _before_session(self, draft: "Draft", write: str) -> Receipt | None:
        """Return the receipt of the same write, if the client made it before it had a session."""
        receipt = await self._receipts.find(write)
        first = None if receipt is None else await self._stream.get(receipt.sequence)
        if first is None or first.event.asked != draft.command.digest:
            return None
        return Receipt(first.event.id, first.sequence, True, draft.ignored)

    async def _append(self, draft: "Draft", last: StoredEvent | None) -> Receipt:
        event = draft.on(last, self._columns)
        expect = last.sequence if last else 0
        sequence, duplicate = await self._stream.append(event, expect=expect)
        if duplicate:
            return await self._repeated(draft, sequence)
        self._rows.note([StoredEvent(sequence, event)])
        return Receipt(draft.id, sequence, duplicate, draft.ignored)

    async def _repeated(self, draft: "Draft", sequence: int) -> Receipt:
        """Return the receipt of the first of two writes with one key, if they are one write.

        A POST without an id got another id now than then, so the first is read back.
        """
        first = await self._stream.get(sequence)
        if first is None:
            raise EventHubError("the first write with this _key cannot be read")
        _check_is_same(draft, first.event)
        self._rows.note([first])
        # Our own attempt, whose answer was lost, is no repetition: only its clock tells it.
        is_repeated = first.event.time != draft.time
        return Receipt(first.event.id, sequence, is_repeated, draft.ignored)

    def _plain_draft(self, command: Command, handler: Handler) -> "Draft":
        """Return what the columns make of a POST that no hook changes."""
        now, message = self._utc(), command.message.copy()
        self._hooks.set_built_in(message, handler, now)
        del message["_method"]
        message = self._converted(self._columns.with_defaults(message))
        return self._as_draft(command, message, None, handler, now)

    def _converted(self, message: dict[str, Any]) -> dict[str, Any]:
        """Text columns take a truth by its name; an id does not."""
        if isinstance(message.get("id"), bool):
            raise Rejected("bad_id", "id is text or a number, not true or false", column="id")
        return self._columns.convert(message)

    async def _draft(self, command: Command, handler: Handler) -> "Draft":
        """Run the hooks; return what they and the columns make of the message."""
        hooks, now, message = self._hooks, self._utc(), command.message.copy()
        await hooks.defaults(message, handler, now)
        await hooks.prepare(message, handler)
        message["_method"] = command.method
        if command.method == "POST":
            message = self._columns.with_defaults(message)
        if STAMP in message:
            message[STAMP] = stamp_of_hooks(message[STAMP])
        message = self._converted(message)
        checked_id(message.get("id"))  # before `modify`, which may have effects of its own
        broadcast = await hooks.modify(self._columns.spelling.numbers(message), handler)
        message, broadcast = _as_json(message), broadcast and _as_json(broadcast)
        return self._as_draft(command, message, broadcast, handler, now)

    def _as_draft(
        self,
        command: Command,
        message: dict[str, Any],
        broadcast: dict[str, Any] | None,
        handler: Handler,
        now: str,
    ) -> "Draft":
        user = handler.current_user
        ignored = self._ignored(command.message, message)
        return Draft(
            command=command,
            id=checked_id(message.get("id")),
            is_doubtful=bool(command.message.get("id")) and handler in self._doubted,
            time=f"{now}Z",
            endpoint=self._endpoint.name,
            user=None if user is None else str(user.id),
            message=message,
            broadcast=broadcast,
            ignored=ignored,
        )

    def _ignored(self, sent: dict[str, Any], kept: dict[str, Any]) -> tuple[str, ...]:
        """Return the keys that the client has sent, the hooks have left, and no column has.

        Raises:
            Rejected: `bad_value`: the endpoint refuses them.
        """
        if kept.keys() <= self._columns.by_name.keys():
            return ()
        ignored = tuple(key for key in kept if key in sent and key not in self._columns)
        if ignored and self._endpoint.config.unknown == "refuse":
            near = nearest(ignored[0], self._columns.names)
            raise Rejected(
                "bad_value", f"{shown(ignored[0])} is no column{near}", column=ignored[0]
            )
        return ignored

    def _utc(self) -> str:
        """Return the time, ISO 8601 with microseconds and no zone: a message needs it twice."""
        return self._now().astimezone(UTC).isoformat(timespec="microseconds")[:_NAIVE]

    async def _last(self, row_id: str) -> StoredEvent | None:
        try:
            return await self._rows.last(row_id)
        except Damaged as error:
            log.exception("row_damaged", channel=self._endpoint.channel.name, id=row_id)
            raise EventHubError("the row's last event is damaged") from error

    async def _first_receipt(
        self, draft: "Draft", last: StoredEvent | None, refusal: Rejected
    ) -> Receipt:
        """A keyed write that would be refused may be the retry of one that was not."""
        if not draft.command.is_keyed:
            raise refusal
        if last is not None and last.event.write == draft.command.write:
            _check_is_same(draft, last.event)
            return Receipt(last.event.id, last.sequence, True, draft.ignored)
        receipt = await self._receipts.find(draft.command.write)
        if receipt is None:
            raise refusal
        return await self._repeated(draft, receipt.sequence)


def _reads_no_row(command: Command | EventHubError) -> TypeGuard[Command]:
    if not isinstance(command, Command) or command.method != "POST":
        return False
    return command.if_sequence is None and command.precondition is None and not command.earlier


def _check_is_same(draft: "Draft", first: Event) -> None:
    """Refuse a key that its owner has used for something else."""
    if first.asked:
        is_same = first.asked == draft.command.digest
    else:  # an event of before there were digests
        given = draft.command.message.get("id")  # a hook may have made another of it
        names_another = str(given) == draft.id != first.id
        is_same = first.method == draft.command.method and not names_another
    if not is_same:
        raise Rejected("bad_control", "this _key was used for another write")


def _counted(refusal: EventHubError) -> EventHubError:
    metrics.REFUSED.labels(refusal.code).inc()
    return refusal


def _tell(outcome: "asyncio.Future[Outcome]", told: "Outcome") -> None:
    if not outcome.done():  # else whoever waited is gone
        outcome.set_result(told)


def _differ(old: Any, new: Any) -> bool:
    """To Python 1, 1.0 and True are equal; in a JSON column they are three values."""
    return bool(old != new) or repr(old) != repr(new)


def _as_json(message: dict[str, Any]) -> dict[str, Any]:
    """Return what hooks made of a message, without controls, as who reads the event will see it.

    Raises:
        EventHubError: `internal`: they put something into it that is not JSON.
    """
    try:
        plain = {key: value for key, value in message.items() if not key.startswith("_")}
        read: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(plain))
    except (AttributeError, TypeError, ValueError, RecursionError) as error:
        limited.warning("hook_made_no_json", by="a hook", error=str(error))
        raise EventHubError("internal error: a hook made a value that is not JSON") from error
    return read


class Draft(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A message that passed all checks of its own; only the row it meets is open."""

    command: Command
    id: str
    time: str
    endpoint: str
    user: str | None
    is_doubtful: bool = False
    """Its id may well exist: read the row first."""
    message: dict[str, Any]
    """Without controls."""
    broadcast: dict[str, Any] | None
    ignored: tuple[str, ...] = ()
    """As a receipt tells it."""

    def on(self, last: StoredEvent | None, columns: Columns) -> Event:
        """Return the event that this message is after the row's last event.

        Raises:
            Conflict: `exists`, `not_found` or `conflict`.
        """
        expected = self.command.if_sequence
        if expected is not None and expected != (last.sequence if last else 0):
            raise Conflict("conflict", f"{self.id} has changed since {expected}")
        old = None if last is None else last.event.row
        wanted = self.command.precondition
        if wanted and not wanted.holds(last.sequence if last else 0, exists=old is not None):
            raise Conflict("conflict", f"{self.id} is not as If-Match or If-None-Match wants it")
        match self.command.method:
            case "POST":
                if old is not None:
                    raise Conflict("exists", f"{self.id} exists")
                return self._event(columns, row=columns.new_row(self.message))
            case "PUT":
                old = self._existing(old)
                row = {**old, **{k: v for k, v in self.message.items() if k in columns}}
                was = {k: old[k] for k in row if k in self.message and _differ(old[k], row[k])}
                return self._event(columns, row=row, was=was, last=last)
            case "DELETE":
                return self._event(columns, was=self._existing(old), last=last)

    def _existing(self, row: dict[str, Any] | None) -> dict[str, Any]:
        if row is None:
            raise Conflict("not_found", f"there is no {self.id}")
        return row

    def _event(
        self,
        columns: Columns,
        *,
        row: dict[str, Any] | None = None,
        was: dict[str, Any] | None = None,
        last: StoredEvent | None = None,
    ) -> Event:
        return Event(
            method=self.command.method,
            id=self.id,
            time=self.time,
            endpoint=self.endpoint,
            columns=columns.signature,
            write=self.command.write,
            asked=self.command.digest,
            user=self.user,
            created=0 if last is None else last.created,
            message=self.message,
            broadcast=self.broadcast,
            row=row,
            was=was,
            alert=self.command.alert,
        )


Outcome = Receipt | EventHubError | Draft
"""What became of a message; a draft has still to be settled."""
Done = Callable[[Outcome], None]
"""Told an outcome once; must not raise or wait."""
