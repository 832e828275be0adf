"""Data folder: only its owner has access, because it holds every message and all keys."""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog

from eventhub.errors import Misconfigured

UMASK: Final = 0o077
"""The umask of a process that writes to the folder, and of the processes that it starts."""
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_ROOT: Final = 0

logger = structlog.get_logger(__name__)


def keep_private(folder: Path, *files: Path) -> None:
    """Make a folder that only this user can enter, or remove other users' access to it.

    Args:
        folder: the data folder; all files and folders in it are treated alike.
        files: other private files, which may not exist; their folders are not changed.

    Raises:
        Misconfigured: the folder belongs to another user, or cannot be made.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _tighten_folder(folder)
    except OSError as error:
        raise Misconfigured(f"the data folder cannot be used: {error}") from error
    changed = sum(map(_tighten, [*_below(folder), *files]))
    if changed:
        logger.warning("data_tightened", folder=str(folder), files=changed)


def _tighten_folder(folder: Path) -> None:
    found = folder.stat()
    mode = stat.S_IMODE(found.st_mode)
    if found.st_uid == os.geteuid():
        if mode & _OTHERS:
            folder.chmod(mode & ~_OTHERS)
            logger.warning("data_folder_tightened", folder=str(folder), mode=f"{mode:04o}")
        return
    # A volume that an orchestrator mounts belongs to root, and is open to one of our groups.
    if found.st_uid != _ROOT or mode & stat.S_IRWXO:
        raise Misconfigured(
            f"the data folder {folder} belongs to user {found.st_uid} (mode {mode:04o}), who can"
            f" read all messages and keys in it: give it to user {os.geteuid()}, or name a folder"
            " below it"
        )
    logger.warning("data_folder_of_root", folder=str(folder), mode=f"{mode:04o}")


def _below(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        yield from (Path(parent, name) for name in (*folders, *names))


def _tighten(path: Path) -> bool:
    """Remove other users' access to a file, and return whether they had any."""
    with suppress(OSError):  # deleted, or owned by another user in a folder that only we can enter
        found = path.lstat()
        if not stat.S_ISLNK(found.st_mode) and found.st_mode & _OTHERS:
            path.chmod(stat.S_IMODE(found.st_mode) & ~_OTHERS)
            return True
    return False
