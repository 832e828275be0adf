"""Kept files: answers that are kept a while, so that a client can read them piece by piece.

A file is kept for a minute after it was last read. A client that opens too many files loses its own
oldest ones, never those of other clients.
"""

import asyncio
from collections.abc import AsyncIterator, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from math import inf
from pathlib import Path
from typing import BinaryIO, Final

from eventhub.errors import Rejected, Unavailable
from eventhub.gateway.kept_file import KeptFile, State

KEPT_SECONDS: Final = 60.0
"""After its last reader has left, or after it was made."""
MAKE_SECONDS: Final = 120.0
"""By then a file is complete, or its client gets an error that asks for a narrower query."""
EACH_FILES, ALL_FILES = 20, 200
EACH_BYTES, ALL_BYTES = 1 << 30, 4 << 30
"""What one client, and all clients together, may have in files."""


class KeptFiles:
    """The files of one gateway. Keys say what is in a file; equal ones share it.

    Args:
        folder: on whose disk they are; only this user has access to it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: list[KeptFile] = []
        """All that take room, the oldest first, also while one is made or read to the end."""
        self._turns: dict[Hashable, tuple[asyncio.Lock, set[object]]] = {}
        self._numbers = count(1)

    def tag_prefix(self, key: Hashable, position: str) -> str:
        """Return what the entity tags of all files of a key and position begin with."""
        return f"{position.replace(' ', '')}-{hash(key) & (1 << 64) - 1:016x}-"

    def tagged(self, key: Hashable, tags: Iterable[str]) -> KeptFile | None:
        """Return the file of a key that has one of these entity tags."""
        wanted = set(tags)
        return next((file for file in self._of(key) if file.tag in wanted), None)

    def opened_by(self, client: str, key: Hashable) -> KeptFile | None:
        """Return the file of a key that a client opened last."""
        return next((file for file in self._of(key) if client in file.openers), None)

    def at(self, key: Hashable, sequences: Sequence[int], max_age: float = inf) -> KeptFile | None:
        """Return the newest file of a key, if it covers some sequences and is not too old."""
        file = next(self._of(key), None)
        if file is None or not file.state.covers(sequences):
            return None
        return file if asyncio.get_running_loop().time() - file.made_at <= max_age else None

    def _of(self, key: Hashable) -> Iterator[KeptFile]:
        """Iterate over the complete files of a key, the newest first."""
        return (f for f in reversed(self._files) if f.is_kept and f.tag and f.key == key)

    def open(self, file: KeptFile, client: str) -> None:
        """Note that a client reads this file of its key from now on."""
        for other in self._of(file.key):
            other.openers.discard(client)
        file.openers.add(client)

    @asynccontextmanager
    async def turn(self, key: Hashable) -> AsyncIterator[None]:
        """Let one client at a time make a file of a key; the others find it there.

        Raises:
            Unavailable: others take too long.
        """
        lock, waiting = self._turns.setdefault(key, (asyncio.Lock(), set()))
        me = object()
        waiting.add(me)
        try:
            try:
                async with asyncio.timeout(2 * MAKE_SECONDS):
                    await lock.acquire()
            except TimeoutError:
                raise Unavailable("other clients wait for this file: try again later") from None
            try:
                yield
            finally:
                lock.release()
        finally:
            waiting.discard(me)
            if not waiting:
                del self._turns[key]

    async def make(
        self, key: Hashable, client: str, state: State, parts: AsyncIterator[bytes]
    ) -> KeptFile:
        """Return a new file with these bytes.

        Raises:
            Rejected: `too_costly`: it would be too large.
            Unavailable: it took too long, the disk is full or fails; `too_many_reads`: other files
                take all the room.
        """
        file = KeptFile(key, client, self._folder)
        self._files.append(file)
        try:
            async with asyncio.timeout(MAKE_SECONDS):
                async for part in parts:
                    self._make_room(file, len(part))
                    await asyncio.to_thread(file.append, part)
        except BaseException as error:
            self._drop(file)
            if isinstance(error, TimeoutError):
                text = f"the file was not complete in {MAKE_SECONDS:.0f} s: narrow the query"
                raise Unavailable(text) from None
            if isinstance(error, OSError) and not isinstance(error, ConnectionError):
                raise Unavailable(f"the file cannot be written: {error}") from error
            raise
        self._complete(file, state)
        return file

    def keep(
        self,
        key: Hashable,
        client: str,
        state: State,
        file: BinaryIO,
        size: int,
        headers: Mapping[str, str],
    ) -> KeptFile:
        """Keep a complete file that has no name any more; errors as `make`, after closing it."""
        kept = KeptFile(key, client, self._folder)
        kept.headers.update(headers)
        self._files.append(kept)
        try:
            self._make_room(kept, size)
        except BaseException:
            file.close()
            self._drop(kept)
            raise
        kept.adopt(file, size)
        self._complete(kept, state)
        return kept

    def _complete(self, file: KeptFile, state: State) -> None:
        file.state = state
        file.tag = f"{self.tag_prefix(file.key, state.position)}{next(self._numbers):x}"
        file.made_at = asyncio.get_running_loop().time()
        self._wait(file)

    @contextmanager
    def reading(self, file: KeptFile) -> Iterator[None]:
        """Keep a file at least as long as the block takes."""
        file.readers += 1
        if file.timer is not None:
            file.timer.cancel()
        try:
            yield
        finally:
            file.readers -= 1
            if not file.readers:
                if file.is_kept:
                    self._wait(file)
                else:
                    self._remove(file)

    def close(self) -> None:
        """Remove all files. Blocking: at the end."""
        for file in self._files:
            if file.timer is not None:
                file.timer.cancel()
            file.close()
        self._files.clear()

    def _wait(self, file: KeptFile) -> None:
        file.timer = asyncio.get_running_loop().call_later(KEPT_SECONDS, self._drop, file)

    def _make_room(self, file: KeptFile, size: int) -> None:
        """Drop the client's own oldest files as long as there is no room for more bytes of one."""
        if file.size + size > EACH_BYTES:
            raise Rejected(
                "too_costly",
                f"the file would have more than {EACH_BYTES >> 30} GiB: narrow the query, or read"
                " it as a stream, with _format",
            )
        while self._is_full(size, file.client):
            mine = (f for f in self._files if f.client == file.client and f is not file)
            idle = next((f for f in mine if f.tag and not f.readers), None)
            if idle is None:
                raise Unavailable(
                    "files that clients have opened take all the room: try again in a minute",
                    code="too_many_reads",
                )
            self._drop(idle)

    def _is_full(self, size: int, client: str) -> bool:
        mine = [file.size for file in self._files if file.client == client]
        return (
            len(mine) > EACH_FILES
            or sum(mine) + size > EACH_BYTES
            or len(self._files) > ALL_FILES
            or sum(file.size for file in self._files) + size > ALL_BYTES
        )

    def _drop(self, file: KeptFile) -> None:
        """Let no one open a file any more; it is gone when its last reader leaves."""
        file.is_kept = False
        if file.timer is not None:
            file.timer.cancel()
        if not file.readers:
            self._remove(file)

    def _remove(self, file: KeptFile) -> None:
        self._files.remove(file)
        # Not awaited, because removing a large file takes a while.
        _ = asyncio.get_running_loop().run_in_executor(None, file.close)
