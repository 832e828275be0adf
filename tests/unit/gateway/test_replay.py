"""Who asks for the same at the same time shares one snapshot, and misses nothing by it."""

import asyncio
from typing import Any

import pytest

from eventhub.errors import Unavailable
from eventhub.gateway import replay as module
from eventhub.gateway.protocol import Form
from eventhub.gateway.since import Start
from tests.subscribing import Pipe, Reading, append, eventually, reading, turns


async def post(hub: Reading, *ids: str) -> None:
    for row_id in ids:
        await hub.write(_method="POST", id=row_id, text="a")


async def test_fifty_at_once_are_one_snapshot() -> None:
    async with reading() as hub:
        await post(hub, *"12345")
        pipes = [Pipe() for _ in range(50)]
        for pipe in pipes:
            hub.subscribe(pipe)
        await eventually(lambda: all(len(pipe.frames) == 6 for pipe in pipes))
        assert hub.snapshots.opened == 1
        assert all(pipe.frames == pipes[0].frames for pipe in pipes)


async def test_one_who_joins_an_older_replay_has_its_own_write_before_ready() -> None:
    async with reading() as hub:
        await post(hub, "1")
        await hub.joined(Pipe())
        await append(hub.stream, _method="POST", id="2")  # not handed out yet
        pipe = Pipe()
        await hub.joined(pipe, start=Start(position=None, head=2))
        assert hub.snapshots.opened == 1
        assert [frame.get("id") for frame in pipe.frames] == ["1", "2", None]
        assert pipe.frames[2]["_ready"]["position"] == f"{hub.stream.epoch}.2"


async def test_who_comes_later_than_a_replay_is_kept_gets_a_new_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "JOINABLE_SECONDS", 0.01)
    async with reading() as hub:
        await post(hub, "1")
        await hub.joined(Pipe())
        await eventually(lambda: hub.snapshots.closed == 1)
        await hub.joined(Pipe())
        assert hub.snapshots.opened == 2


@pytest.mark.parametrize(
    ("form", "args"),
    [
        (Form.BARE, {}),
        (Form.V1, {"text": ["a"]}),
        (Form.V1, {"_c": ["text"]}),
        (Form.V1, {"_sort": ["-text"]}),
        (Form.V1, {"_limit": ["9"]}),
        (Form.V1, {"_offset": ["1"]}),
    ],
)
async def test_only_who_asks_for_the_same_joins(form: Form, args: dict[str, Any]) -> None:
    async with reading() as hub:
        await post(hub, "1", "2")
        await hub.joined(Pipe())
        for _ in range(2):
            await hub.joined(Pipe(), hub.view(form, **args))
        assert hub.snapshots.opened == 2


async def test_how_many_rows_and_in_what_order_is_as_of_now() -> None:
    """Else a write before it came would be told as an event, beyond the limit and out of order."""
    async with reading() as hub:
        await post(hub, "1", "2")
        await hub.joined(Pipe(), hub.view(_limit=["2"], _sort=["-id"]))
        await post(hub, "3")
        pipe = Pipe()
        await hub.joined(pipe, hub.view(_limit=["2"], _sort=["-id"]))
        assert hub.snapshots.opened == 2


async def test_a_replay_older_than_what_is_remembered_is_not_joined() -> None:
    """Whoever joined it would have to read the log."""
    async with reading(ring_bytes=0) as hub:
        await post(hub, "1")
        await hub.joined(Pipe())
        await post(hub, "2")
        pipe = Pipe()
        await hub.joined(pipe)
        assert hub.snapshots.opened == 2
        assert [frame.get("_seq") for frame in pipe.frames] == [1, 2, None]


async def test_one_who_leaves_takes_nothing_from_the_others() -> None:
    async with reading() as hub:
        await post(hub, *"12345")
        hub.snapshots.gate = asyncio.Semaphore(1)
        pipes = [Pipe() for _ in range(3)]
        subscribers = [hub.subscribe(pipe) for pipe in pipes]
        await turns(5)
        subscribers[0].stop()  # it came first
        for _ in range(9):
            hub.snapshots.gate.release()
        await eventually(lambda: len(pipes[1].frames) == len(pipes[2].frames) == 6)
        assert hub.snapshots.opened == 1


async def test_with_its_last_reader_an_unfinished_replay_ends() -> None:
    async with reading() as hub:
        await post(hub, *"12345")
        hub.snapshots.gate = asyncio.Semaphore(1)
        hub.snapshots.is_complete = False
        subscribers = [hub.subscribe(Pipe()) for _ in range(2)]
        await turns(5)
        subscribers[0].stop()
        await turns(5)
        assert hub.snapshots.closed == 0
        subscribers[1].stop()
        await eventually(lambda: hub.snapshots.closed == 1)


async def test_who_comes_as_the_last_one_leaves_is_served() -> None:
    """Before it is open, and after."""
    for count in range(6):
        async with reading() as hub:
            await post(hub, "1", "2")
            first = hub.subscribe(Pipe())
            await turns(count)
            first.stop()
            second = Pipe()
            await hub.joined(second)
            assert len(second.frames) == 3


async def test_of_finished_replays_without_readers_only_few_bytes_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with reading() as hub:
        await post(hub, "1")
        await hub.joined(Pipe())
        assert hub.snapshots.closed == 0
        monkeypatch.setattr(module, "MAX_UNREAD_BYTES", 1)
        await hub.joined(Pipe(), hub.view(text=["a"]))
        await eventually(lambda: hub.snapshots.closed == 1)


async def test_a_failure_is_told_to_all_who_wait_and_to_nobody_after() -> None:
    async with reading() as hub:
        await post(hub, "1")
        hub.snapshots.error = Unavailable("being rebuilt")
        pipes = [Pipe() for _ in range(3)]
        for pipe in pipes:
            hub.subscribe(pipe)
        await eventually(lambda: all(pipe.failure for pipe in pipes))
        hub.snapshots.error = None
        pipe = Pipe()
        await hub.joined(pipe)
        assert len(pipe.frames) == 2


async def test_a_snapshot_that_does_not_open_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "OPEN_SECONDS", 0.01)
    async with reading() as hub:
        hub.snapshots.opening.clear()
        pipe = Pipe()
        hub.subscribe(pipe)
        await eventually(lambda: pipe.failure)
        assert isinstance(pipe.failure, Unavailable)
