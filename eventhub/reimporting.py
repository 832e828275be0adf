"""Reimporting: imports the Python modules next to a configuration again once a file has changed."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Final

_OURS: Final = ("eventhub", "projections")
"""Not to be imported twice, even where the configuration is next to them."""


class Modules:
    """The modules of one folder that hooks, conditions and templates use."""

    def __init__(self, folder: Path) -> None:
        """Remember the files of the modules that are loaded now."""
        self._folder = folder.resolve()
        self._digests = self._read()
        self.generation = 0
        """Grows each time that they are imported again."""

    @contextmanager
    def again(self) -> Iterator[None]:
        """Let the block import them again if a file has changed; if it fails, the old ones stay."""
        is_changed = any(digest != self._digest(name) for name, digest in self._digests.items())
        kept = self._loaded()
        if is_changed:
            self._forget()
            self.generation += 1
        try:
            yield
        except BaseException:
            if is_changed:
                self._forget()
                sys.modules.update(kept)
                self.generation -= 1
            raise
        self._digests = self._read()

    def _forget(self) -> None:
        for name in self._loaded():
            del sys.modules[name]
        importlib.invalidate_caches()

    def _loaded(self) -> dict[str, ModuleType]:
        modules = list(sys.modules.items())
        roots = {name for name, each in modules if "." not in name and self._is_here(name, each)}
        return {name: each for name, each in modules if name.partition(".")[0] in roots}

    def _is_here(self, name: str, module: ModuleType) -> bool:
        """Tell whether a module, or a package, is directly in the folder."""
        file = getattr(module, "__file__", None)
        if file is None or name in (*_OURS, "__main__"):
            return False
        path = Path(file).resolve()
        return self._folder in (
            path.parent,
            path.parent.parent if path.stem == "__init__" else None,
        )

    def _read(self) -> dict[str, bytes]:
        return {name: self._digest(name) for name in self._loaded()}

    @staticmethod
    def _digest(name: str) -> bytes:
        file = getattr(sys.modules.get(name), "__file__", None)
        try:
            return b"" if file is None else sha256(Path(file).read_bytes()).digest()
        except OSError:
            return b""
