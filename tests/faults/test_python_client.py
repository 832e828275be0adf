"""Whatever happens between a program and its hub: rows end as a GET, each write is stored once."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen
from uuid import uuid4

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from eventhub_client import AsyncHub, Change, NotFoundError, RefusedError, Rows
from eventhub_client import Hub as SyncHub
from tests.e2e.hub import Hub, running_hub
from tests.faults.conftest import broker_pid
from tests.faults.proxy import Proxy
from tests.tokens import SECRET, token_of
from tests.waiting import until

CONFIG = f"""
auth: {{jwt: {{secret: "{SECRET}"}}}}
url:
  messages: {{pattern: /messages, handler: MessageHandler, kwargs:
    {{columns: {{topic: TEXT, n: INTEGER}}, auth: true}}}}
  bot: {{pattern: /bot, handler: MessageHandler, kwargs: {{columns: {{n: INTEGER}}, auth: true}}}}
"""
DEADLINE_SECONDS = 40.0
QUERIES: list[tuple[dict[str, Any], str]] = [
    ({"columns": ["topic", "n"]}, "_c=topic&_c=n&_c=id"),
    (
        {"columns": ["n"], "where": {"topic": "a"}, "sort": ["-n", "id"], "limit": 4},
        "topic=a&_sort=-n&_sort=id&_limit=4&_c=n&_c=id",
    ),
]
"""Live rows, and the GET that they are equal to."""
WRITES = st.tuples(st.sampled_from(["post", "post", "put", "wrong"]), st.sampled_from("ab"))
FAULTS = st.sampled_from(["nothing", "cut", "login ends", "stop", "kill", "another log"])
STEP = st.tuples(st.lists(WRITES, max_size=12), FAULTS, st.booleans(), st.booleans())
"""Writes, what happens after them, whether answers to them are lost, whether all is awaited."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with running_hub(tmp_path_factory.mktemp("hub"), CONFIG) as hub:
        yield hub


def answer(server: Hub, query: str = "") -> list[dict[str, Any]]:
    """Return what a GET answers."""
    headers = {"Authorization": f"Bearer {token_of('ann')}"}
    with urlopen(Request(f"{server.url}/messages?{query}", headers=headers), timeout=20) as got:
        rows: list[dict[str, Any]] = json.load(got)
    return rows


