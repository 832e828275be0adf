"""Client: a WebSocket client that applies the frames it receives, as any user's would."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
from yarl import URL

from eventhub.delivery.frames import FORMS, SUBPROTOCOL, Form
from tests.subscribing import singly

Frame = dict[str, Any]
DEADLINE_SECONDS = 40.0
V1 = SUBPROTOCOL


class Closed(Exception):  # noqa: N818 - what happened, not a fault
    """The hub closed the connection."""

    def __init__(self, code: int | None) -> None:
        super().__init__(f"closed with {code}")
        self.code = code


class Client:
    """One WebSocket: frames one by one, and the table that they make."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, number: int = 0) -> None:
        """Begin.

        Args:
            socket: open.
            number: of the subscription; 0 without one.
        """
        self.socket = socket
        self._number = number
        self.table: dict[str, Frame] = {}
        self.sent: list[Frame] = []
        """The messages that are not stored."""
        self.position = ""
        self.sequence = 0
        self.form = FORMS.get(socket.protocol or "", Form.BARE)
        self._received = deque[Frame]()
        """Elements of an array that come after the last frame that was returned."""

    async def send(self, message: object) -> None:
        if self._number and isinstance(message, dict):
            message = {"_sub": self._number, **message}
        await self.socket.send_str(msgspec.json.encode(message).decode())

    async def receive(self) -> Frame:
        """Return the next frame, or the next element of an array, applied."""
        while not self._received:
            async with asyncio.timeout(DEADLINE_SECONDS):
                message = await self.socket.receive()
            if message.type is not aiohttp.WSMsgType.TEXT:
                raise Closed(self.socket.close_code)
            self._received.extend(singly([self._of_one(msgspec.json.decode(message.data))]))
        frame = self._received.popleft()
        self.apply(frame)
        return frame

    def _of_one(self, frame: Frame) -> Frame:
        """Return a frame without the number of the subscription, the only one of its socket."""
        if not self._number:
            return frame
        assert frame.pop("_sub", self._number) == self._number
        if isinstance(ticks := frame.get("_tick"), dict):
            frame["_tick"] = ticks[str(self._number)]
        return frame

    async def until(self, condition: Callable[[Frame], object]) -> list[Frame]:
        """Return the frames up to the first that meets a condition, with it."""
        frames = []
        async with asyncio.timeout(DEADLINE_SECONDS):
            while True:
                frames.append(await self.receive())
                if condition(frames[-1]):
                    return frames

    async def replay(self) -> list[Frame]:
        """Return the frames before `_ready`, which bare clients do not get."""
        return (await self.until(lambda frame: "_ready" in frame))[:-1]

    async def ask(self, message: Frame) -> Frame:
        """Send a message and return its `_ack` or `_error`; frames before it are applied."""
        await self.send({**message, "_ref": "ask"})
        frames = await self.until(
            lambda frame: frame.get("_ack") == "ask" or frame.get("_error", {}).get("ref") == "ask"
        )
        return frames[-1]

    async def write(self, message: Frame) -> Frame:
        """Send a message that this client also receives; return its `_ack` once it has."""
        reply = await self.ask(message)
        assert "_ack" in reply, reply
        if self.sequence < reply["_seq"]:
            await self.until(lambda _: self.sequence >= reply["_seq"])
        return reply

    def apply(self, frame: Frame) -> None:
        """Keep the table, as docs/filters.md says that any client can."""
        if "_ready" in frame:
            self.position = frame["_ready"]["position"]
        elif "_tick" in frame:
            self.position = frame["_tick"]
        elif frame.get("_method") == "SEND":
            self.sent.append(frame)
        elif "id" not in frame or "_ack" in frame:
            return
        else:
            self.sequence = frame.get("_seq", 0)
            apply_change(self.table, frame)


def apply_change(table: dict[str, Frame], frame: Frame) -> None:
    """Apply a row or a change to a client's table, rows by id."""
    row = {key: value for key, value in frame.items() if not key.startswith("_")}
    match frame.get("_method", "POST"):
        case "POST":
            assert frame["id"] not in table, f"a second POST of {frame['id']}"
            table[frame["id"]] = row
        case "PUT":
            table[frame["id"]].update(row)
        case method:
            assert method == "DELETE"
            del table[frame["id"]]


@asynccontextmanager
async def subscribe(url: str, *, headers: dict[str, str] | None = None) -> AsyncIterator[Client]:
    """Open a socket with one subscription, to a URL of the hub."""
    asked = URL(url)
    shared = str(asked.with_path("/-/socket").with_query(None))
    async with connect(shared, form=Form.V2, headers=headers) as client:
        frame = {"path": asked.raw_path, "query": asked.raw_query_string}
        await client.send({"_subscribe": 1, **frame})
        yield Client(client.socket, 1)


@asynccontextmanager
async def connect(
    url: str, *, form: Form = Form.V1, bare: bool = False, headers: dict[str, str] | None = None
) -> AsyncIterator[Client]:
    """Open a WebSocket on a URL of the hub, `http://` as it is announced."""
    protocols = [name for name, each in FORMS.items() if each is form and not bare]
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.ws_connect(url, protocols=protocols, max_msg_size=0) as socket,
    ):
        yield Client(socket)


async def get(url: str, **params: str) -> Any:
    """GET rows as JSON."""
    async with aiohttp.ClientSession() as session, session.get(url, params=params) as answer:
        body = await answer.read()
        assert answer.status == 200, body
        return msgspec.json.decode(body)


async def write_row(url: str, method: str, row_id: str, **values: Any) -> int:
    """Write to a row by a message that must be accepted; return the sequence of its event."""
    message = {"_method": method, "id": row_id, **values}
    status, answer = await request("POST", url, json=message)
    assert status < 300, answer
    return int(answer["_seq"])


async def request(method: str, url: str, **kwargs: Any) -> tuple[int, Any]:
    """Return the status and the decoded JSON of an answer."""
    async with aiohttp.ClientSession() as session, session.request(method, url, **kwargs) as answer:
        return answer.status, msgspec.json.decode(await answer.read())
