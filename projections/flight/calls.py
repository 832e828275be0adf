"""Calls: the calls that clients make at once, their limits, and the end of those that stall.

Each call has a thread of gRPC, which waits as long as its client neither sends nor reads. No call
can be ended alone from here, so the connection of a client that stalls is closed.
"""

import os
import re
import socket
import stat
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final
from urllib.parse import unquote

import structlog

from eventhub.errors import Unavailable

MOST: Final = 64
"""Calls at once."""
MOST_OF_ADDRESS: Final = 48
"""Calls of one address at once: it leaves some to others."""
CHECK_SECONDS: Final = 1.0

logger = structlog.get_logger(__name__)


class Call:
    """One call; `moved` says that its client does its part."""

    __slots__ = ("last", "peer")

    def __init__(self, peer: str) -> None:
        self.peer = peer
        self.moved()

    def moved(self) -> None:
        """Start the time anew after which it has stalled."""
        self.last = time.monotonic()


class Calls:
    """The calls of a server."""

    def __init__(self, stalled_after: float) -> None:
        """Prepare; `watch` ends what stalls.

        Args:
            stalled_after: seconds without a move.
        """
        self._stalled_after = stalled_after
        self._lock = threading.Lock()
        self._calls: set[Call] = set()
        self._of_address: Counter[str] = Counter()

    def begin(self, peer: str) -> Call:
        """Count a call, which has to end.

        Args:
            peer: of gRPC, as in `ipv4:127.0.0.1:5000`.

        Raises:
            Unavailable: `busy`: there are too many.
        """
        address = address_of(peer)
        with self._lock:
            if self._of_address[address] >= MOST_OF_ADDRESS or len(self._calls) >= MOST:
                raise Unavailable("too many queries run at once: try again", code="busy")
            call = Call(peer)
            self._calls.add(call)
            self._of_address[address] += 1
        return call

    def end(self, call: Call) -> None:
        """Count a call no more; idempotent."""
        with self._lock:
            if call in self._calls:
                self._calls.remove(call)
                address = address_of(call.peer)
                self._of_address[address] -= 1
                if not self._of_address[address]:
                    del self._of_address[address]

    @contextmanager
    def one(self, peer: str) -> Iterator[Call]:
        """Count a call for the length of a block; errors as `begin`."""
        call = self.begin(peer)
        try:
            yield call
        finally:
            self.end(call)

    def watch(self) -> None:
        """Close the connections of calls that stall, forever: in a thread of its own."""
        while True:
            time.sleep(CHECK_SECONDS)
            before = time.monotonic() - self._stalled_after
            with self._lock:
                peers = {call.peer for call in self._calls if call.last < before}
            for peer in peers:
                logger.warning("flight_client_stalled", peer=peer)
                close_connection(peer)


def address_of(peer: str) -> str:
    """Return the address of a peer of gRPC: that of `ipv6:%5B::1%5D:5000` is `::1`."""
    found = re.fullmatch(r"ipv[46]:\[?(.+?)\]?:\d+", unquote(peer))
    return found[1] if found else peer


def close_connection(peer: str) -> None:
    """Close the connection of this process with a peer; all of its calls end."""
    for descriptor in map(int, os.listdir("/dev/fd")):
        with suppress(OSError):
            if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                continue
            with socket.socket(fileno=os.dup(descriptor)) as connection:
                if _is(connection.getpeername(), peer):
                    connection.shutdown(socket.SHUT_RDWR)


def _is(name: object, peer: str) -> bool:
    """Return whether an address of the system is that of a peer of gRPC."""
    if not isinstance(name, tuple):  # a Unix socket
        return False
    host, port = str(name[0]).removeprefix("::ffff:"), name[1]
    return unquote(peer) in (f"ipv4:{host}:{port}", f"ipv6:[{host}]:{port}")
