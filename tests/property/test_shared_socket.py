"""Each subscription on a socket ends equal to its table, however slowly the client reads them all.

The buffers of the socket are small, so that it is full all the time: in the middle of a turn's
events, during replays, and when subscriptions come and go.
"""

import asyncio
import socket as sockets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventhub.config import Server
from eventhub.gateway import connection
from tests.builders import channel
from tests.examples import examples
from tests.subscribing import Frame, Table, append, apply, singly, tables
from tests.unit.gateway.serving import V2, Client, Running, running

CHANNEL = channel()
QUERIES = {"": None, "text=a": "a", "text=b": "b"}
PAD = "x" * 300
STEPS = [
    *[("write", (row, text)) for row in "12345678" for text in ("a", "b", None)] * 4,
    *[("burst", text) for text in ("a", "b")] * 6,
    *[("read", count) for count in (1, 1, 2, 5)] * 6,
    *[("subscribe", (number, query)) for number in (1, 2, 3) for query in QUERIES] * 3,
    *[("unsubscribe", number) for number in (1, 2, 3)] * 2,
]


@dataclass
class Reading:
    """What a client knows of one subscription."""

    query: str
    table: Table = field(default_factory=dict)
    position: str = ""
    last: int = 0
    """The sequence of its last event."""


class Permits:
    """How many frames may be read; in the end, all."""

    def __init__(self) -> None:
        self._count = 0
        self._changed = asyncio.Event()

    def release(self, count: int) -> None:
        self._count += count
        self._changed.set()

    def release_all(self) -> None:
        self.release(1 << 60)

    async def acquire(self) -> None:
        while not self._count:
            self._changed.clear()
            await self._changed.wait()
        self._count -= 1


class Reader:
    """A client with the documentation at hand."""

    def __init__(self, client: Client, epoch: str) -> None:
        self.permits = Permits()
        self._client = client
        self._epoch = epoch
        self.open: dict[int, Reading] = {}
        self._ending: list[int] = []
        self._kept: dict[tuple[int, str], Reading] = {}
        """Ended readings, from which their number can resume."""

    def subscribe(self, number: int, query: str) -> None:
        if number in self.open or number in self._ending:
            return
        kept = self._kept.pop((number, query), None)
        frame: Frame = {"_subscribe": number, "path": "/chat", "query": query}
        if kept is not None and kept.position:
            self.open[number], frame["since"] = kept, kept.position
        else:  # what came of a replay without an end is worthless
            self.open[number] = Reading(query)
        self._client.send(frame)

    def unsubscribe(self, number: int) -> None:
        if number in self.open and number not in self._ending:
            self._ending.append(number)
            self._client.send({"_unsubscribe": number})

    async def run(self) -> None:
        """Read frames as permitted, until cancelled."""
        while True:
            await self.permits.acquire()
            kind, payload = await self._client.frame()
            if kind == 1:
                self._take(msgspec.json.decode(payload))

    def _take(self, frame: Frame) -> None:
        assert "_error" not in frame, frame
        number = frame.pop("_sub")
        reading = self.open[number]
        if "_end" in frame:
            self._ending.remove(number)
            self._kept[number, reading.query] = self.open.pop(number)
        elif "_ready" in frame:
            reading.position = frame["_ready"]["position"]
            reading.last = int(reading.position.split(".")[1])
        elif "_resume" in frame:
            assert frame["_resume"]["recovered"]
        else:
            self._apply(reading, frame)

    def _apply(self, reading: Reading, frame: Frame) -> None:
        for each in singly([frame]):
            apply(reading.table, each, CHANNEL)
            if "_changes" in frame:
                assert each["_seq"] > reading.last, "in order, each once"
                reading.last = each["_seq"]
                reading.position = f"{self._epoch}.{reading.last}"

    @property
    def is_settled(self) -> bool:
        return not self._ending


@settings(max_examples=examples(20), deadline=None)
@given(steps=st.lists(st.sampled_from(STEPS), min_size=10, max_size=80))
def test_no_subscription_loses_or_doubles_anything(steps: list[tuple[str, Any]]) -> None:
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(connection, "MAX_UNSENT_BYTES", 1000)
        asyncio.run(_play(Path(folder), steps))


async def _play(folder: Path, steps: list[tuple[str, Any]]) -> None:
    path = folder / "socket"
    async with running(folder, Server(host=f"unix:{path}")) as hub:
        reading, writing = await asyncio.open_unix_connection(path, limit=1024)
        client = Client(reading, writing)
        try:
            await client.upgrade(V2, path=b"/-/socket")
            [session] = hub.gateway._live._sessions
            sending = session.connection._transport.get_extra_info("socket")
            sending.setsockopt(sockets.SOL_SOCKET, sockets.SO_SNDBUF, 1)
            reader = Reader(client, hub.stream.epoch)
            async with asyncio.TaskGroup() as group:
                task = group.create_task(reader.run())
                ids = iter(range(10_000))
                for step, value in [*steps, *[("subscribe", (number, "")) for number in (1, 2, 3)]]:
                    await _do(hub, reader, step, value, ids)
                reader.permits.release_all()
                async with asyncio.timeout(40):
                    while not _is_current(hub, reader):
                        await asyncio.sleep(0.001)
                task.cancel()
        finally:
            writing.transport.abort()


async def _do(hub: Running, reader: Reader, step: str, value: Any, ids: Iterator[int]) -> None:
    match step:
        case "write":
            await _write(hub, *value)
        case "burst":  # one turn, which concerns several groups
            for _ in range(12):
                await _write(hub, f"n{next(ids)}", value)
        case "read":
            reader.permits.release(value)
        case "subscribe":
            reader.subscribe(*value)
        case other:
            assert other == "unsubscribe"
            reader.unsubscribe(value)
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def _write(hub: Running, row_id: str, text: str | None) -> None:
    last = await hub.stream.last(row_id)
    exists = last is not None and last.event.row is not None
    if text is None and exists:
        await append(hub.stream, _method="DELETE", id=row_id)
    elif text is not None:
        method = "PUT" if exists else "POST"
        await append(hub.stream, _method=method, id=row_id, text=text, user=PAD)


def _is_current(hub: Running, reader: Reader) -> bool:
    expected = _expected(hub)
    return reader.is_settled and all(
        each.position and each.table == expected[each.query] for each in reader.open.values()
    )


def _expected(hub: Running) -> dict[str, Table]:
    events = [hub.stream.at(number + 1) for number in range(hub.stream.length)]
    return {
        query: tables(events, lambda row, text=text: text is None or row["text"] == text)[  # type: ignore[misc]
            len(events)
        ]
        for query, text in QUERIES.items()
    }
