"""Staging: makes nats-server stage atomic batches in memory, and not on the disk.

A batch is staged until it is committed. Only then are its messages written to the stream, fsynced
and acknowledged. nats-server 2.15 stages in memory for streams with several replicas. For one
replica it makes a folder and files for each batch, syncs and removes them: that takes 2.4 ms for a
batch of any size, of 3.3 ms for 64 messages. So the folder `batches` of each stream is a link to a
tmpfs: then 64 messages take 1.6 ms, and 8 take 0.8 instead of 2.0 ms (ADR-26).

A server that is killed finds the batch that it was writing there, and completes it. After a power
cut that batch ends early: it was not acknowledged, and each of its events is complete in itself. If
the folder is gone, batches are slower, and nothing else.
"""

import os
import re
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

import structlog

from eventhub.broker.folder import is_alive

MEMORY = Path("/dev/shm")  # noqa: S108 - folders in it have random names, and mode 0700
_NAME = re.compile(r"eventhub-(\d+)-.*")

logger = structlog.get_logger(__name__)


class Staging:
    """The folder in memory for one server, as long as this process runs.

    Args:
        store: the server's `store_dir`.
    """

    def __init__(self, store: Path) -> None:
        self._store = store
        self._memory = _make_folder()
        self._linked: object = None
        """What `_looks` returned before all streams were linked; None if some may not be."""

    def link_new(self) -> None:
        """Link the folders of streams that are new; to be repeated now and then.

        Some systems remove the folder in memory when its user logs out (`RemoveIPC` of
        systemd-logind): then all are linked again.
        """
        if self._linked is None or self._linked != self._looks():
            self.link()

    def link(self) -> None:
        """Link the folders of all streams: the server removes the links when it starts."""
        if self._memory is None:
            return
        if not _is_own_folder(self._memory):
            self._memory = _make_folder()
            if self._memory is None:
                return
        looks, left = self._looks(), 0
        for batches in self._folders():
            try:
                self._link(batches, self._memory / batches.parent.name)
            except OSError:  # a batch is under way on the disk, and stays there
                left += 1
        self._linked = None if left else looks
        _remove_leftovers()

    def close(self) -> None:
        """Remove the folder and the links after the server has stopped: no backup needs them."""
        if self._memory is None:
            return
        shutil.rmtree(self._memory, ignore_errors=True)
        for batches in self._folders():
            if batches.is_symlink():
                with suppress(OSError):
                    batches.unlink()

    def _looks(self) -> object:
        """Return what changes with every stream that is made, and with the folder in memory."""
        is_there = self._memory is not None and _is_own_folder(self._memory)
        streams = sorted(self._store.glob("jetstream/*/streams"))
        return is_there, [(each, each.stat().st_mtime_ns) for each in streams]

    def _folders(self) -> list[Path]:
        return [stream / "batches" for stream in self._store.glob("jetstream/*/streams/*")]

    def _link(self, batches: Path, target: Path) -> None:
        target.mkdir(exist_ok=True)
        if batches.is_symlink():
            if batches.readlink() == target:
                return
            batches.unlink()
        elif batches.exists():
            batches.rmdir()
        batches.symlink_to(target)


def _make_folder() -> Path | None:
    """Make a folder in memory; return None if that fails: then batches stay on the disk."""
    try:
        return Path(tempfile.mkdtemp(prefix=f"eventhub-{os.getpid()}-", dir=MEMORY))
    except OSError as error:
        logger.debug("staging_on_disk", error=str(error))
        return None


def _is_own_folder(path: Path) -> bool:
    try:
        found = path.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()


def _remove_leftovers() -> None:
    """Remove the folders of this user's processes that have ended."""
    for folder in MEMORY.glob("eventhub-*"):
        with suppress(OSError):
            match = _NAME.fullmatch(folder.name)
            if match and _is_own_folder(folder) and not is_alive(int(match[1])):
                shutil.rmtree(folder)
