"""Folder: objects as files of a folder, which several machines may share."""

import asyncio
from pathlib import Path

from eventhub.errors import Unavailable
from eventhub.objects import Listed
from projections.files import PARTIAL, written


class FolderObjects:
    """Objects in a folder, which is made with the first one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def listed(self) -> Listed:
        """Return the names of all objects."""
        try:
            names = await asyncio.to_thread(lambda: [each.name for each in self._folder.iterdir()])
        except FileNotFoundError:
            return Listed([], [])
        except OSError as error:
            raise Unavailable(f"{self._folder} cannot be read: {error}") from error
        unfinished = [name for name in names if name.startswith(".") and name.endswith(PARTIAL)]
        return Listed(
            sorted(name for name in names if not name.startswith(".")),
            sorted(name[1:].removesuffix(PARTIAL) for name in unfinished),
        )

    async def put(self, name: str, data: bytes) -> None:
        """Store an object durably."""
        await asyncio.to_thread(self._write, name, data)

    async def get(self, name: str) -> bytes | None:
        """Return an object, or None."""
        try:
            return await asyncio.to_thread((self._folder / name).read_bytes)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Unavailable(f"{self._folder / name} cannot be read: {error}") from error

    async def delete(self, name: str) -> None:
        """Delete an object."""
        await asyncio.to_thread(self._unlink, name)

    def _write(self, name: str, data: bytes) -> None:
        with written(self._folder / name) as partial:
            partial.write_bytes(data)

    def _unlink(self, name: str) -> None:
        try:
            for each in (name, f".{name}{PARTIAL}"):
                (self._folder / each).unlink(missing_ok=True)
        except OSError as error:
            raise Unavailable(f"{self._folder / name} cannot be deleted: {error}") from error
