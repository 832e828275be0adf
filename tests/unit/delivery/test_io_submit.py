"""One system call writes to many descriptors, and reports those that did not take everything."""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from eventhub.delivery import io_submit


@pytest.fixture
def pairs() -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    """Three connected pairs of non-blocking sockets: one end to write to, one to read from."""
    with ExitStack() as held:
        found = [socket.socketpair() for _ in range(3)]
        for end in (end for pair in found for end in pair):
            held.enter_context(end)
            end.setblocking(False)
        yield found


Pairs = list[tuple[socket.socket, socket.socket]]


def test_a_closed_descriptor_does_not_keep_others_from_being_written_to(pairs: Pairs) -> None:
    """The kernel stops at it: the descriptors after it are reported as not written to."""
    first, other, last = (end.fileno() for end, _ in pairs)
    closed = os.dup(other)
    os.close(closed)
    with closing(io_submit.Writer()) as writer:
        batch = writer.batch
        assert writer.write(batch([first, closed, last]), b"hello") == [(closed, 0), (last, 0)]
        assert writer.write(batch([closed, first]), b"again") == [(closed, 0), (first, 0)]
        assert writer.write(batch([first, other, last]), b"there") == []
        assert writer.write(batch([]), b"unread") == []
    assert [end.recv(100) for _, end in pairs] == [b"hellothere", b"there", b"there"]


def test_a_full_socket_is_reported_with_the_bytes_that_it_took(pairs: Pairs) -> None:
    data = os.urandom(8 << 20)  # more than the kernel keeps
    (full, reader), (other, _), _ = pairs
    with closing(io_submit.Writer()) as writer:
        [(fd, taken)] = writer.write(writer.batch([full.fileno()]), data)
        assert fd == full.fileno()
        assert 0 < taken < len(data)
        assert writer.write(writer.batch([full.fileno(), other.fileno()]), b"x") == [(fd, 0)]
    received = b""
    while len(received) < taken:
        received += reader.recv(1 << 20)
    assert received == data[:taken]
    with pytest.raises(BlockingIOError):
        reader.recv(1)


def test_a_batch_of_more_than_one_call_is_written_to_every_descriptor(
    pairs: Pairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(io_submit, "MAX_WRITES", 2)
    with closing(io_submit.Writer()) as writer:
        assert writer.write(writer.batch([end.fileno() for end, _ in pairs]), b"hello") == []
    assert [end.recv(100) for _, end in pairs] == [b"hello"] * 3


def test_closing_releases_the_memory_of_the_kernel() -> None:
    def mapped() -> int:
        return Path("/proc/self/maps").read_text().count("[aio]")

    before = mapped()
    writer = io_submit.Writer()
    assert mapped() == before + 1
    writer.close()
    assert mapped() == before
