"""Groups: subscribers with equal views, found by the values of an event.

A filter such as `room=lobby` can only match rows whose room is lobby, before or after an event.
Hence groups with an equality condition are indexed by it: an event costs what its matches cost,
however many other rooms there are.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
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
        """Where to write. A subscriber whose sink is full detaches itself."""

    def heartbeat(self) -> None:
        """Keep the connection open; called after a silence."""


@dataclass(slots=True, eq=False)
class Group:
    """Subscribers whose views are equal."""

    view: View
    members: dict[Member, None] = field(default_factory=dict)
    sinks: dict[int, Sinks] = field(default_factory=dict)
    """The members' sinks, so that writing to many does not look at the object of each. By number of
    the subscription, which is in their frames."""
    is_quiet: bool = False
    """Nothing was written since the last heartbeat."""


class Groups:
    """The groups of a channel."""

    def __init__(self) -> None:
        self._all: dict[Hashable, Group] = {}
        self._by_value: dict[Hashable, dict[Any, dict[Group, None]]] = {}
        """Target of an equality, to value, to groups; dictionaries keep their order."""
        self._others: dict[Group, None] = {}
        """Groups without an equality condition: any event may concern them."""

    def __iter__(self) -> Iterator[Group]:
        return iter(tuple(self._all.values()))

    def __len__(self) -> int:
        return len(self._all)

    def __contains__(self, member: Member) -> bool:
        group = self._all.get(member.view.key)
        return group is not None and member in group.members

    def add(self, member: Member) -> None:
        """Add a subscriber to its group, which is made for the first."""
        group = self._all.get(member.view.key)
        if group is None:
            group = self._all[member.view.key] = Group(member.view)
            for bucket in self._buckets(group.view.query.filter):
                bucket[group] = None
        group.members[member] = None
        group.sinks.setdefault(member.view.number, Sinks()).add(member.sink)

    def discard(self, member: Member) -> None:
        """Remove a subscriber, and its group with the last one; no error if it has none."""
        group = self._all.get(member.view.key)
        if group is None:
            return
        if member in group.members:
            del group.members[member]
            self._discard_sink(group, member)
        if not group.members:
            del self._all[member.view.key]
            for bucket in self._buckets(group.view.query.filter):
                bucket.pop(group, None)
            self._forget_empty(group.view.query.filter)

    def _discard_sink(self, group: Group, member: Member) -> None:
        sinks = group.sinks[member.view.number]
        sinks.discard(member.sink)
        if not sinks:
            del group.sinks[member.view.number]

    def candidates(self, stored: StoredEvent) -> Iterator[Group]:
        """Iterate over the groups that an event may concern, each once."""
        rows = (stored.before, stored.event.row)
        return self.of_rows([row for row in rows if row is not None])

    def of_rows(self, rows: Sequence[Mapping[str, Any]]) -> Iterator[Group]:
        """Iterate over the groups that may show any of some rows, each once."""
        yield from self._others
        found: dict[Group, None] = {}
        for target, by_value in self._by_value.items():
            for value in {value_at(row, target) for row in rows} - {None}:
                found |= by_value.get(value, {})
        yield from found

    def _buckets(self, asked: Filter) -> list[dict[Group, None]]:
        """Return where the group of a filter is kept: by its most selective equality."""
        target = _indexed(asked)
        if target is None:
            return [self._others]
        by_value = self._by_value.setdefault(target, {})
        return [by_value.setdefault(value, {}) for value in asked.equalities[target]]

    def _forget_empty(self, asked: Filter) -> None:
        target = _indexed(asked)
        if target is not None:
            by_value = self._by_value[target]
            for value in asked.equalities[target]:
                if not by_value[value]:
                    del by_value[value]
            if not by_value:
                del self._by_value[target]


def _indexed(asked: Filter) -> Hashable | None:
    """Return the target of the equality with the fewest values, if there is one."""
    equalities = asked.equalities
    return min(equalities, key=lambda name: len(equalities[name])) if equalities else None
