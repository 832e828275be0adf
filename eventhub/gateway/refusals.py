"""Refusals: who was not let in lately, and comes again and again.

A connection that is refused costs the hub a millisecond, and who is refused loses nothing by
trying again at once. So beyond some attempts one after the other waits, and is told to come later.
Told apart are address, path and whether there are credentials: who has a login is not kept out by
somebody of the same address who has none.
"""

import time
from collections.abc import Callable
from typing import Final, NamedTuple

ATTEMPTS: Final = 100
"""That may be refused one after the other."""
ATTEMPTS_PER_SECOND: Final = 5.0
"""That may be refused all the time."""
BODIES: Final = 10
"""Large or compressed bodies of one address that may be refused one after the other."""
BODIES_PER_SECOND: Final = 1.0
"""That may be refused all the time. Beyond, only who is refused waits: for the answer."""
BUSY_SECONDS: Final = 1.0
"""That somebody waits to be told that he comes too often; he is not read from."""
MAX_KEYS: Final = 10_000
BUSY: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n"
    b"Cache-Control: no-store\r\nContent-Type: application/json\r\nContent-Length: 88\r\n\r\n"
    b'{"_error":{"code":"busy","message":"refused too often: come again later","retry":true}}\n'
)
_CREDENTIALS: Final = (b"\r\nauthorization:", b"\r\ncookie:", b"token=")


class Key(NamedTuple):
    """Whose attempts are counted together."""

    address: str
    path: bytes
    has_credentials: bool


class Refusals:
    """Attempts that were refused, by `Key`."""

    def __init__(
        self,
        attempts: float = ATTEMPTS,
        per_second: float = ATTEMPTS_PER_SECOND,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = attempts / per_second
        self._per_second = per_second
        self._clock = clock
        self._spent: dict[Key, float] = {}
        """When all that was refused is forgotten, by key."""

    def key(self, address: str, head: bytes) -> Key:
        """Return who an attempt counts for, by the beginning of its request."""
        line = head[:2048].split(b" ", 2)
        path = line[1].partition(b"?")[0][:200] if len(line) > 1 else b""
        lower = head[:8192].lower()
        return Key(address, path, any(each in lower for each in _CREDENTIALS))

    def note(self, key: Key) -> bool:
        """Count an attempt that was refused; tell whether there were too many."""
        now = self._clock()
        if len(self._spent) >= MAX_KEYS:
            self._spent = {k: until for k, until in self._spent.items() if until > now}
            if len(self._spent) >= MAX_KEYS:
                self._spent.clear()
        self._spent[key] = max(self._spent.get(key, now), now) + 1 / self._per_second
        return self.is_over(key)

    def is_over(self, key: Key) -> bool:
        """Tell whether there were too many."""
        until = self._spent.get(key)
        return until is not None and until - self._clock() > self._most
