"""Load: writers that repeat what was not answered, subscribers that resume, and one check of both.

In the end the log must hold exactly what was sent: each message once, at the sequence of its
acknowledgement, and nothing else.
"""

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from time import monotonic

import aiohttp

from tests.e2e.client import Client, Closed, Frame, connect, get, request
from tests.e2e.traffic import FILTERS, Row, plain
from tests.faults.writer import PAUSE_SECONDS, Sent, Writer, identity

CONFIG = """
server: {heartbeat: 0.3}
url:
  rows:
    pattern: /rows
    handler: MessageHandler
    kwargs: {columns: {topic: TEXT, n: INTEGER, flag: BOOLEAN, body: TEXT, pad: TEXT}}
"""
WRITERS = 4
QUERIES = ("", "", "topic=Help", "topic!", "topic*=help", "n>=5")
DEADLINE_SECONDS = 30.0
EMPTY: Row = {"topic": None, "n": None, "flag": None, "body": None, "pad": None}

Seen = tuple[int, str, str]
"""What a frame says: sequence, method, id."""


async def until(condition: Callable[[], object], seconds: float = DEADLINE_SECONDS) -> None:
    """Wait for a condition, looking often."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


@dataclass
class Subscriber:
    """Follows one filter, over reconnects: each is to the next URL."""

    urls: deque[str]
    query: str
    seen: list[Seen] = field(default_factory=list)
    table: dict[str, Row] = field(default_factory=dict)
    received_at: list[float] = field(default_factory=list)
    """By the monotonic clock, of each of `seen`."""
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
                async with connect(f"{self.urls[0]}?{self.query}{since}") as client:
                    self.connections += 1
                    client.table = self.table
                    while not is_over(self.reached):
                        await self.is_taking.wait()
                        self._take(client, await client.receive())
            except (aiohttp.ClientError, ConnectionError, Closed):
                self.urls.rotate(-1)
                await asyncio.sleep(PAUSE_SECONDS)

    def _take(self, client: Client, frame: Frame) -> None:
        if "_resume" in frame:
            assert frame["_resume"]["recovered"], frame
        elif "_error" in frame:
            assert frame["_error"]["retry"], frame
        elif "_ready" in frame or "_tick" in frame:
            self._epoch, _, reached = client.position.rpartition(".")
            assert int(reached) >= self.reached, f"{frame} after {self.reached}"
            self.reached = int(reached)
            self.start = self.reached if self.start < 0 else self.start
        elif self.start >= 0:
            self.received_at.append(monotonic())
            self.seen.append((frame["_seq"], frame["_method"], frame["id"]))
            self.reached = frame["_seq"]


class Load:
    """Writers and subscribers of one table; `running` ends with the check.

    Args:
        urls: of the endpoint, at one hub or several, over which clients are spread.
        name: what the keys of messages begin with: another one for each load of a table.
        pad_bytes: what makes each message larger.
        queries: of the subscribers.
        shared: ids of rows that all writers change.
        seed: of what is written.
        history: the events of the table before, as `history` of the load that wrote the last of
            them; the check does not read them again.
    """

    def __init__(
        self,
        *urls: str,
        name: str = "w",
        pad_bytes: int = 0,
        queries: Sequence[str] = QUERIES,
        shared: Sequence[str] = (),
        seed: int = 0,
        history: Sequence[Frame] = (),
    ) -> None:
        self.urls = urls
        self.history = list(history)
        """All events of the table, once they were checked."""
        self.writers = []
        for number in range(WRITERS):
            turned = (*urls[number % len(urls) :], *urls[: number % len(urls)])
            rng = random.Random(seed + number)
            writer = Writer(turned, f"{name}{number}", rng, pad="x" * pad_bytes, shared=shared)
            self.writers.append(writer)
        self.subscribers = []
        for number, query in enumerate(queries):
            turning = deque(urls)
            turning.rotate(-number)
            self.subscribers.append(Subscriber(turning, query))
        self.besides: list[Sent] = []
        """What was written besides, by `write`."""
        self._last: list[int] = []
        """The last sequence, once nothing more is written."""
        self._group = asyncio.TaskGroup()

    async def write(self, url: str, message: Frame) -> None:
        """Write a message at one hub; it must be accepted at once."""
        status, answer = await request("POST", url, json=message)
        assert status < 300, answer
        self.besides.append(Sent(message, len(self.besides), sequence=answer["_seq"]))

    async def join(self, url: str) -> None:
        """Add a subscriber at one more hub, and check that hub in the end, too."""
        subscriber = Subscriber(deque([url]), "")
        self.subscribers.append(subscriber)
        self.urls += (url,)
        self._group.create_task(subscriber.run(self._is_over))
        await until(lambda: subscriber.start >= 0)

    def _is_over(self, reached: int) -> bool:
        return bool(self._last) and reached >= self._last[0]

    @property
    def acknowledged(self) -> int:
        """How many messages were."""
        return sum(writer.acknowledged for writer in self.writers)

    def pauses(self) -> tuple[float, float]:
        """Return the longest times, in seconds, without an acknowledgement and without a frame."""
        acknowledged = sorted(sent.acknowledged_at for w in self.writers for sent in w.sent)
        received = self.subscribers[0].received_at
        return _longest_gap(acknowledged), _longest_gap(received)

    @property
    def _sent(self) -> list[Sent]:
        return [*self.besides, *(sent for writer in self.writers for sent in writer.sent)]

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

    async def goes_on(self, count: int = 100, *, seconds: float = DEADLINE_SECONDS) -> None:
        """Wait until later writes were acknowledged, and reached the subscriber to everything."""
        goal = self.acknowledged + count
        await until(lambda: self.acknowledged >= goal, seconds)
        last = max(sent.sequence for sent in self._sent)
        await until(lambda: self.subscribers[0].reached >= last, seconds)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Load"]:
        """Write and follow; at the end everything sent is acknowledged, stored and delivered."""
        async with aiohttp.ClientSession() as session, self._group as group:
            for subscriber in self.subscribers:
                group.create_task(subscriber.run(self._is_over))
            await until(lambda: all(subscriber.start >= 0 for subscriber in self.subscribers))
            writing = [group.create_task(writer.run(session)) for writer in self.writers]
            yield self
            for writer in self.writers:
                writer.stopping = True
            await until(lambda: all(task.done() for task in writing))
            self._last.append(max(sent.sequence for sent in self._sent))
        await self.check()

    async def check(self) -> None:
        """Check that the same was acknowledged, stored and delivered: in order, each once."""
        before = self.history
        self.history = history = await read_log(self.urls[0], before)
        self._check_stored(history)
        for url in self.urls[1:]:
            assert await read_log(url, before) == history, f"{url} has another history"
        for subscriber in self.subscribers:
            expected = frames_of(history, subscriber.query)
            assert subscriber.seen == [seen for seen in expected if seen[0] > subscriber.start]
            held = plain(list(subscriber.table.values()))
            for url in self.urls:
                rows = plain(await get(f"{url}?{subscriber.query}"))
                different = [
                    (held.get(row_id), rows.get(row_id))
                    for row_id in held.keys() | rows.keys()
                    if held.get(row_id) != rows.get(row_id)
                ]
                where = f"{subscriber.query!r} at {url}"
                assert not different, f"{where}: held and stored: {different[:5]}"

    def _check_stored(self, history: list[Frame]) -> None:
        assert [event["_seq"] for event in history] == list(range(1, len(history) + 1))
        start = min(subscriber.start for subscriber in self.subscribers)  # nobody wrote meanwhile
        stored = {
            event["_seq"]: identity(event["_method"], event["id"], (event["row"] or {}).get("body"))
            for event in history
            if event["_seq"] > start
        }
        sent = self._sent
        assert stored == {one.sequence: one.identity for one in sent}
        assert len(stored) == len(sent)
        for writer in self.writers:
            order = [one.sequence for one in writer.sent if one.tries == 1]
            assert order == sorted(order), "stored in another order than sent"
            rows: dict[str, list[int]] = {}
            for one in writer.sent:
                rows.setdefault(one.message["id"], []).append(one.sequence)
            for row, changes in rows.items():
                assert changes == sorted(changes), f"row {row} was changed in another order"


def _longest_gap(times: Sequence[float]) -> float:
    return max(after - before for before, after in pairwise(times))


async def read_log(url: str, known: Sequence[Frame] = ()) -> list[Frame]:
    """Return all events; those that are known already are not read again."""
    since = f"&_since={await position(url, known[-1]['_seq'])}" if known else ""
    async with connect(f"{url}?_replay=log{since}") as client:
        for frame in known:
            client.apply(frame)
        return [*known, *(frame for frame in await client.replay() if "_seq" in frame)]


async def position(url: str, sequence: int) -> str:
    """Return the position at a sequence, for `_since`."""
    async with aiohttp.ClientSession() as session, session.get(f"{url}?_limit=0") as answer:
        return f"{answer.headers['EventHub-Position'].partition('.')[0]}.{sequence}"


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
