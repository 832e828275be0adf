"""Pair: an endpoint and the one that would take its place: what they make different of an event."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple

import msgspec

from eventhub.alerts.backtest import verdict_of
from eventhub.alerts.rule import AlertRule
from eventhub.audit.history import differ
from eventhub.columns import Columns
from eventhub.errors import EventHubError, Rejected
from eventhub.event import Event, StoredEvent
from eventhub.rehearsal.side import Side

Kind = Literal["refused", "accepted", "moved", "converted", "hooks", "seen", "mailed", "mail_error"]
Outcome = Event | EventHubError
NO_ENDPOINT: Final = Rejected("unknown_path", "no endpoint is at this path any more")


class Found(NamedTuple):
    """One difference."""

    kind: Kind
    what: str
    """Code of the error, column, key of the broadcast, reader or recipient."""
    before: Any
    after: Any


class Half(NamedTuple):
    """One of the two endpoints."""

    side: Side
    """It stores messages as they are."""
    hooked: Side | None = None
    """The same with its hooks, if they are to be run."""
    alert: AlertRule | None = None


class Pair:
    """An endpoint, and the one that would take its place."""

    def __init__(self, old: Half, new: Half | None) -> None:
        """Compare two endpoints; without a new one, its path is gone."""
        self.channel = old.side.channel
        self._old = old
        self._new = new

    async def compare(self, stored: StoredEvent) -> tuple[list[Found], bool]:
        """Return what differs for one event, and whether both refuse its message in equal words."""
        given = _sent(stored.event.message, self.channel.columns)
        before = await self._old.side.replay(stored, given)
        plain, after = await self._outcomes(stored, given)
        if isinstance(before, EventHubError) and _error(before) == _error(after):
            return [], True
        found = list(_refusals(before, after))
        if isinstance(before, Event) and isinstance(after, Event):
            found += self._stored(stored, before, plain, after)
            found += self._readers(before, after)
        return [*found, *await self._mails(stored, after)], False

    async def _outcomes(
        self, stored: StoredEvent, given: Mapping[str, Any]
    ) -> tuple[Outcome, Outcome]:
        """Return what the new endpoint makes of a message without its hooks, and with them."""
        if self._new is None:
            return NO_ENDPOINT, NO_ENDPOINT
        plain = await self._new.side.replay(stored, given)
        if self._new.hooked is not None:
            return plain, await self._new.hooked.replay(stored, given)
        if isinstance(plain, Event):  # equal hooks would modify it as they did
            plain = msgspec.structs.replace(plain, broadcast=stored.event.broadcast)
        return plain, plain

    def _stored(
        self, stored: StoredEvent, before: Event, plain: Outcome, after: Event
    ) -> Iterator[Found]:
        assert self._new is not None  # noqa: S101 - it made an event
        mine, its = self.channel.name, self._new.side.channel.name
        if mine != its:
            yield Found("moved", "table", mine, its)
        yield from _values(before, plain, after)
        if self._new.hooked is not None:
            yield from _broadcasts(stored.event, after)

    def _readers(self, before: Event, after: Event) -> Iterator[Found]:
        """Yield who sees more or less of the row than before."""
        if before.row is None or after.row is None or self._new is None:
            return
        old, new = self._old.side.seen(before.row), self._new.side.seen(after.row)
        for reader in dict.fromkeys([*old, *new]):
            if reader not in old or reader not in new:
                yield Found("seen", f"the row, by {reader}", reader in old, reader in new)
                continue
            for column in before.row.keys() & after.row.keys():
                is_seen = column in new[reader]
                if (column in old[reader]) != is_seen and after.row[column] is not None:
                    yield Found("seen", f"{column}, by {reader}", not is_seen, is_seen)

    async def _mails(self, stored: StoredEvent, after: Outcome) -> list[Found]:
        rules = self._old.alert, None if self._new is None else self._new.alert
        before = rules[0] and await verdict_of(rules[0], stored)
        made = None
        if rules[1] is not None and isinstance(after, Event):
            made = await verdict_of(rules[1], StoredEvent(stored.sequence, after))
        mine = dict.fromkeys(before.recipients, before.subject) if before else {}
        its = dict.fromkeys(made.recipients, made.subject) if made else {}
        found = [
            Found("mailed", to, mine.get(to), its.get(to))
            for to in dict.fromkeys([*mine, *its])
            if mine.get(to) != its.get(to)
        ]
        errors = before and before.error, made and made.error
        return found if errors[0] == errors[1] else [*found, Found("mail_error", "alert", *errors)]


def _sent(message: Mapping[str, Any], columns: Columns) -> dict[str, Any]:
    """Return a message as its sender most likely sent it: without what is a column's default."""
    return {
        name: value
        for name, value in message.items()
        if name not in columns or columns[name].default is None or value != columns[name].default
    }


def _refusals(before: Outcome, after: Outcome) -> Iterator[Found]:
    mine, its = _error(before), _error(after)
    if its is not None and its != mine:
        yield Found("refused", its["code"], mine, its)
    elif mine is not None and its is None:
        yield Found("accepted", mine["code"], mine, None)


def _error(outcome: Outcome) -> dict[str, Any] | None:
    """Return what the sender would have got of an error."""
    return None if isinstance(outcome, Event) else outcome.as_dict()


def _values(before: Event, plain: Outcome, after: Event) -> Iterator[Found]:
    """Yield the columns that the message sets to another value, and whether a hook does so."""
    old, new = before.row or {}, after.row or {}
    names = list(dict.fromkeys([*old, *new]))
    if before.method == "PUT":
        names = [name for name in names if name in before.message or name in after.message]
    for name in names:
        if differ(old.get(name), new.get(name)):
            by_columns = None if not isinstance(plain, Event) else plain.row or {}
            is_hook = by_columns is None or differ(by_columns.get(name), new.get(name))
            yield Found("hooks" if is_hook else "converted", name, old.get(name), new.get(name))


def _broadcasts(before: Event, after: Event) -> Iterator[Found]:
    """Yield the keys that are broadcast differently, although they are stored as before."""
    old, new = before.outgoing, after.outgoing
    for name in dict.fromkeys([*old, *new]):
        is_stored = differ(before.message.get(name), after.message.get(name))
        if not is_stored and differ(old.get(name), new.get(name)):
            yield Found("hooks", f"{name}, as broadcast", old.get(name), new.get(name))
