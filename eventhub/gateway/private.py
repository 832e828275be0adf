"""Private files: what is never served, whatever folder it is in.

Some files are recognized by what they are: the hub's own files, the code that it runs, and copies
of a data folder, also through symbolic and hard links. Others are recognized by name: names that by
convention mean code, settings, data or keys, and copies that editors, people and databases make.
"""

import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from eventhub.config import Config, MessageEndpoint
from eventhub.config.hub_files import HubFiles

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
    # copies and unfinished files
    *("bak", "back", "backup", "bkp", "old", "orig", "save", "saved", "rej", "tmp", "temp"),
    *("swp", "swo", "swn", "swx", "rpmsave", "rpmnew", "rpmorig", "lock", "pid", "ports"),
)
_KIND: Final = re.compile(rf"\.(?:{'|'.join(_KINDS)})(?![a-z])")
"""Also in the middle of a name: `eventhub.yaml.2026`, `hooks.py_old`, `jwt.secret (copy)`."""
_PAGES: Final = re.compile(
    r"\.(?:html?|m?js|css|json|map|wasm|svg|png|jpe?g|gif|webp|avif|ico|woff2?)"
)
"""In the middle of such a name, a private ending is only a word: `pouch.db.js`."""
_NAMES: Final = re.compile(
    r"(?:id_(?:rsa|dsa|ecdsa|ed25519)(?:_sk)?|authorized_keys|known_hosts|passwd|htpasswd|shadow"
    r"|(?:credentials?|secrets?|passwords?)(?:\.(?:json|txt|csv|xml))?|core(?:\.\d+)?|nohup\.out)"
    r"|[.~#].*|.*[~#]|.*[-.](?:wal|shm|journal)|.*\.(?:dpkg|ucf)-[a-z]+"
)
_DATA: Final = ("broker.lock", "session.key", "jetstream/jetstream", "$G/streams")
"""Contents of a data folder, even if it is a copy or belongs to another hub."""


def has_private_name(name: str) -> bool:
    """Return whether a file or folder with this name is private."""
    name = name.lower().strip()
    if _NAMES.fullmatch(name):
        return True
    found = _KIND.search(name)
    if found is None:
        return False
    kind_is_last = found.end() == len(name)
    return kind_is_last or not _PAGES.fullmatch(os.path.splitext(name)[1])


class PrivateFiles:
    """The files on this machine that one hub does not serve."""

    def __init__(self, config: Config) -> None:
        self._data = config.data.resolve()
        self._hub = HubFiles.of(config, *_alert_texts(config))
        self._at_start = set(_versions([*self._hub.files, *_modules()]))

    def holds(self, path: Path, root: Path) -> bool:
        """Return whether a file is private.

        Args:
            path: a file that exists, without links in its path.
            root: a folder above it; only the names below it count.
        """
        inside = path.relative_to(root).parts
        if any(part.startswith(".") for part in inside) or has_private_name(path.name):
            return True
        found = path.stat()
        if (found.st_dev, found.st_ino, found.st_mtime_ns) in self._at_start:
            return True
        folders = [parent for parent in path.parents if parent.is_relative_to(root)]
        return self._hub.holds(path) or any(map(self._is_data_folder, folders))

    def _is_data_folder(self, folder: Path) -> bool:
        if any((folder / name).exists() for name in _DATA):
            return True
        with suppress(OSError):
            return folder.samefile(self._data)
        return False


def _alert_texts(config: Config) -> Iterator[Path]:
    folder = config.path.parent
    for endpoint in config.of_kind(MessageEndpoint):
        if (alert := endpoint.alert) is not None:
            names = (alert.bodyfile, alert.htmlfile, alert.markdownfile)
            yield from (folder / name for name in names if name)


def _modules() -> Iterator[Path]:
    """Yield the files of imported code, above all of hooks."""
    for module in tuple(sys.modules.values()):
        for name in (getattr(module, "__file__", None), getattr(module, "__cached__", None)):
            if isinstance(name, str):
                yield Path(name)


def _versions(paths: Iterable[Path]) -> Iterator[tuple[int, int, int]]:
    """Yield device, inode and time: the inode of a deleted file is soon reused."""
    for path in paths:
        with suppress(OSError, ValueError):
            found = path.stat()
            yield found.st_dev, found.st_ino, found.st_mtime_ns
