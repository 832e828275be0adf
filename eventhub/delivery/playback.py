"""Playback: the events after a past state, at a multiple of the speed at which they happened."""

from collections.abc import Callable

from eventhub.columns import times
from eventhub.event import StoredEvent


class Playback:
    """When each event is due, counted from the first one, which is due at once."""

    def __init__(self, speed: float, clock: Callable[[], float]) -> None:
        """Get ready.

        Args:
            speed: above 0; 10 plays an hour in six minutes.
            clock: of the event loop, in seconds.
        """
        self._speed = speed
        self._clock = clock
        self._first: tuple[float, float] | None = None
        """When the first event happened, and when it was due."""

    def delay(self, stored: StoredEvent) -> float:
        """Return the seconds until an event is due; 0 or less if it is due now."""
        now, happened = self._clock(), times.moment(stored.event.time).timestamp()
        if self._first is None:
            self._first = happened, now
        first, began = self._first
        return began + (happened - first) / self._speed - now
