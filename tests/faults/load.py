"""Load: writers that repeat what was not answered, subscribers that resume, and one check of both.

Each message has a `_key`, and is sent again until it is acknowledged, over any error that says
`retry` and any lost connection. So in the end the log must hold exactly what was sent: each
message once, at the sequence that its writer was told, and nothing else.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import msgspec

from tests.e2e.client import V1, Client, Closed, Frame, connect, get
from tests.e2e.traffic import FILTERS, Row, plain, random_fields

CONFIG = """
server: {heartbeat: 0.3}
url:
  rows:
    pattern: /rows
    handler: MessageHandler
    kwargs: {columns: {topic: TEXT, n: INTEGER, flag: BOOLEAN, body: TEXT, pad: TEXT}}
"""
WRITERS = 4
WINDOW = 5
"""Messages that a writer sends at once, before it waits for all their answers."""
PACE_SECONDS = 0.02
"""Between those: 500 writes a second at the most leave the machine to the hub."""
QUERIES = ("", "", "topic=Help", "topic!", "topic*=help", "n>=5")
DEADLINE_SECONDS = 30.0
PAUSE_SECONDS = 0.02
"""Before a message that was refused for now is sent again."""
EMPTY: Row = {"topic": None, "n": None, "flag": None, "body": None, "pad": None}

Seen = tuple[int, str, str]
"""What a frame says: sequence, method, id."""


async def until(condition: Callable[[], object], seconds: float = DEADLINE_SECONDS) -> None:
    """Wait for a condition, looking often."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


@dataclass
class Sent:
    """A message, and what became of it."""

    message: Frame
    number: int
    """Of the message among those of its writer."""
    tries: int = 1
    sequence: int = 0

    @property
    def identity(self) -> str:
        """What its event can be known by."""
        return identity(self.message["_method"], self.message["id"], self.message.get("body"))


def identity(method: str, row_id: str, body: str | None) -> str:
    """Return what is unique to a write: its text, or that it deletes a row that is made once."""
    return f"DELETE {row_id}" if method == "DELETE" else str(body)


