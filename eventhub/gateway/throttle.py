"""Throttle: how often a client may be refused before it has to wait.

A connection that is refused costs the hub a millisecond, and its client loses nothing by trying
again at once. So beyond some attempts in a row, each waits and is then asked to come back later.
Attempts are told apart by address, path and whether there are credentials: a user with a login is
not kept out by someone without one behind the same address (ADR-42).
"""

import time
from collections.abc import Callable
from typing import Final, NamedTuple

from eventhub.errors import Unavailable
from eventhub.gateway.guard import closing_answer

ATTEMPTS: Final = 100
"""Attempts that may be refused in a row."""
ATTEMPTS_PER_SECOND: Final = 5.0
"""Attempts that may be refused all the time."""
BODIES: Final = 10
"""Large or compressed bodies of one address that may be refused in a row."""
BODIES_PER_SECOND: Final = 1.0
"""Such bodies that may be refused all the time. Beyond it, only the answers of refusals wait."""
BUSY_SECONDS: Final = 1.0
"""How long a client that is refused too often waits for its answer; it is not read from."""
MAX_KEYS: Final = 10_000
BUSY: Final = closing_answer(
    Unavailable("refused too often: try again later", code="busy", retry_after=1)
)
_CREDENTIALS: Final = (b"\r\nauthorization:", b"\r\ncookie:", b"bearer.", b"token=")


class Key(NamedTuple):
    """What the attempts that are counted together have in common."""

    address: str
    path: bytes
    has_credentials: bool


class Throttle:
    """Counts refused attempts by `Key`, and forgets them at a steady rate.

    Args:
        attempts: that may be refused in a row.
        per_second: attempts that are forgotten in a second.
        clock: monotonic, in seconds.
    """

    def __init__(
        self,
        attempts: float = ATTEMPTS,
        per_second: float = ATTEMPTS_PER_SECOND,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most_seconds = attempts / per_second
        self._per_second = per_second
        self._clock = clock
        self._forgotten_at: dict[Key, float] = {}
        """When everything that was refused is forgotten, by key."""

    def key(self, address: str, head: bytes) -> Key:
        """Return the key of an attempt, from the beginning of its request."""
        line = head[:2048].split(b" ", 2)
        path = line[1].partition(b"?")[0][:200] if len(line) > 1 else b""
        lower = head[:8192].lower()
        return Key(address, path, any(each in lower for each in _CREDENTIALS))

    def note(self, key: Key) -> bool:
        """Count a refused attempt; return whether there were too many."""
        now = self._clock()
        if len(self._forgotten_at) >= MAX_KEYS:
            self._forgotten_at = {k: at for k, at in self._forgotten_at.items() if at > now}
            if len(self._forgotten_at) >= MAX_KEYS:
                self._forgotten_at.clear()
        since = max(self._forgotten_at.get(key, now), now)
        self._forgotten_at[key] = since + 1 / self._per_second
        return self.is_over(key)

    def is_over(self, key: Key) -> bool:
        """Return whether too many attempts were refused."""
        at = self._forgotten_at.get(key)
        return at is not None and at - self._clock() > self._most_seconds
