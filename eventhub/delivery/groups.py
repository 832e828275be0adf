"""Groups: subscribers that are told the same, found by what an event says.

A filter such as `room=lobby` can only match rows whose room is lobby, before or after an event.
So groups with an equality condition are found by it, and an event costs what its matches cost,
however many other rooms there are.
"""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from eventhub.delivery.broadcast import Sink, Sinks
from eventhub.delivery.view import View
from eventhub.event import StoredEvent
from eventhub.filters.conditions import Filter
from eventhub.filters.inside import value_at


class Member(Protocol):
    """What the fan-out needs to know of a subscriber."""

    view: View
    position: int

    @property
    def sink(self) -> Sink:
        """Where to write. A subscriber whose line is full detaches itself."""

    def beat(self) -> None:
        """Say that all is well: nothing was told for a while."""


@dataclass(slots=True, eq=False)
class Group:
    """Subscribers whose views are equal."""

    view: View
    members: dict[Member, None] = field(default_factory=dict)
    sinks: Sinks = field(default_factory=Sinks)
    """The way to the members, so that telling many does not look at the object of each."""
    is_quiet: bool = False
    """Nothing was told since the last heartbeat."""


class Groups:
    """The groups of a channel."""

    def __init__(self) -> None:
        self._all: dict[Hashable, Group] = {}
        self._by_value: dict[Hashable, dict[Any, dict[Group, None]]] = {}
        """Place to value to the groups that ask for it; dictionaries keep an order."""
        self._others: dict[Group, None] = {}
        """Groups without an equality condition: any event may concern them."""

    def __iter__(self) -> Iterator[Group]:
        return iter(tuple(self._all.values()))

    def __contains__(self, member: Member) -> bool:
        group = self._all.get(member.view.key)
        return group is not None and member in group.members

    def add(self, member: Member) -> None:
        """Add a subscriber to its group, which begins with the first."""
        group = self._all.get(member.view.key)
        if group is None:
            group = self._all[member.view.key] = Group(member.view)
            for place in self._places(group.view.query.filter):
                place[group] = None
        group.members[member] = None
        group.sinks.add(member.sink)

    def discard(self, member: Member) -> None:
        """Take a subscriber from its group, which ends with the last; no error if it has none."""
        group = self._all.get(member.view.key)
        if group is None:
            return
        group.members.pop(member, None)
        group.sinks.discard(member.sink)
        if not group.members:
            del self._all[member.view.key]
            for place in self._places(group.view.query.filter):
                place.pop(group, None)
            self._forget_empty(group.view.query.filter)

    def concerned(self, stored: StoredEvent) -> Iterator[Group]:
        """Iterate over the groups that an event may concern, each once."""
        yield from self._others
        found: dict[Group, None] = {}
        for column, by_value in self._by_value.items():
            for value in _values(stored, column):
                found |= by_value.get(value, {})
        yield from found

    def _places(self, asked: Filter) -> list[dict[Group, None]]:
        """Return where the group of a filter is kept: with its most selective equality."""
        column = _indexed(asked)
        if column is None:
            return [self._others]
        by_value = self._by_value.setdefault(column, {})
        return [by_value.setdefault(value, {}) for value in asked.equalities[column]]

    def _forget_empty(self, asked: Filter) -> None:
        column = _indexed(asked)
        if column is not None:
            by_value = self._by_value[column]
            for value in asked.equalities[column]:
                if not by_value[value]:
                    del by_value[value]
            if not by_value:
                del self._by_value[column]


def _indexed(asked: Filter) -> Hashable | None:
    """Return the place with an equality of the fewest values, if there is one."""
    equalities = asked.equalities
    return min(equalities, key=lambda name: len(equalities[name])) if equalities else None


def _values(stored: StoredEvent, place: Hashable) -> set[Any]:
    """Return what was at a place before and after an event."""
    rows = (stored.before, stored.event.row)
    return {value_at(row, place) for row in rows if row is not None} - {None}
