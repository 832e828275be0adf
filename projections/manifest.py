"""Manifest: what a folder of exported events holds, and up to which position of which log.

It is replaced as a whole after each step, so a kill leaves the last one: what it names is there,
and what it does not name is no part of the export.
"""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import msgspec

from eventhub.errors import Misconfigured, Rejected
from eventhub.event import Position
from projections.files import remove_partial, written

NAME = "manifest.json"
_PART = re.compile(r"day=[-0-9]+/[0-9]+-[0-9]+\.[a-z]+")


def part_name(day: str, first: int, last: int, suffix: str) -> str:
    """Return the name of the events of a day in a stretch of the log, relative to the manifest.

    The names of a folder sort in the order of the log, and engines read `day` as a column.
    """
    return f"day={day}/{first:012}-{last:012}{suffix}"


What = Literal["rows", "events"]


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """What is exported, and how: the same for all runs into one folder."""

    table: str
    what: What
    format: str
    where: str = ""
    """Conditions, as in a URL."""
    since: str | None = None
    """An instant in UTC: nothing older is exported; by `_time`, as the next."""
    until: str | None = None
    """Nothing of this instant or newer is exported."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One file."""

    file: str
    """Relative to the manifest."""
    count: int
    """Rows or events."""
    bytes: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """An export, and how far it is."""

    version: int = 1
    scope: Scope
    epoch: str
    sequence: int = 0
    """Of the last event that it has seen."""
    complete: bool = False
    """False while it is being written, and after a kill."""
    columns: dict[str, str] = {}
    """Types, of the newest files: a column may have been added since the older ones."""
    parts: tuple[Part, ...] = ()

    @property
    def position(self) -> str:
        """Where it is in the log, as clients know positions; empty before the first event."""
        return str(Position(self.epoch, self.sequence))

    @property
    def count(self) -> int:
        """Rows or events in all parts."""
        return sum(part.count for part in self.parts)


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Keep other exports out of a folder; make it if it is not there.

    Raises:
        Misconfigured: it cannot be used, or another export is writing there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise Misconfigured(f"{folder} cannot be exported to: {error}") from error
    try:
        _lock(folder, descriptor)
        yield
    finally:
        os.close(descriptor)


def _lock(folder: Path, descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Misconfigured(f"{folder}: another export is writing there: let it finish") from None


def take_up(folder: Path, scope: Scope, epoch: str, last: int, *, again: bool) -> Manifest:
    """Return where to go on, after removing what a killed run has left; a new one if there is none.

    Args:
        folder: claimed.
        scope: what is wanted.
        epoch: of the log.
        last: sequence of its last event.
        again: whether to go on after an export that is complete.

    Raises:
        Rejected: `bad_request`: the folder holds something else, or is complete.
    """
    found = load(folder)
    if found is None:
        if any(folder.iterdir()):
            remove_partial(folder)  # killed before it had a manifest
        if any(folder.iterdir()):
            raise Rejected(
                "bad_request", f"{folder} has other files and no {NAME}: export to a new folder"
            )
        return Manifest(scope=scope, epoch=epoch)
    if found.scope != scope:
        raise Rejected("bad_request", f"{folder} holds another export: {_difference(found, scope)}")
    if found.epoch != epoch or found.sequence > last:
        raise Rejected(
            "bad_request",
            f"{folder} was exported at {found.position}, which this log is not at or beyond: it was"
            " created again since, or put back from an older copy; export to a new folder",
        )
    if found.complete and not again:
        raise Rejected(
            "bad_request",
            f"{folder} holds this export up to {found.position}: --continue adds what is new",
        )
    _remove_unlisted(folder, found)
    return found


def load(folder: Path) -> Manifest | None:
    """Return the manifest of a folder, or None if it has none.

    Raises:
        Rejected: `bad_request`: it cannot be read.
    """
    path = folder / NAME
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Rejected("bad_request", f"{path} cannot be read: {error}") from error


def save(folder: Path, manifest: Manifest) -> None:
    """Replace the manifest of a folder; errors as `written`."""
    with written(folder / NAME) as path:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")


def _difference(found: Manifest, wanted: Scope) -> str:
    pairs: list[tuple[str, Any, Any]] = [
        (name, getattr(found.scope, name), getattr(wanted, name))
        for name in wanted.__struct_fields__
    ]
    return ", ".join(f"{name} {old!r}, not {new!r}" for name, old, new in pairs if old != new)


def _remove_unlisted(folder: Path, manifest: Manifest) -> None:
    """Remove the files of a step that was not finished; what others put there is theirs."""
    remove_partial(folder)
    listed = {part.file for part in manifest.parts}
    for path in [*folder.glob("day=*/*")]:
        name = path.relative_to(folder).as_posix()
        if _PART.fullmatch(name) and name not in listed:
            path.unlink()
