"""Unix socket: how processes of one hub, and commands of its user, reach each other.

A socket stands in a folder that only the user of the hub may enter.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

FLIGHT_SOCKET: Final = "flight.sock"
"""In the data folder: where the Flight process reaches the gateway."""


def bound(folder: Path, name: str) -> socket.socket:
    """Return a socket that listens in a folder; one that a killed hub left is replaced."""
    with suppress(FileNotFoundError):
        (folder / name).unlink()
    listening = socket.socket(socket.AF_UNIX)
    try:
        with address_of(folder, name) as address:
            before = os.umask(0o177)
            try:
                listening.bind(address)
            finally:
                os.umask(before)
        listening.listen()
        listening.setblocking(False)
    except OSError:
        listening.close()
        raise
    return listening


@contextmanager
def address_of(folder: Path, name: str) -> Iterator[str]:
    """Return the path of a socket, short enough for the kernel: it takes 107 bytes."""
    path = str(folder / name)
    if len(os.fsencode(path)) <= 107 or not Path("/proc/self/fd").is_dir():
        yield path
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{name}"
    finally:
        os.close(descriptor)
