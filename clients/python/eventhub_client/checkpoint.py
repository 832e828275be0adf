"""Checkpoint: a file with the position up to which a program has worked."""

import json
import os
from pathlib import Path
from typing import Any


class Checkpoint:
    """One file of one reader; it is replaced as a whole, so that a crash leaves the old or the new.

    It names the path that was read: the positions of one table mean nothing in another.
    """

    def __init__(self, file: str | os.PathLike[str], path: str) -> None:
        """Read the file, if it is there.

        Args:
            file: one for each reader; two programs must not share one.
            path: that is read, such as `messages`.

        Raises:
            ValueError: the file is of another path, or is no checkpoint.
            OSError: it cannot be read.
        """
        self._file = Path(file)
        self._path = path.partition("?")[0].strip("/")
        self.position = ""
        """The last one; empty if there is no file yet."""
        if self._file.exists():
            self.position = self._read()

    def save(self, position: str) -> None:
        """Store a position durably. It blocks for the time of a sync of the disk.

        Raises:
            OSError: it cannot be written.
        """
        if position == self.position:
            return
        newer = self._file.with_name(f"{self._file.name}.new")
        with newer.open("w", encoding="utf-8") as written:
            json.dump({"path": self._path, "position": position}, written)
            written.flush()
            os.fsync(written.fileno())
        newer.replace(self._file)
        self._sync_folder()
        self.position = position

    def _read(self) -> str:
        try:
            kept: Any = json.loads(self._file.read_text(encoding="utf-8"))
            path, position = str(kept["path"]), str(kept["position"])
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(
                f"{self._file} is not a checkpoint: delete it to start again"
            ) from error
        if path != self._path:
            text = f"{self._file} is the checkpoint of {path!r}, not of {self._path!r}"
            raise ValueError(f"{text}: name another file")
        return position

    def _sync_folder(self) -> None:
        if os.name != "posix":  # elsewhere a folder cannot be opened
            return
        folder = os.open(self._file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
