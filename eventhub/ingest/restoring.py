"""Restoring: exported events as events of an empty log, in their order, with all that they held.

Events get new sequences, which are the same if the export has all events from the first on. A
restore that was cut off can be continued: the log may hold the beginning of what is restored, and
nothing else. Restored events send no alerts.
"""

import asyncio
from collections.abc import AsyncIterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, cast

import msgspec

from eventhub.channel import checked_id
from eventhub.columns import Columns, times
from eventhub.errors import EventHubError, Rejected
from eventhub.event import LOADED, Event
from eventhub.ingest.loading import BadRow, Loaded, OnBadRow, OnProgress
from eventhub.methods import METHODS, Method
from eventhub.stream import Appended, EventStream, WrongSequence

_Record = Mapping[str, Any]


class _Place(NamedTuple):
    """The events of a row in the new log."""

    created: int
    last: int
    exists: bool


class _Known(NamedTuple):
    """An event that the log has."""

    sequence: int
    write: str
    time: str


class Restorer:
    """Restores events into one channel. It keeps 100 bytes for each event of the log, and row."""

    def __init__(self, stream: EventStream) -> None:
        self._stream = stream
        self._columns: Columns = stream.channel.columns
        self._known: list[_Known] = []
        self._places: dict[str, _Place] = {}
        self._wave: dict[str, tuple[Event, int]] = {}
        """Events that can be appended at once, each of another row; with what they expect."""

    async def restore(
        self,
        arrays: AsyncIterable[Sequence[_Record]],
        on_bad_row: OnBadRow,
        on_progress: OnProgress = lambda _: None,
        *,
        dry_run: bool = False,
    ) -> Loaded:
        """Append the events of an export that the log does not have yet.

        Args:
            arrays: the events in their order, some at a time, typed or as text.
            on_bad_row: called for each event that cannot be made again.
            on_progress: called after each array with the number of events that are done.
            dry_run: append nothing; everything else is the same.

        Raises:
            Rejected: `conflict`: the log has other events.
            Unavailable: the log did not store an event. Restore again: it goes on.
        """
        self._places = {}
        await self._read_log()
        number = bad = 0
        async for records in arrays:
            for record in records:
                number += 1
                try:
                    await self._take(record, number, dry_run=dry_run)
                except Rejected as error:
                    if error.code == "conflict":
                        raise
                    bad += 1
                    on_bad_row(BadRow(number, str(record.get("id")), error))
            await self._append_wave()
            on_progress(number)
        known = min(number, len(self._known))
        return Loaded(stored=number - known - bad, known=known, bad=bad)

    async def _read_log(self) -> None:
        """Read which events the log has, from the first one on."""
        last = (await self._stream.bounds()).last
        self._known = []
        if last == 0:
            return
        async with self._stream.follow(0) as batches:
            async for batch in batches:
                self._known += [_Known(e.sequence, e.event.write, e.event.time) for e in batch]
                if batch[-1].sequence >= last:
                    return

    async def _take(self, record: _Record, number: int, *, dry_run: bool) -> None:
        if record.get("id") in self._wave:
            await self._append_wave()  # it is about a row whose last event has no sequence yet
        event = self._event(record)
        place = self._places.get(event.id, _Place(0, 0, exists=False))
        if (event.method == "POST") == place.exists:
            why = "exists already" if place.exists else "does not exist then"
            raise Rejected("bad_value", f"{event.method} of a row that {why}", column="_method")
        event = msgspec.structs.replace(
            event, created=0 if event.method == "POST" else place.created
        )
        if number <= len(self._known):
            known = self._known[number - 1]
            if (event.write, event.time) != (known.write, known.time):
                raise Rejected(
                    "conflict",
                    f"the log has another event at {known.sequence}: restore into an empty table",
                )
            self._note(event, known.sequence)
        elif dry_run:
            self._note(event, number)
        else:
            self._wave[event.id] = event, place.last

    async def _append_wave(self) -> None:
        wave, self._wave = self._wave, {}
        appended = [(event, await self._submit(event, expect)) for event, expect in wave.values()]
        for event, outcome in appended:
            result = await outcome
            if isinstance(result, WrongSequence):
                raise Rejected("conflict", f"{event.id} was written while events were restored")
            if isinstance(result, EventHubError):
                raise result
            self._note(event, result.sequence)

    async def _submit(
        self, event: Event, expect: int
    ) -> "asyncio.Future[Appended | EventHubError]":
        outcome: asyncio.Future[Appended | EventHubError]
        outcome = asyncio.get_running_loop().create_future()

        def on_appended(result: Appended | EventHubError) -> None:
            if not outcome.done():
                outcome.set_result(result)

        try:
            if not self._stream.submit(event, expect=expect, sender=self, on_appended=on_appended):
                on_appended(await self._stream.append(event, expect=expect))
        except EventHubError as error:
            on_appended(error)
        return outcome

    def _note(self, event: Event, sequence: int) -> None:
        exists = event.row is not None
        self._places[event.id] = _Place(event.created or sequence, sequence, exists)

    # --- What was exported, as it was -----------------------------------------------------------

    def _event(self, record: _Record) -> Event:
        """Return an event as it was, but for the places of events in the log.

        Raises:
            Rejected: a value does not fit.
        """
        method = record.get("_method")
        if method not in METHODS:
            raise Rejected("bad_value", f"_method: {method!r} is none", column="_method")
        write = record.get("_write")
        if not isinstance(write, str) or not write:
            raise Rejected("bad_value", "_write is missing", column="_write")
        return Event(
            method=cast(Method, method),
            id=checked_id(record.get("id")),
            time=_time(record.get("_time")),
            endpoint=str(record.get("_endpoint") or ""),
            columns=self._columns.signature,
            write=write if write.startswith(LOADED) else f"{LOADED}{write}",
            user=record.get("_user"),
            message=_object("_message", record.get("_message")) or {},
            broadcast=_object("_broadcast", record.get("_broadcast")),
            row=None if method == "DELETE" else self._row(record),
            was=self._was(record),
            asked=record.get("_asked") or "",
            alert=False,
        )

    def _row(self, record: _Record) -> dict[str, Any]:
        """Return the row after; a column that is older than the export has NULL there."""
        values = ((column, record.get(column.name)) for column in self._columns)
        return {c.name: None if value is None else c.convert(value) for c, value in values}

    def _was(self, record: _Record) -> dict[str, Any] | None:
        old = _object("_was", record.get("_was"))
        if old is None:
            return None
        try:
            return {k: self._columns[k].lift(v) for k, v in old.items() if k in self._columns}
        except (ValueError, TypeError, OverflowError):
            raise Rejected("bad_value", "_was: a value does not fit", column="_was") from None


def _object(name: str, value: Any) -> dict[str, Any] | None:
    if value is None or value == "":
        return None
    try:
        found = msgspec.json.decode(value) if isinstance(value, str | bytes) else value
    except (msgspec.DecodeError, UnicodeDecodeError):
        found = None
    if not isinstance(found, dict):
        raise Rejected("bad_value", f"{name}: not a JSON object", column=name)
    return found


def _time(value: Any) -> str:
    """Return an instant as `Event.time` has it."""
    try:
        if isinstance(value, datetime):
            moment = value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)
        else:
            moment = times.moment(value)
    except (ValueError, TypeError, AttributeError, OverflowError):
        raise Rejected("bad_value", f"_time: {value!r} is no time", column="_time") from None
    return moment.isoformat(timespec="microseconds") + "Z"
