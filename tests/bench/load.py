"""Load: many WebSocket clients in one process, cheap enough not to be what is measured.

Run as a process of its own: `load.py URL COUNT`. It connects, prints `connected`, and from then
on prints how many frames have arrived, whenever a line comes in on standard input.
"""

import base64
import os
import selectors
import socket
import sys
from urllib.parse import urlsplit

MARK = b'"_method"'
"""Once in every live frame: counting it in raw bytes is much cheaper than parsing frames."""


class Counter:
    """Counts marks in what is read piece by piece: one may lie across two pieces."""

    def __init__(self, mark: bytes) -> None:
        self.seen = 0
        self._mark = mark
        self._rest = b""

    def take(self, data: bytes) -> None:
        """Count the marks that end in this piece."""
        data = self._rest + data
        self.seen += data.count(self._mark)
        self._rest = data[-(len(self._mark) - 1) :]


def connect(url: str) -> socket.socket:
    """Open a bare WebSocket (RFC 6455 section 4.1) that starts with what is new."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    connection = socket.create_connection((parts.hostname, parts.port or 80))
    key = base64.b64encode(os.urandom(16)).decode()
    connection.sendall(
        f"GET {parts.path}?{parts.query} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
        "Sec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(1)
    assert b" 101 " in head, head
    connection.setblocking(False)
    return connection


def main(url: str, count: int) -> None:
    """Count marks until standard input ends."""
    selector = selectors.DefaultSelector()
    counters = [Counter(MARK) for _ in range(count)]
    for counter in counters:
        selector.register(connect(url), selectors.EVENT_READ, counter)
    selector.register(sys.stdin, selectors.EVENT_READ, "stdin")
    print("connected", flush=True)
    while True:
        for key, _ in selector.select():
            if key.data == "stdin":
                if not sys.stdin.readline():
                    return
                print(sum(counter.seen for counter in counters), flush=True)
                continue
            assert isinstance(key.fileobj, socket.socket)
            key.data.take(key.fileobj.recv(1 << 20))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
