"""Manifest: what a stored snapshot consists of, and how far the tables in it are.

A snapshot named `20260101T120000123456Z-3fa9c1` is the object `….json`, its manifest, which is
stored last, and the parts that it lists, which may be those of an earlier snapshot.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from secrets import token_hex
from typing import Any, Final

import msgspec

from eventhub.errors import Damaged
from projections.progress import Progress

FORMAT: Final = 1
END: Final = ".json"
"""The end of the name of a manifest."""
PART_BYTES: Final = 4 << 20
"""Of a part; what has changed in a file since the last snapshot is found by parts."""
_TIME: Final = "%Y%m%dT%H%M%S%fZ"


class Held(msgspec.Struct, frozen=True):
    """How far one table is, and the columns that it was made for."""

    epoch: str
    head: int
    watermark: int
    columns: dict[str, list[Any]]

    @property
    def progress(self) -> Progress:
        """The progress that its database must have."""
        return Progress(self.epoch, self.head, self.watermark)


class Part(msgspec.Struct, frozen=True):
    """An object with the next bytes of the database."""

    name: str
    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A stored snapshot."""

    name: str
    format: int = FORMAT
    version: str
    """Of the program that stored it."""
    tables: dict[str, Held]
    parts: list[Part]

    @property
    def size(self) -> int:
        """Bytes of the database."""
        return sum(part.size for part in self.parts)

    def is_of(self, progress: Mapping[str, Progress]) -> bool:
        """Tell whether it is of the same hub: one of its tables is of the same log as there."""
        found = ((held.epoch, progress.get(name)) for name, held in self.tables.items())
        return any(at is not None and epoch == at.epoch for epoch, at in found)

    def grown(self, progress: Mapping[str, Progress]) -> int:
        """Return how many events tables have that are not in it."""
        return sum(
            now.head - (held.head if held is not None and held.epoch == now.epoch else 0)
            for now, held in ((now, self.tables.get(name)) for name, now in progress.items())
        )


def read_manifest(name: str, data: bytes) -> Manifest:
    """Return the manifest of a snapshot.

    Raises:
        Damaged: it is not one, or one of another version.
    """
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Damaged(f"its manifest cannot be read: {error}") from None
    if manifest.format != FORMAT:
        raise Damaged(f"it was stored by version {manifest.version}, in another format")
    if manifest.name != name:
        raise Damaged(f"its manifest is that of {manifest.name}")
    return manifest


def new_name() -> str:
    """Return the name of a snapshot that is made now; later ones are greater."""
    return f"{datetime.now(UTC):{_TIME}}-{token_hex(3)}"


def age_seconds(name: str) -> float:
    """Return how long ago the snapshot began to which an object belongs; 0 if that is unknown."""
    try:
        made = datetime.strptime(name.partition("-")[0], _TIME).replace(tzinfo=UTC)
    except ValueError:
        return 0.0
    return (datetime.now(UTC) - made).total_seconds()
