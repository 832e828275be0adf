"""Writers: each sends rows over one WebSocket, and repeats what was not acknowledged.

Each message has a `_key`, and is sent again until it is acknowledged, over any error that says
`retry` and any lost connection, at the next URL if there are several.
"""

import asyncio
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic

import aiohttp
import msgspec

from tests.e2e.client import V1, Closed, Frame
from tests.e2e.traffic import random_fields

WINDOW = 5
"""Messages that a writer sends at once, before it waits for all their answers."""
PACE_SECONDS = 0.02
"""Between those: 500 writes a second at the most leave the machine to the hub."""
ANSWER_SECONDS = 30.0
SHARED_SHARE = 0.1
"""Of the messages, if there are rows that several writers change."""
PAUSE_SECONDS = 0.02
"""Before a message that was refused for now is sent again."""


@dataclass
class Sent:
    """A message, and what became of it."""

    message: Frame
    number: int
    """Of the message among those of its writer."""
    tries: int = 1
    sequence: int = 0
    acknowledged_at: float = 0.0
    """By the monotonic clock."""

    @property
    def identity(self) -> str:
        """What its event can be known by."""
        return identity(self.message["_method"], self.message["id"], self.message.get("body"))


def identity(method: str, row_id: str, body: str | None) -> str:
    """Return what is unique to a write: its text, or that it deletes a row that is made once."""
    return f"DELETE {row_id}" if method == "DELETE" else str(body)


class Writer:
    """Writes rows of its own, and shared ones, over one WebSocket at a time.

    Args:
        urls: of the endpoint, at one hub or several; a lost connection is followed by one to the
            next of them.
        name: what the keys of its messages begin with.
        rng: decides what it writes.
        pad: text that makes its messages larger.
        shared: ids of rows that other writers change as well; nobody deletes them.
    """

    def __init__(
        self,
        urls: Sequence[str],
        name: str,
        rng: random.Random,
        *,
        pad: str = "",
        shared: Sequence[str] = (),
    ) -> None:
        self.sent: list[Sent] = []
        self.connections = 0
        self.refusals: list[Frame] = []
        """The errors that it received."""
        self.stopping = False
        self.pace_seconds = PACE_SECONDS
        self._urls = deque(urls)
        self._name = name
        self._rng = rng
        self._pad = pad
        self._shared = shared
        self._pending: dict[str, Sent] = {}
        self._rows: list[str] = []
        """Rows that exist and that no pending message is about."""

    @property
    def acknowledged(self) -> int:
        return len(self.sent) - len(self._pending)

    async def run(self, session: aiohttp.ClientSession) -> None:
        """Write until stopped, and until everything is acknowledged."""
        query = {"topic": "nobody's", "_since": "now"}
        while not self._is_done():
            try:
                url = self._urls[0]
                async with session.ws_connect(url, params=query, protocols=(V1,)) as socket:
                    self.connections += 1
                    for sent in self._pending.values():
                        await self._repeat(socket, sent)
                    await self._write(socket)
            except (aiohttp.ClientError, ConnectionError, Closed):
                self._urls.rotate(-1)
                await asyncio.sleep(PAUSE_SECONDS)

    def _is_done(self) -> bool:
        return self.stopping and not self._pending

    async def _write(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        while not self._is_done():
            if not self._pending:
                await asyncio.sleep(self.pace_seconds)
                for _ in range(WINDOW):
                    await socket.send_json(self._next().message)
            async with asyncio.timeout(ANSWER_SECONDS):
                received = await socket.receive()
            if received.type is not aiohttp.WSMsgType.TEXT:
                raise Closed(socket.close_code)
            await self._take(socket, msgspec.json.decode(received.data))

    def _next(self) -> Sent:
        number = len(self.sent)
        key = f"{self._name}-{number}"
        method = (
            self._rng.choices(("POST", "PUT", "DELETE"), (5, 8, 2))[0] if self._rows else "POST"
        )
        message: Frame = {"_method": method, "_key": key, "_ref": key, "id": key}
        if self._shared and self._rng.random() < SHARED_SHARE:
            method = "PUT"
            message |= {"_method": method, "_upsert": True, "id": self._rng.choice(self._shared)}
        elif method != "POST":
            message["id"] = self._rows.pop(self._rng.randrange(len(self._rows)))
        if method != "DELETE":
            message |= {**random_fields(self._rng), "body": key, "pad": self._pad}
        sent = Sent(message, number)
        self.sent.append(sent)
        self._pending[key] = sent
        return sent

    async def _take(self, socket: aiohttp.ClientWebSocketResponse, seen: Frame) -> None:
        if "_ack" in seen:
            sent = self._pending.pop(seen["_ack"])
            assert sent.tries > 1 or not seen["duplicate"], seen
            sent.sequence, sent.acknowledged_at = seen["_seq"], monotonic()
            if sent.message["_method"] != "DELETE" and "_upsert" not in sent.message:
                self._rows.append(sent.message["id"])
        elif "_error" in seen:
            assert seen["_error"]["retry"], seen
            self.refusals.append(seen["_error"])
            if "ref" in seen["_error"]:  # otherwise the connection is refused, and ends
                await asyncio.sleep(PAUSE_SECONDS)
                await self._repeat(socket, self._pending[seen["_error"]["ref"]])

    async def _repeat(self, socket: aiohttp.ClientWebSocketResponse, sent: Sent) -> None:
        sent.tries += 1
        await socket.send_json(sent.message)
