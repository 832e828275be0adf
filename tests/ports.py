"""Ports: some that nothing listens on, for servers that need to know theirs before they start."""

import random
import socket
from typing import Final

FIRST: Final = 10_000
LAST: Final = 32_767
"""Above it, Linux takes ports for the clients of other tests: `ip_local_port_range`."""
_RANDOM = random.SystemRandom()  # each worker has the same seed of `random`


def free_port() -> int:
    """Return a port of the loopback address that was free a moment ago."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Return different ports of the loopback address that were free a moment ago."""
    found: set[int] = set()
    while len(found) < count:
        port = _RANDOM.randint(FIRST, LAST)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.add(port)
    return list(found)
