"""Files: the static pages of a `FileHandler`, and nothing that is not meant to be seen."""

import asyncio
from pathlib import Path

from aiohttp import web

from eventhub.config import Config, FileEndpoint

PRIVATE_SUFFIXES = frozenset((".py", ".pyc", ".yaml", ".yml", ".duckdb", ".wal", ".db"))
"""Never served: hooks, configurations and databases, which often stand beside the pages."""


class Files:
    """One `FileHandler`: a file, or a folder with a default file in each of its folders."""

    def __init__(self, endpoint: FileEndpoint, config: Config) -> None:
        self._root = endpoint.path.resolve()
        self._default = endpoint.default_filename
        self._private = [config.path.resolve(), config.data.resolve()]
        if config.projection.path is not None:
            self._private += _database(Path(config.projection.path).resolve())

    async def get(self, request: web.Request) -> web.StreamResponse:
        """Answer with a file, or 404: also for hidden files, code, configurations and all data.

        Browsers ask again each time (it costs a 304), so that no page mixes old and new files.
        """
        path = await asyncio.to_thread(self._find, request.match_info.get("path", ""))
        if path is None:
            raise web.HTTPNotFound
        headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"}
        return web.FileResponse(path, headers=headers)

    def _find(self, below: str) -> Path | None:
        try:
            path = (self._root / below).resolve() if below else self._root
            if path.is_dir():
                path = (path / self._default).resolve()
            is_file = path.is_file()
        except (OSError, ValueError, RuntimeError):  # a name too long, with a NUL, a link's loop
            return None
        return path if is_file and self._is_public(path) else None

    def _is_public(self, path: Path) -> bool:
        if path != self._root and not path.is_relative_to(self._root):
            return False
        inside = path.relative_to(self._root).parts
        if any(part.startswith(".") for part in inside) or path.suffix in PRIVATE_SUFFIXES:
            return False
        return not any(path.is_relative_to(private) for private in self._private)


def _database(file: Path) -> list[Path]:
    """Return a DuckDB file and what DuckDB keeps beside it: all rows, whoever may read them."""
    return [file, *(file.with_name(file.name + suffix) for suffix in (".wal", ".tmp"))]
