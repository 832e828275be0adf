"""Private: files that are never served, whatever folder they stand in and whatever they are called.

Told by what they are: all that the configuration has read and all that the hub writes, also through
a link of either kind. And by their names: what keeps code, settings, data or keys by custom, and
the copies that editors, people and databases leave beside them.
"""

import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from eventhub.config import Config

_KINDS: Final = (
    # code
    *("py", "pyc", "pyo", "pyi", "pyd", "so", "ipynb"),
    # settings
    *("yaml", "yml", "toml", "ini", "cfg", "conf", "env", "properties"),
    # data
    *("duckdb", "db", "sqlite", "sqlite3", "wal", "shm", "journal", "sql", "dump", "log", "blk"),
    # keys
    *("key", "pem", "p12", "pfx", "jks", "keystore", "kdbx", "ppk", "gpg", "pgp", "nk", "creds"),
    *("credentials", "jwt", "secret", "secrets", "token", "password", "passwd", "htpasswd"),
    # copies, and what is under way
    *("bak", "back", "backup", "bkp", "old", "orig", "save", "saved", "rej", "tmp", "temp"),
    *("swp", "swo", "swn", "swx", "rpmsave", "rpmnew", "rpmorig", "lock", "pid", "ports"),
)
_KIND: Final = re.compile(rf"\.(?:{'|'.join(_KINDS)})(?![a-z])")
"""Also inside a name: `eventhub.yaml.2026`, `hooks.py_old`, `rows.db-wal`, `jwt.secret (copy)`."""
_PAGES: Final = re.compile(
    r"\.(?:html?|m?js|css|json|map|wasm|svg|png|jpe?g|gif|webp|avif|ico|woff2?)"
)
"""A kind inside the name of one of these is a word: `pouch.db.js`."""
_NAMES: Final = re.compile(
    r"(?:id_(?:rsa|dsa|ecdsa|ed25519)(?:_sk)?|authorized_keys|known_hosts|passwd|htpasswd|shadow"
    r"|(?:credentials?|secrets?|passwords?)(?:\.(?:json|txt|csv|xml))?|core(?:\.\d+)?|nohup\.out)"
    r"|[.~#].*|.*[~#]|.*[-.](?:wal|shm|journal)|.*\.(?:dpkg|ucf)-[a-z]+"
)
_DATA: Final = ("broker.lock", "session.key", "jetstream/jetstream", "$G/streams")
"""What a folder of data has in it, be it a copy, or another hub's."""
_Identity = tuple[int, int]
"""Device and inode."""


def has_private_name(name: str) -> bool:
    """Tell whether a file or folder has a name of what is not for visitors."""
    name = name.lower().strip()
    if _NAMES.fullmatch(name):
        return True
    found = _KIND.search(name)
    if found is None:
        return False
    kind_is_last = found.end() == len(name)
    return kind_is_last or not _PAGES.fullmatch(os.path.splitext(name)[1])


class PrivateFiles:
    """The files of one hub that nobody may ask for."""

    def __init__(self, config: Config) -> None:
        self._data = config.data.resolve()
        self._files = [path.resolve() for path in _named(config)]
        self._at_start = set(_versions([*self._files, *_modules()]))

    def holds(self, path: Path, root: Path) -> bool:
        """Tell whether a file is private.

        Args:
            path: a file that exists, without links in its path.
            root: a folder above it; names are looked at below it only.
        """
        inside = path.relative_to(root).parts
        if any(part.startswith(".") for part in inside) or has_private_name(path.name):
            return True
        if path in self._files or path.is_relative_to(self._data):
            return True
        folders = [parent for parent in path.parents if parent.is_relative_to(root)]
        return any(map(self._is_data_folder, folders)) or self._is_one_by_another_name(path)

    def _is_data_folder(self, folder: Path) -> bool:
        return any((folder / name).exists() for name in _DATA) or _is_same(folder, self._data)

    def _is_one_by_another_name(self, path: Path) -> bool:
        found = path.stat()
        identity = (found.st_dev, found.st_ino)
        if (*identity, found.st_mtime_ns) in self._at_start or identity in _identities(self._files):
            return True
        # The data folder has thousands of files: looked through only for one with a second name.
        return found.st_nlink > 1 and identity in _identities(_below(self._data))


def _named(config: Config) -> Iterator[Path]:
    """Yield what the configuration read or names, and the database with what is beside it."""
    yield config.path
    yield from config.sources
    folder = config.path.parent
    for endpoint in config.endpoints:
        if (alert := endpoint.alert) is not None:
            names = (alert.bodyfile, alert.htmlfile, alert.markdownfile)
            yield from (folder / name for name in names if name)
    if config.auth.jwt is not None and (keys := config.auth.jwt.jwks) and "://" not in keys:
        yield Path(keys)
    if config.projection.path is not None:
        database = Path(config.projection.path)
        yield from (database.with_name(database.name + end) for end in ("", ".wal", ".tmp"))


def _modules() -> Iterator[Path]:
    """Yield the code that was imported, hooks above all."""
    for module in tuple(sys.modules.values()):
        for name in (getattr(module, "__file__", None), getattr(module, "__cached__", None)):
            if isinstance(name, str):
                yield Path(name)


def _below(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):
        yield from (Path(parent, name) for name in names)


def _identities(paths: Iterable[Path]) -> set[_Identity]:
    return {version[:2] for version in _versions(paths)}


def _versions(paths: Iterable[Path]) -> Iterator[tuple[int, int, int]]:
    """Yield identity and age: the inode of a file that is gone is soon another's."""
    for path in paths:
        with suppress(OSError, ValueError):
            found = path.stat()
            yield found.st_dev, found.st_ino, found.st_mtime_ns


def _is_same(path: Path, other: Path) -> bool:
    with suppress(OSError):
        return path.samefile(other)
    return False
