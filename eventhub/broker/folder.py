"""The data folder: which hub uses it, and how much it can still hold.

nats-server does not lock its store: two servers on one folder both acknowledge the same sequences,
and half of them are lost at the next start. So the hub holds a lock on the folder (flock), on a
descriptor that the server inherits: a server that outlives its hub still holds it.
"""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from eventhub.errors import Misconfigured

LOCK_POLL_SECONDS = 0.05
ORPHAN_SECONDS = 10.0
"""How long the server of a killed hub may take to stop."""


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """The address of the broker of a data folder; the content of its lock file."""

    hub: int
    """Process id of the hub that started it."""
    url: str = ""
    """Empty until the broker is ready."""
    token: str = ""


def running_broker(folder: Path) -> Address | None:
    """Return the address of the broker that runs on a data folder, or None if none does."""
    try:
        with _lock_path(folder).open("rb") as file:
            if _locked(file.fileno(), fcntl.LOCK_SH):
                return None
            address = _read_address(folder)
    except FileNotFoundError:
        return None
    return address if address is not None and address.url else None


@asynccontextmanager
async def held_lock(folder: Path) -> AsyncIterator[int]:
    """Hold the lock of a folder, which is made if necessary; yields its descriptor.

    Raises:
        Misconfigured: another hub uses the folder, or it cannot be written.
    """
    descriptor = await asyncio.to_thread(_open_lock, folder)
    try:
        await _acquire(descriptor, folder)
        yield descriptor
    finally:
        os.close(descriptor)


def write_address(lock: int, address: Address) -> None:
    """Publish the address of the broker to other processes; `lock` is a held lock."""
    os.ftruncate(lock, 0)
    os.pwrite(lock, msgspec.json.encode(address), 0)


def free_bytes(folder: Path, lock: int) -> int:
    """Return the bytes that a user other than root can still write to a folder.

    Raises:
        OSError: the folder is not the one whose lock is held. nats-server makes a folder that was
            moved away again, so the name alone proves nothing.
    """
    if not os.path.samestat(os.stat(_lock_path(folder)), os.fstat(lock)):
        raise FileNotFoundError(f"{folder} is another folder than at the start")
    room = os.statvfs(folder)
    return room.f_bavail * room.f_frsize


def is_alive(pid: int) -> bool:
    """Tell whether a process of this system exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _lock_path(folder: Path) -> Path:
    return folder / "broker.lock"


def _open_lock(folder: Path) -> int:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return os.open(_lock_path(folder), os.O_CREAT | os.O_RDWR, 0o600)
    except OSError as error:
        raise Misconfigured(f"the data folder cannot be used: {error}") from error


async def _acquire(descriptor: int, folder: Path) -> None:
    """Take the lock; wait `ORPHAN_SECONDS` for the server of a killed hub to free it."""
    give_up = asyncio.get_running_loop().time() + ORPHAN_SECONDS
    while not _locked(descriptor, fcntl.LOCK_EX):
        holder = _read_address(folder)
        alive = holder is not None and is_alive(holder.hub)
        if alive or asyncio.get_running_loop().time() > give_up:
            by = f" by process {holder.hub}" if holder is not None else ""
            raise Misconfigured(f"the data folder {folder} is in use{by}")
        await asyncio.sleep(LOCK_POLL_SECONDS)
    write_address(descriptor, Address(hub=os.getpid()))


def _locked(descriptor: int, how: int) -> bool:
    """Take the lock if it is free; return whether it was."""
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read_address(folder: Path) -> Address | None:
    try:
        return msgspec.json.decode(_lock_path(folder).read_bytes(), type=Address)
    except (msgspec.DecodeError, UnicodeDecodeError, FileNotFoundError):
        return None
