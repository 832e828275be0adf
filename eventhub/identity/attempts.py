"""Attempts: failed logins, and how long the next one has to wait.

Failures are counted for an account and for an address, and an attempt that is under way is one.
Each failure beyond the free ones doubles the delay. The client learns of a delay at once, and its
password is not looked at before it is over: trying faster reveals nothing. Nobody is locked out for
longer than a minute, because everybody can fail on another user's account.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

FREE_OF_ACCOUNT: Final = 5
FREE_OF_ADDRESS: Final = 20
"""An office, or a mobile network, shares an address."""
MOST_SECONDS: Final = 60.0
FORGOTTEN_SECONDS: Final = 900.0
"""After the last failure."""
MAX_KEYS: Final = 20_000
"""Accounts and addresses; the one whose failure is oldest is forgotten first."""


@dataclass(slots=True)
class _Failures:
    count: int
    last: float
    """Seconds of the clock."""


class Attempts:
    """Counts failed logins.

    Args:
        clock: monotonic, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[tuple[str, str], _Failures] = OrderedDict()

    def wait(self, account: str, address: str) -> float:
        """Return how many seconds the next attempt has to wait; 0 if it may be made now."""
        return max(
            self._left(("account", account), FREE_OF_ACCOUNT),
            self._left(("address", address), FREE_OF_ADDRESS),
        )

    def begin(self, account: str, address: str) -> None:
        """Count an attempt as failed before its password is looked at.

        Otherwise attempts made at the same moment would all be looked at before one has failed.
        """
        now = self._clock()
        for key in (("account", account), ("address", address)):
            known = self._failures.pop(key, None)
            is_old = known is None or now - known.last > FORGOTTEN_SECONDS
            count = 1 if known is None or is_old else known.count + 1
            self._failures[key] = _Failures(count, now)
        while len(self._failures) > MAX_KEYS:
            self._failures.popitem(last=False)

    def succeeded(self, account: str, address: str) -> None:
        """Take back an attempt that has begun, and forget the failures of its account.

        Earlier failures of the address stay: otherwise a client with one account could try others
        forever.
        """
        self._failures.pop(("account", account), None)
        self._take_back(("address", address))

    def withdraw(self, account: str, address: str) -> None:
        """Take back an attempt that has begun, because its password was not looked at."""
        self._take_back(("account", account))
        self._take_back(("address", address))

    def _take_back(self, key: tuple[str, str]) -> None:
        known = self._failures.get(key)
        if known is not None:
            known.count -= 1
            if known.count <= 0:
                del self._failures[key]

    def _left(self, key: tuple[str, str], free: int) -> float:
        known = self._failures.get(key)
        if known is None or known.count < free:
            return 0.0
        passed = self._clock() - known.last
        if passed > FORGOTTEN_SECONDS:
            return 0.0
        delay = min(2.0 ** (known.count - free), MOST_SECONDS)
        return float(max(0.0, delay - passed))
