"""Live filters: a bound on what the filters of live subscribers cost for each message.

A filter is applied once for all subscribers that share it, so further subscribers cost nothing. A
filter that is a single equality costs nothing either: groups are found by the value. The others
have a bound for each client and one for all clients together.
"""

from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Any

from eventhub.delivery.view import View
from eventhub.errors import Unavailable
from eventhub.filters.weight import live_weight

CLIENT_UNITS = 8000
"""Of one client in one table: 2,600 filters of one comparison, or 360 text matches (2 ms)."""
ALL_UNITS = 20_000
"""Of all clients in one table: 5 ms for a message."""


class LiveFilters:
    """The filters of one channel's subscribers, and their weight."""

    def __init__(self) -> None:
        self._views: Counter[Hashable] = Counter()
        self._by_client: Counter[tuple[Hashable, Hashable]] = Counter()
        self._units: Counter[Hashable] = Counter()
        """By client."""
        self._all_units = 0

    @contextmanager
    def hold(self, view: View, client: Hashable) -> Iterator[None]:
        """Count a subscriber's filter for the length of a block.

        Raises:
            Unavailable: `too_many_reads`: the filters of its client, or of all clients together,
                cost too much.
        """
        units = live_weight(view.query)
        if not units:
            yield
            return
        self._check(view, client, units)
        self._count(view.key, client, units, 1)
        try:
            yield
        finally:
            self._count(view.key, client, units, -1)

    def _check(self, view: View, client: Hashable, units: int) -> None:
        is_known = self._by_client[client, view.key] > 0
        if not is_known and self._units[client] + units > CLIENT_UNITS:
            raise Unavailable(
                "you listen with too many different filters: use = in them, repeat the same"
                " filter, or close some connections",
                code="too_many_reads",
            )
        if not self._views[view.key] and self._all_units + units > ALL_UNITS:
            raise Unavailable(
                "all clients together listen with too many different filters: use = in them, or"
                " try again later",
                code="too_many_reads",
            )

    def _count(self, key: Hashable, client: Hashable, units: int, step: int) -> None:
        """Add a subscriber (step 1), or remove one (-1)."""
        if _is_edge(self._views, key, step):
            self._all_units += step * units
        if _is_edge(self._by_client, (client, key), step):
            self._units[client] += step * units
            if not self._units[client]:
                del self._units[client]


def _is_edge(counter: Counter[Any], key: Hashable, step: int) -> bool:
    """Count, and return whether it was the first to come or the last to go."""
    counter[key] += step
    is_edge: bool = counter[key] == max(step, 0)
    if not counter[key]:
        del counter[key]
    return is_edge
