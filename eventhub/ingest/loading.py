"""Loading: the rows of another source as POST events, each with its own id, user and timestamp.

A load may be repeated, or go on after a kill: an id that the log knows is never posted again. Hooks
do not run, and no event of a load is alerted.
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import msgspec

from eventhub.channel import Channel, checked_id
from eventhub.columns import STAMP, stamp
from eventhub.errors import Conflict, EventHubError, Rejected, Unavailable
from eventhub.event import LOADED, Event, StoredEvent
from eventhub.stream import Appended, EventStream, WrongSequence

ARRAY_ROWS: Final = 1_000
"""Rows of one array: a good batch for the broker, and what is in memory at once."""
ENDPOINT: Final = "(import)"
"""`Event.endpoint` of a loaded row: no endpoint's name, so that no endpoint's alert fires."""
RETRY_SECONDS: Final = (0.1, 5.0)
"""First and longest pause before rows that could not be stored are sent again."""
PATIENCE_SECONDS: Final = 60.0
"""A load without progress for this long fails."""


class BadRow(NamedTuple):
    """A row that cannot become an event."""

    number: int
    """Of the row in its source; the first is 1."""
    id: str | None
    error: Rejected

    def __str__(self) -> str:
        named = "" if self.id is None else f" (id {self.id!r})"
        return f"row {self.number}{named}: {self.error.message} ({self.error.code})"


class Loaded(NamedTuple):
    """What became of the rows of a source."""

    stored: int = 0
    """New events; in a dry run, those that would be."""
    known: int = 0
    """Rows that the log has already, with the same values."""
    bad: int = 0


OnBadRow = Callable[[BadRow], None]
OnProgress = Callable[[int], None]
"""Called with the number of rows that are done."""


class Loader:
    """Loads rows into one channel.

    It keeps 100 bytes for each id that the log or the source has.
    """

    def __init__(
        self, stream: EventStream, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._stream = stream
        self._channel: Channel = stream.channel
        self._now = now
        self._write = f"{LOADED}{secrets.token_urlsafe(12)}."
        self._posted: dict[str, bytes] = {}
        """By id, the digest of the row that its last POST made."""
        self._read_to = 0

    async def load(
        self,
        arrays: AsyncIterable[Sequence[Mapping[str, Any]]],
        on_bad_row: OnBadRow,
        on_progress: OnProgress = lambda _: None,
        *,
        dry_run: bool = False,
    ) -> Loaded:
        """Post rows in their order, and report those that cannot be posted.

        Args:
            arrays: the rows, at most `ARRAY_ROWS` at a time. A row maps names to values as a
                client would send them, or to dates, times and decimals of Python. `id` must be
                there; a key that is not a column is kept in the event's message.
            on_bad_row: called for each row that does not fit a column, or whose id exists with
                other values.
            on_progress: called after each array.
            dry_run: post nothing; everything else is the same.

        Raises:
            Unavailable: the log did not store rows for `PATIENCE_SECONDS`. Load again: what was
                stored is known then.
        """
        await self._read_log()
        counts = Counter[str]()
        number = 0
        async for rows in arrays:
            numbered: list[tuple[int, Event]] = []
            for row in rows:
                number += 1
                try:
                    event = self._event(row, number)
                except Rejected as error:
                    counts["bad"] += 1
                    on_bad_row(BadRow(number, _shown_id(row), error))
                    continue
                if event is None:
                    counts["known"] += 1
                else:
                    numbered.append((number, event))
            if dry_run:
                counts["stored"] += len(numbered)
            else:
                await self._store(numbered, on_bad_row, counts)
            on_progress(number)
        return Loaded(counts["stored"], counts["known"], counts["bad"])

    async def _read_log(self) -> None:
        """Note which ids were posted with which values, since the log was read last."""
        last = (await self._stream.bounds()).last
        if self._read_to >= last:
            return
        async with self._stream.follow(self._read_to) as batches:
            async for batch in batches:
                self._note(batch)
                if self._read_to >= last:
                    return

    def _note(self, batch: Sequence[StoredEvent]) -> None:
        for stored in batch:
            if stored.event.method == "POST":
                self._posted[stored.event.id] = _digest(stored.event.row)
        self._read_to = batch[-1].sequence

    def _event(self, given: Mapping[str, Any], number: int) -> Event | None:
        """Return the event of a row, or None if the log has it.

        Raises:
            Rejected: a value does not fit, or the id exists with other values.
        """
        message = self._message(given)
        row_id = message["id"]
        row = self._channel.columns.new_row(message)
        digest = _digest(row)
        known = self._posted.setdefault(row_id, digest)
        if known is not digest:
            if known == digest:
                return None
            raise Conflict("exists", "its id exists with other values", column="id")
        return Event(
            method="POST",
            id=row_id,
            time=self._now().astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z",
            endpoint=ENDPOINT,
            columns=self._channel.columns.signature,
            write=f"{self._write}{number:x}",
            user=message.get("user"),
            message=message,
            row=row,
            alert=False,
        )

    def _message(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return a row as the message of its event: values converted, `id` checked."""
        for key in given:
            if key.startswith("_"):
                raise Rejected("bad_control", f"{key}: no column begins with _", column=key)
        message = {**given, "id": checked_id(given.get("id"))}
        if message.get(STAMP) is not None:
            message[STAMP] = stamp(message[STAMP])
        columns = self._channel.columns
        message = columns.convert(columns.with_defaults(message))
        if message.keys() <= columns.by_name.keys():
            return message
        try:
            plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(message))
        except (TypeError, ValueError, RecursionError) as error:
            raise Rejected("bad_value", f"a value is not JSON: {error}") from None
        return plain

    async def _store(
        self, numbered: list[tuple[int, Event]], on_bad_row: OnBadRow, counts: Counter[str]
    ) -> None:
        """Append the events of an array, in order, and again where the log did not answer."""
        pause, patience = RETRY_SECONDS[0], PATIENCE_SECONDS
        while numbered:
            submitted = [(one, await self._submit(one[1])) for one in numbered]
            unsettled: list[tuple[int, Event]] = []
            failure: Unavailable | None = None
            for (number, event), appended in submitted:
                try:
                    counts[await self._settled(event, await appended)] += 1
                except Unavailable as error:
                    unsettled.append((number, event))
                    failure = error
                except Rejected as error:
                    counts["bad"] += 1
                    on_bad_row(BadRow(number, event.id, error))
            if failure is not None:
                patience = PATIENCE_SECONDS if len(unsettled) < len(numbered) else patience - pause
                if patience <= 0:
                    raise failure
                await asyncio.sleep(pause)
                pause = min(2 * pause, RETRY_SECONDS[1])
            numbered = unsettled

    async def _settled(self, event: Event, outcome: Appended | EventHubError) -> str:
        """Return which count of `Loaded` an outcome belongs to; raise any other error."""
        if isinstance(outcome, WrongSequence):
            # The first attempt whose answer was lost, or another writer since the log was read.
            last = await self._stream.last(event.id)
            first = last and (
                last if not last.event.created else await self._stream.get(last.created)
            )
            if first is not None and first.event.write == event.write:
                return "stored"
            raise Conflict("exists", "its id exists, written while the rows were loaded")
        if isinstance(outcome, EventHubError):
            raise outcome
        return "stored"

    async def _submit(self, event: Event) -> "asyncio.Future[Appended | EventHubError]":
        outcome: asyncio.Future[Appended | EventHubError]
        outcome = asyncio.get_running_loop().create_future()

        def on_appended(result: Appended | EventHubError) -> None:
            if not outcome.done():  # the load was not cancelled
                outcome.set_result(result)

        try:
            if not self._stream.submit(event, expect=0, sender=self, on_appended=on_appended):
                on_appended(await self._stream.append(event, expect=0))
        except EventHubError as error:
            on_appended(error)
        return outcome


def _digest(row: Mapping[str, Any] | None) -> bytes:
    return blake2b(msgspec.json.encode(row), digest_size=12).digest()


def _shown_id(row: Mapping[str, Any]) -> str | None:
    row_id = row.get("id")
    return None if row_id is None else str(row_id)[:60]
