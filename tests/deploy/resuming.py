"""Resuming: a writer and three kinds of readers that go on after each interruption.

Each is what docs/protocol.md asks of a client: a message has a `_key` and is sent again until there
is a receipt; a reader connects again with the position of the last event that it has.
"""

import asyncio
from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import aiohttp
import msgspec

from tests.e2e.client import DEADLINE_SECONDS, V1, Frame

PATH = "/messages"
PAUSE_SECONDS = 0.02
"""Before something is tried again, and between two messages of a writer."""
_LOST = (aiohttp.ClientError, ConnectionError)

Seen = tuple[int, str]
"""An event: its sequence, and the body of its message."""


class Interrupted(Exception):  # noqa: N818 - what happened, not a fault
    """The connection or the answer has ended."""


@dataclass
class Writer:
    """Writes messages one after the other."""

    name: str
    session: aiohttp.ClientSession
    stored: list[Seen] = field(default_factory=list)
    """What was acknowledged."""
    refusals: list[str] = field(default_factory=list)
    """What came instead of receipts."""

    async def run(self, is_over: asyncio.Event) -> None:
        """Write until that is over, and everything has its receipt."""
        while not is_over.is_set():
            body = f"{self.name}-{len(self.stored)}"
            while not await self._write(body):
                await asyncio.sleep(PAUSE_SECONDS)
            await asyncio.sleep(PAUSE_SECONDS)

    async def _write(self, body: str) -> bool:
        """Send a message; return whether there was a receipt."""
        message = {"topic": "Help", "body": body, "_key": body}
        try:
            async with self.session.post(PATH, json=message) as answer:
                text = await answer.read()
        except _LOST as error:
            self.refusals.append(type(error).__name__)
            return False
        if answer.status >= 500:
            self.refusals.append(str(answer.status))
            return False
        assert answer.status in (200, 201), text
        self.stored.append((msgspec.json.decode(text)["_seq"], body))
        return True


@dataclass
class Reader(ABC):
    """Follows the table from a position."""

    session: aiohttp.ClientSession
    position: str
    seen: list[Seen] = field(default_factory=list)
    endings: list[object] = field(default_factory=list)
    """How each connection or answer ended that was interrupted."""

    @property
    def reached(self) -> int:
        """The sequence up to which everything was received."""
        return int(self.position.rpartition(".")[2])

    async def run(self) -> None:
        """Read until the task is cancelled."""
        while True:
            try:
                await self.follow()
            except (Interrupted, *_LOST) as error:
                self.endings.append(error.args[0] if error.args else type(error).__name__)
                await asyncio.sleep(PAUSE_SECONDS)

    @abstractmethod
    async def follow(self) -> None:
        """Read over one connection, until it ends; raise what ended it."""

    def take(self, frame: Frame) -> None:
        """Take a frame of v1."""
        if "_resume" in frame:
            assert frame["_resume"]["recovered"], frame
        elif "_method" in frame:
            self.seen.append((frame["_seq"], frame["body"]))
            self.position = f"{self.position.rpartition('.')[0]}.{frame['_seq']}"
        else:
            assert "_ready" in frame or "_tick" in frame, frame


class SocketReader(Reader):
    """Over WebSockets."""

    async def follow(self) -> None:
        """See `Reader`."""
        query = {"_since": self.position}
        async with self.session.ws_connect(PATH, params=query, protocols=(V1,)) as socket:
            while True:
                async with asyncio.timeout(DEADLINE_SECONDS):
                    message = await socket.receive()
                if message.type is not aiohttp.WSMsgType.TEXT:
                    raise Interrupted(socket.close_code)
                self.take(msgspec.json.decode(message.data))


class StreamReader(Reader):
    """Over server-sent events."""

    async def follow(self) -> None:
        """See `Reader`."""
        headers = {"Accept": "text/event-stream", "Last-Event-ID": self.position}
        timeout = aiohttp.ClientTimeout(total=None, sock_read=DEADLINE_SECONDS)
        async with self.session.get(PATH, headers=headers, timeout=timeout) as answer:
            _check(answer)
            while True:
                line = await answer.content.readline()
                if not line.endswith(b"\n"):
                    raise Interrupted("the stream has ended")
                if line.startswith(b"data:"):
                    self.take(msgspec.json.decode(line[5:]))


class PollReader(Reader):
    """By GETs that wait."""

    async def follow(self) -> None:
        """See `Reader`."""
        while True:
            query = {"_since": self.position, "_wait": "10"}
            async with self.session.get(PATH, params=query) as answer:
                _check(answer)
                frames = msgspec.json.decode(await answer.read(), type=list[Frame])
            for frame in frames:
                self.take(frame)
            self.position = answer.headers["EventHub-Position"]


def _check(answer: aiohttp.ClientResponse) -> None:
    if answer.status >= 500:
        raise Interrupted(answer.status)
    assert answer.status == 200, answer.status
