"""Hub files: the files that the configuration was read from or names, and the data folder.

They never leave the hub, neither through a `FileHandler` nor with a mail. A file is recognized by
device and inode, so links of both kinds to it are recognized too.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from eventhub.config.settings import Config


@dataclass(frozen=True, slots=True)
class HubFiles:
    """The files of one hub."""

    data: Path | None = None
    """The data folder, without links in its path."""
    files: tuple[Path, ...] = ()

    @classmethod
    def of(cls, config: Config, *others: Path) -> Self:
        """Return the data folder of a configuration, and the files that it was read from or names.

        Args:
            config: the configuration.
            others: more files to protect.
        """
        named = [*_files_of(config), *others]
        # A link may point elsewhere later, so its present target is protected too.
        return cls(config.data.resolve(), (*named, *(path.resolve() for path in named)))

    def holds(self, path: Path) -> bool:
        """Tell whether a path leads to one of these files, whatever its name.

        Args:
            path: the path of a file, without links in it.
        """
        if self.data is not None and path.is_relative_to(self.data):
            return True
        with suppress(OSError):
            found = path.stat()
            identity = (found.st_dev, found.st_ino)
            if identity in _identities(self.files):
                return True
            # The data folder has thousands of files: look only for a file with a second name.
            if self.data is not None and found.st_nlink > 1:
                return identity in _identities(_files_below(self.data))
        return False


def _files_of(config: Config) -> Iterator[Path]:
    """Yield the files that the configuration was read from or names, and those of the database."""
    yield config.path
    yield from config.sources
    if config.auth.jwt is not None and (keys := config.auth.jwt.jwks) and "://" not in keys:
        yield Path(keys)
    if config.server.tls is not None:
        yield from (Path(config.server.tls.cert_file), Path(config.server.tls.key_file))
    broker, snapshots = config.broker, config.projection.snapshots
    named = (broker.ca_file, broker.cert_file, broker.key_file, snapshots.ca_file)
    yield from map(Path, filter(None, named))
    if config.projection.path is not None:
        database = Path(config.projection.path)
        yield from (database.with_name(database.name + end) for end in ("", ".wal", ".tmp"))


def _identities(paths: Iterable[Path]) -> Iterator[tuple[int, int]]:
    """Yield device and inode of each file that exists."""
    for path in paths:
        with suppress(OSError, ValueError):
            found = path.stat()
            yield found.st_dev, found.st_ino


def _files_below(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):
        yield from (Path(parent, name) for name in names)
