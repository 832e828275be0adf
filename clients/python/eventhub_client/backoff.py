"""Backoff: how long to wait before the next attempt."""

import random
from collections.abc import Callable

FIRST_SECONDS = 0.25
MOST_SECONDS = 20.0


class Backoff:
    """Pauses that grow, with jitter, so that clients of a restarted hub do not come all at once."""

    def __init__(self, chance: Callable[[], float] = random.random) -> None:
        """Start with the first pause.

        Args:
            chance: returns a number from 0 to 1.
        """
        self._chance = chance
        self._tries = 0

    def reset(self) -> None:
        """Start again with the first pause: an attempt succeeded."""
        self._tries = 0

    def pause(self, retry_after: float | None = None) -> float:
        """Return the next pause in seconds, which is not shorter than what the hub asked for."""
        longest = min(FIRST_SECONDS * (1 << self._tries), MOST_SECONDS)
        self._tries = min(self._tries + 1, 16)
        return max(longest * (0.5 + self._chance()), retry_after or 0.0)
