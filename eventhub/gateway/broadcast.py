"""Broadcast: the same bytes to many clients, in one system call where that can be (ADR-34)."""

import asyncio
from collections.abc import Collection
from typing import Final, NamedTuple

import structlog

from eventhub.gateway import aio

log = structlog.get_logger()

FEW: Final = 16
"""So many clients are written to one by one: what a list costs here is not worth it."""


class Line(NamedTuple):
    """The way to one client."""

    transport: asyncio.WriteTransport
    """Keeps what the socket does not take at once."""
    fd: int
    """Of the socket, if the bytes go through it as they are; else -1."""

    @classmethod
    def of(cls, transport: asyncio.WriteTransport) -> "Line":
        """Return the way through a connected transport."""
        raw = transport.get_extra_info("socket")
        is_plain = raw is not None and transport.get_extra_info("sslcontext") is None
        return cls(transport, raw.fileno() if is_plain else -1)


class Broadcast:
    """Writes to many; one serves the whole process, in its event loop."""

    def __init__(self) -> None:
        self._writer: aio.Writer | None = None
        self._is_alone = False
        """There is no such system call: everybody is written to alone."""

    def write(self, lines: Collection[Line], data: bytes) -> None:
        """Write to each, behind what was written to it before; never waits.

        What a socket does not take is its transport's, which tells its protocol (`pause_writing`).
        """
        if len(lines) <= FEW or (writer := self._open()) is None:
            for transport, _ in lines:
                transport.write(data)
            return
        free: dict[int, asyncio.WriteTransport] = {}
        for transport, fd in lines:
            # The descriptor of one that closes is still its own: it is closed after the protocol
            # has heard `connection_lost`, and who has is not among the lines any more.
            if fd < 0 or transport.get_write_buffer_size() or transport.is_closing():
                transport.write(data)
            else:
                free[fd] = transport
        for fd, taken in writer.write(tuple(free), data):
            free[fd].write(data[taken:])

    def close(self) -> None:
        """Give back what the kernel keeps; whoever is written to now is written to alone."""
        self._is_alone = True
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _open(self) -> aio.Writer | None:
        if self._writer is None and not self._is_alone:
            try:
                self._writer = aio.Writer()
            except OSError as error:
                log.info("broadcast_without_aio", error=error.strerror)
                self._is_alone = True
        return self._writer
