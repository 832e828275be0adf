"""Broadcast: the same bytes to a crowd of clients, in one system call where that can be (ADR-34).

After the kernel's work for hundreds of sockets nothing of their transports is in the processor's
cache, so looking at each costs as much as a good part of a write. Hence a crowd knows which of its
clients have something waiting, and nothing else of them is looked at.
"""

import asyncio
from collections.abc import Collection, Iterator
from typing import Final

import structlog

from eventhub.delivery import io_submit as aio

logger = structlog.get_logger(__name__)

FEW: Final = 16
"""So many clients are written to one by one: what a list costs here is not worth it."""


class Line:
    """The way to one client. All that it is sent goes through here, or through its crowd."""

    __slots__ = ("_transport", "crowd", "fd")

    def __init__(self, transport: asyncio.WriteTransport) -> None:
        self._transport = transport
        raw = transport.get_extra_info("socket")
        is_plain = raw is not None and transport.get_extra_info("sslcontext") is None
        self.fd: int = raw.fileno() if is_plain else -1
        """Of the socket, if bytes go through it as they are; else -1."""
        self.crowd: Crowd | None = None

    @property
    def is_busy(self) -> bool:
        """Something waits, or everything has to go through the transport."""
        return self.fd < 0 or self._transport.get_write_buffer_size() > 0

    def write(self, data: bytes | memoryview) -> None:
        """Write behind what waits; what the socket does not take waits too."""
        self._transport.write(data)
        if self.crowd is not None:
            self.crowd.note(self)

    def leave(self) -> None:
        """Leave the crowd, if it is in one: its descriptor may soon be another client's."""
        if self.crowd is not None:
            self.crowd.discard(self)


class Crowd:
    """Clients that are told the same.

    A line has to leave before its descriptor is closed: transports do that after `connection_lost`.
    """

    def __init__(self) -> None:
        self._lines: dict[Line, None] = {}
        self._busy: set[Line] = set()
        """All for whom something waits, and some for whom nothing does any more."""
        self._batch: aio.Batch | None = None
        """Of all lines, while nobody comes, goes or is busy."""

    def __len__(self) -> int:
        return len(self._lines)

    def __iter__(self) -> Iterator[Line]:
        """Iterate over those who are there now, whoever leaves meanwhile."""
        return iter(tuple(self._lines))

    def add(self, line: Line) -> None:
        """Let a client in; it is in no other crowd."""
        line.crowd = self
        self._lines[line] = None
        self._batch = None
        self.note(line)

    def discard(self, line: Line) -> None:
        """Let a client go; no error if it is not there."""
        if line.crowd is self:
            line.crowd = None
            del self._lines[line]
            self._busy.discard(line)
            self._batch = None

    def note(self, line: Line) -> None:
        """Take note of whether something waits for a client that was written to."""
        if line.is_busy:
            self._busy.add(line)

    def parted(self, writer: aio.Writer) -> tuple[aio.Batch, list[Line]]:
        """Return those who can be written to at once, and the busy ones."""
        busy = self._busy = {line for line in self._busy if line.is_busy}
        if busy:
            free = [line.fd for line in self._lines if line not in busy]
            return writer.batch(free), list(busy)
        if self._batch is None:
            self._batch = writer.batch([line.fd for line in self._lines])
        return self._batch, []

    def at(self, fds: Collection[int]) -> dict[int, Line]:
        """Return the lines of descriptors."""
        return {line.fd: line for line in self._lines if line.fd in fds}


class Broadcast:
    """Writes to crowds; one serves the whole process, in its event loop."""

    def __init__(self) -> None:
        self._writer: aio.Writer | None = None
        self._is_possible = True
        """There is such a system call, as far as is known."""

    def write(self, crowd: Crowd, data: bytes) -> None:
        """Write to each, behind what was written to it before; never waits.

        What a socket does not take is its transport's, which tells its protocol (`pause_writing`).
        """
        if len(crowd) <= FEW or (writer := self._open()) is None:
            for line in crowd:
                line.write(data)
            return
        batch, busy = crowd.parted(writer)
        if left := dict(writer.write(batch, data)):
            whole = memoryview(data)  # a copy for each who is behind would be a message of each
            for fd, line in crowd.at(left).items():
                line.write(whole[left[fd] :])
        for line in busy:
            line.write(data)

    def close(self) -> None:
        """Give back what the kernel keeps; whoever is written to now is written to alone."""
        self._is_possible = False
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _open(self) -> aio.Writer | None:
        if self._writer is None and self._is_possible:
            try:
                self._writer = aio.Writer()
            except OSError as error:
                logger.info("broadcast_without_aio", error=error.strerror)
                self._is_possible = False
        return self._writer
