"""Limits: how many mails one alert may send in an hour, to one address and to all together.

A mail above the limit becomes a dead letter, and one digest reports all of them when the hour is
over. Each process that sends alerts counts separately.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from eventhub.alerts.digest import DigestEntry

HOUR_SECONDS = 3600.0
ALL_FACTOR = 10
"""An alert may send this many times `max_per_hour:` to all addresses together."""
MAX_HELD = 1000
"""Mails of one alert that wait for a digest; a mail above that is only a dead letter."""


@dataclass(slots=True)
class _Window:
    """An hour that begins with the first mail in it."""

    ends: float
    """By the clock of the limit."""
    sent: int = 0
    held: list[DigestEntry] = field(default_factory=list)


class Limit:
    """How much one alert may still send."""

    def __init__(self, per_hour: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Start with the whole limit.

        Args:
            per_hour: mails to one address in an hour.
            clock: returns seconds.
        """
        self.per_hour = per_hour
        self._clock = clock
        self._all = _Window(0.0)
        self._windows: dict[str, _Window] = {}

    def take(self, address: str) -> bool:
        """Count one mail to an address; False, and nothing is counted, if the limit is reached."""
        known = self._current(address)
        if known is not None and (known.held or known.sent >= self.per_hour):
            return False
        if not self._take_of_all():
            return False
        self._window(address).sent += 1
        return True

    def give_back(self, address: str) -> None:
        """Count one mail less: it was taken, and could not be sent."""
        window = self._windows.get(address.lower())
        if window is not None and window.sent:
            window.sent -= 1
            self._all.sent = max(self._all.sent - 1, 0)

    def hold(self, entry: DigestEntry) -> None:
        """Keep a mail for the digest of its address, unless `MAX_HELD` are kept already."""
        if sum(len(window.held) for window in self._windows.values()) < MAX_HELD:
            self._window(entry.address.addr_spec).held.append(entry)

    def due(self) -> Iterator[list[DigestEntry]]:
        """Yield the held mails of each address whose hour is over, and start its next hour."""
        now = self._clock()
        for address, window in list(self._windows.items()):
            if window.ends <= now and (not window.held or self._take_of_all()):
                del self._windows[address]
                if window.held:
                    self._window(address).sent = 1
                    yield window.held

    def hold_again(self, entries: list[DigestEntry]) -> None:
        """Keep the mails of a digest that could not be sent for another hour."""
        self._window(entries[0].address.addr_spec).held[:0] = entries

    def _current(self, address: str) -> _Window | None:
        window = self._windows.get(address.lower())
        is_over = window is not None and window.ends <= self._clock() and not window.held
        return None if is_over else window

    def _window(self, address: str) -> _Window:
        window = self._current(address)
        if window is None:
            window = self._windows[address.lower()] = _Window(self._clock() + HOUR_SECONDS)
        return window

    def _take_of_all(self) -> bool:
        if self._all.ends <= self._clock():
            self._all = _Window(self._clock() + HOUR_SECONDS)
        if self._all.sent >= self.per_hour * ALL_FACTOR:
            return False
        self._all.sent += 1
        return True
