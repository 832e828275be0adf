"""Wire: the least of a WebSocket client. Upgrade, prebuilt masked frames, marks counted in bytes.

A client library would need as much of the two cores as the hub that it measures. This one never
parses a frame: what is sent is made before the clock starts, and what comes is searched for a mark
that each message has once.
"""

import base64
import os
import re
import socket
import struct
from urllib.parse import urlsplit

TEXT, BINARY = 0x81, 0x82
"""First bytes of a final frame (RFC 6455 section 5.2)."""
READ_BYTES = 1 << 16
CONNECT_SECONDS = 10.0


def connect(url: str, *, subprotocol: str = "", headers: str = "") -> socket.socket:
    """Open a WebSocket (RFC 6455 section 4.1) and return its socket, not yet non-blocking.

    Args:
        url: with `http:`, for no library is asked.
        subprotocol: offered if it is not empty.
        headers: further ones, each with its line end.
    """
    parts = urlsplit(url)
    connection = socket.socket()
    connection.settimeout(CONNECT_SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.connect((parts.hostname, parts.port or 80))
    connection.sendall(
        upgrade(
            parts._replace(scheme="", netloc="").geturl() or "/", parts.netloc, subprotocol, headers
        )
    )
    head = b""
    while b"\r\n\r\n" not in head:  # byte by byte: what follows the head is the first frame's
        byte = connection.recv(1)
        assert byte, f"closed while upgrading: {head!r}"
        head += byte
    assert b" 101 " in head, head
    return connection


def upgrade(target: str, host: str, subprotocol: str = "", headers: str = "") -> bytes:
    """Return the request that opens a WebSocket."""
    key = base64.b64encode(os.urandom(16)).decode()
    offered = f"Sec-WebSocket-Protocol: {subprotocol}\r\n" if subprotocol else ""
    return (
        f"GET {target} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{offered}{headers}\r\n"
    ).encode()


def text_frame(payload: bytes) -> bytes:
    """Return a server's frame."""
    return _head(TEXT, len(payload), 0) + payload


def masked(payload: bytes, first: int = TEXT) -> bytes:
    """Return a client's frame, which has to be masked (RFC 6455 section 5.3)."""
    size, key = len(payload), os.urandom(4)
    mask = (key * (size // 4 + 1))[:size]
    body = int.from_bytes(payload) ^ int.from_bytes(mask)
    return _head(first, size, 0x80) + key + body.to_bytes(size)


def _head(first: int, size: int, mask_bit: int) -> bytes:
    if size < 126:
        return struct.pack("!BB", first, mask_bit | size)
    if size < 1 << 16:
        return struct.pack("!BBH", first, mask_bit | 126, size)
    return struct.pack("!BBQ", first, mask_bit | 127, size)


class Marks:
    """Counts a mark in what comes piece by piece: one may lie across pieces."""

    __slots__ = ("_mark", "_overlap", "_rest", "seen")

    def __init__(self, mark: bytes) -> None:
        self.seen = 0
        self._mark = mark
        self._overlap = len(mark) - 1
        self._rest = b""

    def take(self, piece: bytes) -> int:
        """Return how many marks end in this piece."""
        overlap = self._overlap
        seam = self._rest + piece[:overlap]  # too short on either side to hold a whole mark
        count = piece.count(self._mark) + seam.count(self._mark)
        self._rest = piece[-overlap:] if len(piece) >= overlap else seam[-overlap:]
        self.seen += count
        return count


STAMP_BYTES = len("<at 0123456789012345>")
_STAMP = re.compile(rb"<at (\d{16})>")


def stamp(seconds: float) -> str:
    """Return a moment of `time.perf_counter` as text of a fixed length, to the microsecond."""
    return f"<at {int(seconds * 1e6):016}>"


class Stamps:
    """Finds stamps in what comes piece by piece."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def take(self, piece: bytes) -> list[float]:
        """Return the moments of the stamps that end in this piece, in seconds."""
        data = self._rest + piece
        found = list(_STAMP.finditer(data))
        end = found[-1].end() if found else 0
        self._rest = data[max(end, len(data) - STAMP_BYTES + 1) :]
        return [int(each[1]) / 1e6 for each in found]


def read(connection: socket.socket) -> bytes:
    """Return what has come.

    Raises:
        ConnectionError: the server closed, which no measurement expects.
    """
    piece = connection.recv(READ_BYTES)
    if not piece:
        raise ConnectionError("the server closed a connection")
    return piece