class Program:
    """A program with live rows, a reader of changes that is slow at times, and writes."""

    def __init__(self, server: Hub, hub: AsyncHub, group: asyncio.TaskGroup) -> None:
        self.server = server
        self._hub = hub
        self._group = group
        self.rows: list[Rows] = [hub.rows("messages", **query) for query, _ in QUERIES]
        self.is_reading = asyncio.Event()
        self.is_reading.set()
        self.folded: dict[str, dict[str, Any]] = {}
        """The table, from changes alone."""
        self.stored: set[str] = set()
        self._name = uuid4().hex
        self._count = 0
        self._writes: set[asyncio.Task[None]] = set()
        self._reader = group.create_task(self._read())

    async def _read(self) -> None:
        last = 0
        async for change in self._hub.changes("messages", since="earliest"):
            await self.is_reading.wait()
            if change.method == "RESET":
                self.folded, last = {}, 0
                continue
            if change.position is not None:
                assert change.seq > last, "a change was shown twice"
                last = change.seq
            self._fold(change)

    def _fold(self, change: Change) -> None:
        assert change.row is not None
        if change.method == "DELETE":
            self.folded.pop(change.id)
        else:
            assert (change.method == "POST") == (change.id not in self.folded)
            self.folded[change.id] = {**self.folded.get(change.id, {}), **change.row}

    def write(self, kind: str, topic: str) -> None:
        """Begin to write."""
        task = self._group.create_task(self._write(kind, topic, self._count))
        self._count += 1
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)

    async def _write(self, kind: str, topic: str, n: int) -> None:
        if kind == "wrong":
            with pytest.raises(RefusedError, match="bad_value"):
                await self._hub.post("messages", {"n": "many"})
        elif kind == "post":
            receipt = await self._hub.post(
                "messages", {"id": f"{self._name}-{n}", "topic": topic, "n": n}
            )
            self.stored.add(receipt["id"])
        elif known := sorted(self.stored):
            try:
                await self._hub.put("messages", {"id": known[n % len(known)], "topic": topic})
            except NotFoundError:  # it was in the log that is gone
                assert not self.stored.issuperset(known)

    async def settled(self) -> None:
        """Wait until every write has its outcome, and all that is shown is what a GET answers."""
        self.is_reading.set()
        async with asyncio.timeout(DEADLINE_SECONDS):
            while self._writes:
                await asyncio.wait(self._writes)
            for rows, (_, query) in zip(self.rows, QUERIES, strict=True):
                await self._until(partial(self._equals, rows, query))
            await self._until(self._folds)
        assert not self._reader.done()
        ids = [row["id"] for row in answer(self.server)]
        assert len(ids) == len(set(ids))
        assert self.stored <= set(ids), "a write was lost"

    async def _until(self, holds: Callable[[], bool]) -> None:
        while not await asyncio.to_thread(holds):
            await asyncio.sleep(0.02)

    def _equals(self, rows: Rows, query: str) -> bool:
        shown = [{key: row[key] for key in row if key != "_seq"} for row in rows.values()]
        return rows.state == "live" and shown == answer(self.server, query)

    async def lost(self) -> None:
        """Wait until it has noticed that the hub is away; forget what was stored there."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            await self._until(lambda: all(rows.state != "live" for rows in self.rows))
        self.stored.clear()

    def end(self) -> None:
        """Stop to read changes."""
        self._reader.cancel()

    def _folds(self) -> bool:
        return list(self.folded.values()) == answer(self.server)


class Tokens:
    """A login service: its tokens are good for ten minutes, unless a test asks for others."""

    def __init__(self) -> None:
        self.next: list[float | None] = []
        """Seconds for which the next ones are good; None: it does not answer."""

    def __call__(self) -> str:
        seconds = self.next.pop(0) if self.next else 600.0
        if seconds is None:
            raise ConnectionRefusedError("the login service is away")
        return token_of("ann", seconds)


async def happen(fault: str, program: Program, proxy: Proxy, tokens: Tokens) -> None:
    server = program.server
    if fault == "login ends":
        tokens.next = [2.0, 2.0, 2.0, None]
    if fault in ("cut", "login ends"):
        proxy.abort()
    if fault in ("stop", "kill", "another log"):
        await asyncio.to_thread(server.stop if fault == "stop" else server.kill)
        if fault == "another log":
            (server.folder / "data").rename(server.folder / f"lost-{uuid4()}")
            await program.lost()
        await asyncio.to_thread(server.start)


async def live(server: Hub, steps: list[tuple[list[tuple[str, str]], str, bool, bool]]) -> None:
    """Run a program through some faults."""
    tokens = Tokens()
    async with (
        Proxy(int(server.url.rpartition(":")[2])).running() as proxy,
        AsyncHub(proxy.url.replace("nats", "http"), token=tokens) as hub,
        asyncio.TaskGroup() as group,
    ):
        program = Program(server, hub, group)
        await program.settled()
        for writes, fault, is_deaf, is_awaited in steps:
            proxy.drops_answers, proxy.swallowed = is_deaf and fault != "nothing", 0
            program.is_reading.clear()
            for write in writes:
                program.write(*write)
            if proxy.drops_answers and writes:
                with suppress(TimeoutError):  # those before them may all be refused, or waiting
                    async with asyncio.timeout(1):
                        while not proxy.swallowed:
                            await asyncio.sleep(0.01)
            await happen(fault, program, proxy, tokens)
            proxy.drops_answers = False
            proxy.abort()
            if is_awaited:
                await program.settled()
        await program.settled()
        program.end()


ALL = [("post", "a"), ("post", "b"), ("wrong", "a"), ("put", "a"), ("put", "b")]


@pytest.mark.timeout(240)
@example(
    steps=[
        (ALL, "nothing", False, True),
        (ALL, "cut", True, True),
        (ALL, "login ends", False, True),
        (ALL, "kill", True, True),
        (ALL, "another log", True, False),
    ]
)
@settings(max_examples=1, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(steps=st.lists(STEP, min_size=1, max_size=3))
def test_rows_and_changes_end_as_a_get_answers_and_no_write_is_lost_or_doubled(
    steps: list[tuple[list[tuple[str, str]], str, bool, bool]], server: Hub
) -> None:
    """A write that was stored in a log that is gone is gone with it; every other one is there."""
    asyncio.run(live(server, steps))


def test_a_bulk_write_stores_each_row_once_though_the_broker_is_killed(server: Hub) -> None:
    """The hub starts another one; until then it refuses for the moment, or does not know."""

    def rows() -> Iterator[dict[str, Any]]:
        for n in range(6_000):
            if n == 4_500:
                os.kill(broker_pid(server), signal.SIGKILL)
            yield {"topic": "bulk", "n": n}

    with SyncHub(server.url, token=token_of("ann")) as hub:
        assert hub.bulk("messages", rows()) == 6_000
    assert sorted(row["n"] for row in answer(server, "topic=bulk")) == list(range(6_000))


BOT = """
import os, sys
from eventhub_client import Hub

log = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
with Hub(sys.argv[1], token=sys.argv[2]) as hub:
    for change in hub.changes("bot", since="earliest", checkpoint="checkpoint"):
        os.write(log, f"{change.seq} ".encode())
"""


class Bot:
    """A program that notes each change, and is killed and started again."""

    def __init__(self, server: Hub, folder: Path) -> None:
        (folder / "bot.py").write_text(BOT)
        self._command = [sys.executable, "bot.py", server.url, token_of("ann")]
        self._folder = folder

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run it, and kill it."""
        process = subprocess.Popen(self._command, cwd=self._folder)
        try:
            yield
        finally:
            process.kill()
            process.wait(20)

    def noted(self) -> list[int]:
        """Return the sequences of the changes that its loop has worked on."""
        log = self._folder / "log"
        return [int(each) for each in log.read_text().split()] if log.exists() else []

    def has_noted(self, count: int = 0, sequence: int = 0) -> bool:
        """Tell whether it has worked on this many changes, and on this one."""
        noted = self.noted()
        return len(noted) >= count and (not sequence or sequence in noted)


def test_a_program_that_is_killed_misses_nothing_and_repeats_at_most_one_change(
    server: Hub, tmp_path: Path
) -> None:
    """Its hub is killed, too, while both have something to do; each change is two fsyncs."""
    bot, starts = Bot(server, tmp_path), []
    with SyncHub(server.url, token=token_of("ann")) as hub:
        for run in range(4):
            hub.bulk("bot", ({"n": n} for n in range(60)))
            starts.append(len(bot.noted()))
            with bot.running():
                until(partial(bot.has_noted, starts[-1] + 20))
                if run == 2:
                    server.kill()
                    server.start()
        last = hub.post("bot", {"n": -1})["_seq"]
        starts.append(len(bot.noted()))
        with bot.running():
            until(partial(bot.has_noted, sequence=last))
    noted = bot.noted()
    assert sorted(set(noted)) == list(range(1, last + 1))
    for at, (before, after) in enumerate(pairwise(noted), 1):
        assert after == before + 1 or (at in starts and after == before)
