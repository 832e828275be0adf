"""Summary: the differences of a rehearsal, equal ones together, with some of their messages."""

from dataclasses import dataclass, field
from typing import Final

from eventhub.rehearsal.pair import Kind
from eventhub.rehearsal.rehearsing import Difference

EXAMPLES: Final = 3
"""Messages that are kept for each kind of difference."""


@dataclass(slots=True)
class Group:
    """Equal differences of many messages."""

    kind: Kind
    endpoint: str
    what: str
    """As in `Found`; of a reader also whether it is new."""
    count: int = 0
    examples: list[Difference] = field(default_factory=list)


class Summary:
    """Groups of equal differences.

    Args:
        most: groups that are kept; further ones are only counted. None for all.
    """

    def __init__(self, most: int | None = None) -> None:
        self.count = 0
        """Of all differences."""
        self.more = 0
        """Differences that are in none of the groups."""
        self._most = most
        self._groups: dict[tuple[Kind, str, str], Group] = {}

    def add(self, found: Difference) -> None:
        """Count a difference, and keep it as an example of its kind."""
        self.count += 1
        what = found.what
        if found.kind == "seen":
            what += " (new)" if found.after else " (no longer)"
        key = (found.kind, found.endpoint, what)
        if (group := self._groups.get(key)) is None:
            if self._most is not None and len(self._groups) >= self._most:
                self.more += 1
                return
            group = self._groups[key] = Group(*key)
        group.count += 1
        if len(group.examples) < EXAMPLES:
            group.examples.append(found)

    def groups(self, order: list[str]) -> list[Group]:
        """Return the groups, sorted by kind as in `order`, then by endpoint and what."""
        groups = self._groups.values()
        return sorted(groups, key=lambda each: (order.index(each.kind), each.endpoint, each.what))
