"""Broadcast: the same bytes to many sockets, in one system call where possible (ADR-34).

After the kernel's work for hundreds of sockets nothing of their transports is in the processor's
cache, so looking at each costs as much as a good part of a write. Hence a set of sinks knows which
of them have bytes waiting, and does not look at the others.
"""

import asyncio
from collections.abc import Collection, Iterator
from typing import Final

import structlog

from eventhub.delivery import io_submit

logger = structlog.get_logger(__name__)

MAX_ONE_BY_ONE: Final = 16
"""Up to this many sockets are written to one by one: a system call for all would not pay."""


class Sink:
    """The transport of one client. All that the client is sent goes through here, or its set."""

    __slots__ = ("_sets", "_transport", "fd")

    def __init__(self, transport: asyncio.WriteTransport) -> None:
        self._transport = transport
        raw = transport.get_extra_info("socket")
        is_plain = raw is not None and transport.get_extra_info("sslcontext") is None
        self.fd: int = raw.fileno() if is_plain else -1
        """The descriptor of a socket that takes bytes unchanged; -1 if there is none."""
        self._sets: tuple[Sinks, ...] = ()
        """The sets that it belongs to: one for each subscription of its client."""

    @property
    def is_busy(self) -> bool:
        """Bytes wait in the transport, or all bytes have to pass through it."""
        return self.fd < 0 or self._transport.get_write_buffer_size() > 0

    def write(self, data: bytes | memoryview) -> None:
        """Write after what is waiting; what the socket does not take waits too."""
        self._transport.write(data)
        for sinks in self._sets:
            sinks.note(self)

    def leave(self) -> None:
        """Leave all sets: its descriptor may soon be another client's."""
        for sinks in self._sets:
            sinks.discard(self)

    def note_joined(self, sinks: "Sinks") -> None:
        """Note a set that it was added to."""
        self._sets = (*self._sets, sinks)

    def note_left(self, sinks: "Sinks") -> None:
        """Note a set that it was removed from."""
        self._sets = tuple(each for each in self._sets if each is not sinks)


class Sinks:
    """A set of sinks that get the same bytes.

    A sink has to leave before its descriptor is closed. Transports close it after they have called
    `connection_lost`.
    """

    def __init__(self) -> None:
        self._all: dict[Sink, None] = {}
        self._busy: set[Sink] = set()
        """All sinks with bytes waiting, and some that no longer have any."""
        self._batch: io_submit.Batch | None = None
        """Of all sinks, until one is added, leaves or becomes busy."""

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Sink]:
        """Iterate over the present sinks; some may leave meanwhile."""
        return iter(tuple(self._all))

    def add(self, sink: Sink) -> None:
        """Add a sink that is not in the set."""
        sink.note_joined(self)
        self._all[sink] = None
        self._batch = None
        self.note(sink)

    def discard(self, sink: Sink) -> None:
        """Remove a sink; no error if it is not in the set."""
        if sink in self._all:
            sink.note_left(self)
            del self._all[sink]
            self._busy.discard(sink)
            self._batch = None

    def note(self, sink: Sink) -> None:
        """Note whether a sink that was written to has bytes waiting."""
        if sink.is_busy:
            self._busy.add(sink)

    def split(self, writer: io_submit.Writer) -> tuple[io_submit.Batch, list[Sink]]:
        """Return a batch of the sinks that can be written to directly, and the busy ones."""
        busy = self._busy = {sink for sink in self._busy if sink.is_busy}
        if busy:
            free = [sink.fd for sink in self._all if sink not in busy]
            return writer.batch(free), list(busy)
        if self._batch is None:
            self._batch = writer.batch([sink.fd for sink in self._all])
        return self._batch, []

    def by_descriptor(self, fds: Collection[int]) -> dict[int, Sink]:
        """Return the sinks of some descriptors."""
        return {sink.fd: sink for sink in self._all if sink.fd in fds}


class Broadcast:
    """Writes to sets of sinks; one serves the whole process, in its event loop."""

    def __init__(self) -> None:
        self._writer: io_submit.Writer | None = None
        self._is_possible = True
        """The system call exists, as far as is known."""

    def write(self, sinks: Sinks, data: bytes) -> None:
        """Write to each sink after what was written to it before; never waits.

        What a socket does not take is left to its transport, which calls `pause_writing`.
        """
        if len(sinks) <= MAX_ONE_BY_ONE or (writer := self._open()) is None:
            for sink in sinks:
                sink.write(data)
            return
        batch, busy = sinks.split(writer)
        if left := dict(writer.write(batch, data)):
            whole = memoryview(data)  # slices of bytes would copy the message for each slow client
            for fd, sink in sinks.by_descriptor(left).items():
                sink.write(whole[left[fd] :])
        for sink in busy:
            sink.write(data)

    def close(self) -> None:
        """Release what the kernel keeps; later writes go to each sink alone."""
        self._is_possible = False
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _open(self) -> io_submit.Writer | None:
        if self._writer is None and self._is_possible:
            try:
                self._writer = io_submit.Writer()
            except OSError as error:
                logger.debug("broadcast_without_aio", error=error.strerror)
                self._is_possible = False
        return self._writer
