"""Io_submit: the same bytes to many sockets with one system call of Linux, io_submit(2).

The kernel makes the writes one after the other, each as far as its socket takes it, before the call
returns: it never waits for a non-blocking socket. So nothing here is asynchronous; there is one way
into the kernel and back instead of hundreds.

The C library has no functions for these calls. Their numbers are those of the kernel's tables, and
the structures those of its linux/aio_abi.h, for 64-bit machines.
"""

import ctypes
import errno
import os
import platform
import sys
from array import array
from collections.abc import Sequence
from typing import Final, NamedTuple

MAX_WRITES: Final = 512
"""Of one call, for which the kernel reserves memory; `fs.aio-max-nr` bounds all processes."""


class _Calls(NamedTuple):
    setup: int
    destroy: int
    submit: int
    getevents: int


_CALLS: Final = {"x86_64": _Calls(206, 207, 209, 208), "aarch64": _Calls(0, 1, 2, 4)}
_PWRITEV: Final = 8
_EVENT: Final = 4
"""Numbers in a `struct io_event`: data, address of the block, result, second result."""

# PyDLL keeps the interpreter lock: a thread that took it meanwhile would return it after 5 ms.
_syscall = ctypes.PyDLL(None, use_errno=True).syscall
_syscall.argtypes = (ctypes.c_long,) * 6
_syscall.restype = ctypes.c_long


class _Block(ctypes.Structure):
    """One write: `struct iocb`."""

    _fields_ = (
        ("data", ctypes.c_uint64),
        ("key", ctypes.c_uint32),
        ("rw_flags", ctypes.c_int32),
        ("opcode", ctypes.c_uint16),
        ("priority", ctypes.c_int16),
        ("fd", ctypes.c_uint32),
        ("pieces", ctypes.c_uint64),
        ("count", ctypes.c_uint64),
        ("offset", ctypes.c_int64),
        ("reserved", ctypes.c_uint64),
        ("flags", ctypes.c_uint32),
        ("eventfd", ctypes.c_uint32),
    )


class _Piece(ctypes.Structure):
    """What to write: `struct iovec`."""

    _fields_ = (("base", ctypes.c_char_p), ("size", ctypes.c_size_t))


class _Blocks(dict[int, int]):
    """Addresses of blocks by descriptor, each made once; all write the same piece."""

    def __init__(self, piece: _Piece) -> None:
        self._piece = ctypes.addressof(piece)
        self._kept: list[_Block] = []

    def __missing__(self, fd: int) -> int:
        block = _Block(data=fd, opcode=_PWRITEV, fd=fd, pieces=self._piece, count=1)
        self._kept.append(block)
        self[fd] = ctypes.addressof(block)
        return self[fd]


class Batch(NamedTuple):
    """Descriptors that one `Writer` writes to; valid as long as they are open."""

    fds: tuple[int, ...]
    blocks: "array[int]"


class Writer:
    """Writes to many descriptors; for one thread.

    Raises:
        OSError: the kernel has no AIO, forbids it, or other processes use all of it.
    """

    def __init__(self) -> None:
        calls = _CALLS.get(platform.machine()) if sys.platform == "linux" else None
        if calls is None:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        self._calls = calls
        self._piece = _Piece()
        self._blocks = _Blocks(self._piece)
        self._events = array("q", bytes(8 * _EVENT * MAX_WRITES))
        context = ctypes.c_ulong(0)
        self._call(calls.setup, MAX_WRITES, ctypes.addressof(context))
        self._context = context.value

    def close(self) -> None:
        """Release the kernel's memory; nothing can be written any more."""
        self._call(self._calls.destroy, self._context)

    def batch(self, fds: Sequence[int]) -> Batch:
        """Prepare a write to non-blocking descriptors, each of which is named once."""
        return Batch(tuple(fds), array("Q", map(self._blocks.__getitem__, fds)))

    def write(self, batch: Batch, data: bytes) -> list[tuple[int, int]]:
        """Write the same bytes to every descriptor of a batch.

        Returns:
            The descriptors that did not take all bytes, for whatever reason, and how many they
            took.
        """
        self._piece.base, self._piece.size = data, len(data)
        left: list[tuple[int, int]] = []
        for begin in range(0, len(batch.fds), MAX_WRITES):
            left += self._write_some(batch, begin, len(data))
        self._piece.base = None
        return left

    def _write_some(self, batch: Batch, begin: int, size: int) -> list[tuple[int, int]]:
        fds = batch.fds[begin : begin + MAX_WRITES]
        where = batch.blocks.buffer_info()[0] + batch.blocks.itemsize * begin
        try:
            made = self._call(self._calls.submit, self._context, len(fds), where)
        except OSError:  # of the first write; an error of a later one only ends the list before it
            made = 0
        left = [(fd, 0) for fd in fds[made:]]
        if made:
            where, _ = self._events.buffer_info()
            self._call(self._calls.getevents, self._context, made, made, where)  # they are complete
            results = self._events[2 : _EVENT * made : _EVENT]
            if results.count(size) < made:
                answers = zip(self._events[: _EVENT * made : _EVENT], results, strict=True)
                left += [(fd, max(0, result)) for fd, result in answers if result != size]
        return left

    def _call(self, number: int, *args: int) -> int:
        answer: int = _syscall(number, *args, *(0,) * (5 - len(args)))
        if answer < 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))
        return answer
