"""Penalties: a client whose queries end the process waits before its next one, longer each time.

Each end of the process costs all other clients a retry. So the first one is free, as anyone may
write one bad query; from the second on, the client waits, and the others are served meanwhile.
"""

from collections.abc import Callable, Hashable
from typing import Final

from eventhub.errors import Unavailable

FREE_ENDS: Final = 1.0
"""Ends that cost nothing."""
FIRST_SECONDS: Final = 5.0
"""After the next one."""
GROWTH: Final = 4.0
"""Of the wait, with each further one."""
MAX_SECONDS: Final = 600.0
FORGOTTEN_SECONDS: Final = 600.0
"""After which one end is forgotten."""


class Penalties:
    """How often each client has ended the process, and how long it has to wait for that."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Begin with nothing.

        Args:
            clock: returns seconds.
        """
        self._clock = clock
        self._ends: dict[Hashable, tuple[float, float]] = {}
        """How many, and the time of the last one, by client."""

    def check(self, client: Hashable) -> None:
        """Refuse a query of a client that has to wait.

        Raises:
            Unavailable: `too_many_reads`.
        """
        left = self.seconds(client)
        if left > 0:
            text = (
                "queries of yours have ended the process that answers all:"
                f" write cheaper ones, and try again in {left:.0f} s"
            )
            raise Unavailable(text, code="too_many_reads")

    def seconds(self, client: Hashable) -> float:
        """Return how long a client has to wait from now on; at most 0 if not at all."""
        count, last = self._ends.get(client, (0.0, 0.0))
        if count <= FREE_ENDS:
            return 0.0
        growth: float = GROWTH ** (count - FREE_ENDS - 1)
        wait = min(FIRST_SECONDS * growth, MAX_SECONDS)
        return last + wait - self._clock()

    def add(self, client: Hashable, share: float = 1.0) -> None:
        """Note that a client has ended the process, or one of several clients has."""
        now = self._clock()
        self._ends = {
            other: found
            for other, found in self._ends.items()
            if found[0] * FORGOTTEN_SECONDS > now - found[1]
        }
        count, last = self._ends.get(client, (0.0, now))
        self._ends[client] = (count - (now - last) / FORGOTTEN_SECONDS + share, now)