class Writer:
    """Writes rows of its own over one WebSocket."""

    def __init__(self, url: str, name: str, rng: random.Random, pad: str) -> None:
        self.sent: list[Sent] = []
        self.connections = 0
        self.refusals: list[Frame] = []
        """The errors that it received."""
        self.stopping = False
        self._url = url
        self._name = name
        self._rng = rng
        self._pad = pad
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
                async with session.ws_connect(self._url, params=query, protocols=(V1,)) as socket:
                    self.connections += 1
                    for sent in self._pending.values():
                        await self._repeat(socket, sent)
                    await self._write(socket)
            except (aiohttp.ClientError, ConnectionError, Closed):
                await asyncio.sleep(PAUSE_SECONDS)

    def _is_done(self) -> bool:
        return self.stopping and not self._pending

    async def _write(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        while not self._is_done():
            if not self._pending:
                await asyncio.sleep(PACE_SECONDS)
                for _ in range(WINDOW):
                    await socket.send_json(self._next().message)
            async with asyncio.timeout(DEADLINE_SECONDS):
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
        if method != "POST":
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
            sent.sequence = seen["_seq"]
            if sent.message["_method"] != "DELETE":
                self._rows.append(sent.message["id"])
        elif "_error" in seen:
            assert seen["_error"]["retry"], seen
            self.refusals.append(seen["_error"])
            await asyncio.sleep(PAUSE_SECONDS)
            await self._repeat(socket, self._pending[seen["_error"]["ref"]])

    async def _repeat(self, socket: aiohttp.ClientWebSocketResponse, sent: Sent) -> None:
        sent.tries += 1
        await socket.send_json(sent.message)


@dataclass
class Subscriber:
    """Follows one filter, over reconnects."""

    url: str
    query: str
    seen: list[Seen] = field(default_factory=list)
    table: dict[str, Row] = field(default_factory=dict)
    connections: int = 0
    start: int = -1
    """The sequence that its first replay ended with."""
    reached: int = 0
    """The sequence up to which it received everything."""
    is_taking: asyncio.Event = field(default_factory=asyncio.Event)
    """While it is not set, nothing is read from the socket."""
    _epoch: str = ""

    def __post_init__(self) -> None:
        self.is_taking.set()

    async def run(self, is_over: Callable[[int], bool]) -> None:
        """Read until what was reached is enough."""
        while not is_over(self.reached):
            since = f"&_since={self._epoch}.{self.reached}" if self._epoch else ""
            try:
                async with connect(f"{self.url}?{self.query}{since}") as client:
                    self.connections += 1
                    client.table = self.table
                    while not is_over(self.reached):
                        await self.is_taking.wait()
                        self._take(client, await client.receive())
            except (aiohttp.ClientError, ConnectionError, Closed):
                await asyncio.sleep(PAUSE_SECONDS)

    def _take(self, client: Client, frame: Frame) -> None:
        if "_resume" in frame:
            assert frame["_resume"]["recovered"], frame
        elif "_ready" in frame or "_tick" in frame:
            self._epoch, _, reached = client.position.rpartition(".")
            assert int(reached) >= self.reached, f"{frame} after {self.reached}"
            self.reached = int(reached)
            self.start = self.reached if self.start < 0 else self.start
        elif self.start >= 0:
            self.seen.append((frame["_seq"], frame["_method"], frame["id"]))
            self.reached = frame["_seq"]


class Load:
    """Writers and subscribers of one table; `running` ends with the check."""

    def __init__(self, url: str, *, pad_bytes: int = 0, queries: Sequence[str] = QUERIES) -> None:
        self.url = url
        pad = "x" * pad_bytes
        self.writers = [Writer(url, f"w{n}", random.Random(n), pad) for n in range(WRITERS)]
        self.subscribers = [Subscriber(url, query) for query in queries]

    @property
    def acknowledged(self) -> int:
        """How many messages were."""
        return sum(writer.acknowledged for writer in self.writers)

    @property
    def refusals(self) -> list[Frame]:
        """The errors that writers received."""
        return [refusal for writer in self.writers for refusal in writer.refusals]

    @property
    def is_connected_as_before(self) -> bool:
        """Return whether no connection was lost."""
        counts = [writer.connections for writer in self.writers]
        counts += [subscriber.connections for subscriber in self.subscribers]
        return set(counts) == {1}

    async def goes_on(self, count: int = 100) -> None:
        """Wait until later writes were acknowledged, and reached the subscriber to everything."""
        goal = self.acknowledged + count
        await until(lambda: self.acknowledged >= goal)
        last = max(sent.sequence for writer in self.writers for sent in writer.sent)
        await until(lambda: self.subscribers[0].reached >= last)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Load"]:
        """Write and follow; at the end everything sent is acknowledged, stored and delivered."""
        last: list[int] = []
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
            for subscriber in self.subscribers:
                group.create_task(subscriber.run(lambda reached: bool(last) and reached >= last[0]))
            await until(lambda: all(subscriber.start >= 0 for subscriber in self.subscribers))
            writing = [group.create_task(writer.run(session)) for writer in self.writers]
            yield self
            for writer in self.writers:
                writer.stopping = True
            await until(lambda: all(task.done() for task in writing))
            last.append(max(sent.sequence for writer in self.writers for sent in writer.sent))
        await self.check()

    async def check(self) -> None:
        """Check that the same was acknowledged, stored and delivered: in order, each once."""
        history = await read_log(self.url)
        self._check_stored(history)
        for subscriber in self.subscribers:
            expected = frames_of(history, subscriber.query)
            assert subscriber.seen == [seen for seen in expected if seen[0] > subscriber.start]
            rows = await get(f"{self.url}?{subscriber.query}")
            held, rows_by_id = plain(list(subscriber.table.values())), plain(rows)
            different = [
                (held.get(row_id), rows_by_id.get(row_id))
                for row_id in held.keys() | rows_by_id.keys()
                if held.get(row_id) != rows_by_id.get(row_id)
            ]
            assert not different, f"{subscriber.query!r}: held and stored: {different[:5]}"

    def _check_stored(self, history: list[Frame]) -> None:
        assert [event["_seq"] for event in history] == list(range(1, len(history) + 1))
        stored = {
            event["_seq"]: identity(event["_method"], event["id"], (event["row"] or {}).get("body"))
            for event in history
        }
        sent = [sent for writer in self.writers for sent in writer.sent]
        assert stored == {one.sequence: one.identity for one in sent}
        assert len(stored) == len(sent)
        for writer in self.writers:
            order = [one.sequence for one in writer.sent if one.tries == 1]
            assert order == sorted(order), "stored in another order than sent"


async def read_log(url: str) -> list[Frame]:
    """Return all events."""
    async with connect(f"{url}?_replay=log") as client:
        return [frame for frame in await client.replay() if "_seq" in frame]


def frames_of(history: list[Frame], query: str) -> Iterator[Seen]:
    """Iterate over what a subscriber of a filter must receive, by a rule written by hand."""
    matches, table = FILTERS[query], dict[str, Row]()
    for event in history:
        row_id, after = event["id"], event["row"]
        before = table.pop(row_id, None)
        if after is not None:
            table[row_id] = {**EMPTY, **after}
        was = before is not None and matches(before)
        now = after is not None and matches(table[row_id])
        if was or now:
            yield event["_seq"], "PUT" if was and now else "POST" if now else "DELETE", row_id
