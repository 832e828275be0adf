"""Clients that ask for the same rows at the same time share one snapshot, and miss nothing."""

import asyncio
from typing import Any

import pytest

from eventhub.delivery import replay as module
from eventhub.delivery.frames import Form
from eventhub.delivery.start import Start
from eventhub.errors import Unavailable
from tests.subscribing import Pipe, Reading, append, eventually, reading, turns


async def post(hub: Reading, *ids: str) -> None:
    for row_id in ids:
        await hub.write(_method="POST", id=row_id, text="a")


async def test_fifty_clients_at_once_share_one_snapshot() -> None:
    async with reading() as hub:
        await post(hub, *"12345")
        pipes = [Pipe() for _ in range(50)]
        for pipe in pipes:
            hub.subscribe(pipe)
        await eventually(lambda: all(len(pipe.frames) == 6 for pipe in pipes))
        assert hub.snapshots.opened == 1
        assert all(pipe.frames == pipes[0].frames for pipe in pipes)


async def test_a_client_that_joins_an_older_replay_gets_its_own_write_as_a_row() -> None:
    async with reading() as hub:
        await post(hub, "1")
        await hub.joined(Pipe())
        await append(hub.stream, _method="POST", id="2")  # not handed out yet
        pipe = Pipe()
        await hub.joined(pipe, start=Start(position=None, head=2))
        assert hub.snapshots.opened == 1
        assert [frame.get("id") for frame in pipe.frames] == ["1", "2", None]
        assert pipe.frames[2]["_ready"]["position"] == f"{hub.stream.epoch}.2"


async def test_a_client_that_comes_after_a_replay_has_ended_gets_a_new_one(
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
async def test_only_clients_that_ask_for_the_same_rows_share_a_replay(
    form: Form, args: dict[str, Any]
) -> None:
    async with reading() as hub:
        await post(hub, "1", "2")
        await hub.joined(Pipe())
        for _ in range(2):
            await hub.joined(Pipe(), hub.view(form, **args))
        assert hub.snapshots.opened == 2


@pytest.mark.parametrize("args", [{"_limit": ["2"], "_sort": ["-id"]}, {"_offset": ["1"]}])
async def test_a_sorted_or_limited_replay_is_not_joined_after_a_new_row(
    args: dict[str, Any],
) -> None:
    async with reading() as hub:
        await post(hub, "1", "2")
        await hub.joined(Pipe(), hub.view(**args))
        await post(hub, "3")
        await hub.joined(Pipe(), hub.view(**args))
        assert hub.snapshots.opened == 2


@pytest.mark.parametrize("args", [{}, {"_limit": ["2"], "_sort": ["-id"]}])
async def test_an_event_outside_its_filter_does_not_make_a_replay_old(args: dict[str, Any]) -> None:
    async with reading() as hub:
        await post(hub, "1", "2")
        await hub.joined(Pipe(), hub.view(text=["a"], **args))
        await hub.write(_method="POST", id="3", text="b")
        await hub.joined(pipe := Pipe(), hub.view(text=["a"], **args))
        assert hub.snapshots.opened == 1
        assert pipe.frames[-1]["_ready"]["position"] == f"{hub.stream.epoch}.3"


@pytest.mark.parametrize("change", [{"_method": "PUT", "text": "b"}, {"_method": "DELETE"}])
async def test_a_changed_row_makes_a_replay_old(change: dict[str, Any]) -> None:
    async with reading() as hub:
        await post(hub, "1", "2")
        await hub.joined(Pipe(), hub.view(Form.BARE))
        await hub.write(id="1", **change)
        await hub.joined(pipe := Pipe(), hub.view(Form.BARE))
        assert hub.snapshots.opened == 2
        assert all("_method" not in frame for frame in pipe.frames)


async def test_a_replay_may_be_joined_as_long_as_it_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "JOINABLE_SECONDS", 0.0)
    async with reading() as hub:
        await post(hub, *"12345")
        slow = Pipe(capacity=10)
        hub.subscribe(slow)
        await eventually(lambda: slow.is_full)
        for _ in range(3):
            await hub.joined(Pipe())
        assert hub.snapshots.opened == 1


async def test_a_waiting_client_joins_the_first_replay_of_its_rows_that_opens() -> None:
    """No client waits behind another client's request."""
    async with reading() as hub:
        await post(hub, *"12345")
        hub.snapshots.opening.clear()
        order: list[str] = []

        async def read(client: str) -> None:
            async with hub.channel.replays.open(hub.view(), 5, client=client) as past:
                assert len(b"".join([part async for part in past.parts()])) > 5
                order.append(client)

        async with asyncio.TaskGroup() as group:
            for client in ("one", "two", "two"):
                group.create_task(read(client))
            await turns(5)
            assert hub.snapshots.waiting == 2
            hub.snapshots.opening.set()
        assert sorted(order) == ["one", "two", "two"]


async def test_a_replay_older_than_the_ring_is_not_joined() -> None:
    """A client that joined it would have to read the log."""
    async with reading(ring_bytes=0) as hub:
        await post(hub, "1")
        await hub.joined(Pipe())
        await post(hub, "2")
        pipe = Pipe()
        await hub.joined(pipe)
        assert hub.snapshots.opened == 2
        assert [frame.get("_seq") for frame in pipe.frames] == [1, 2, None]


async def test_a_reader_that_leaves_does_not_end_the_replay_of_the_others() -> None:
    async with reading() as hub:
        await post(hub, *"12345")
        hub.snapshots.gate = asyncio.Semaphore(1)
        pipes = [Pipe() for _ in range(3)]
        subscribers = [hub.subscribe(pipe) for pipe in pipes]
        await turns(5)
        subscribers[0].stop()  # the first one
        for _ in range(9):
            hub.snapshots.gate.release()
        await eventually(lambda: len(pipes[1].frames) == len(pipes[2].frames) == 6)
        assert hub.snapshots.opened == 1


async def test_an_unfinished_replay_ends_with_its_last_reader() -> None:
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


async def test_a_client_that_comes_as_the_last_reader_leaves_is_served() -> None:
    """Both before the replay is open and after."""
    for count in range(6):
        async with reading() as hub:
            await post(hub, "1", "2")
            first = hub.subscribe(Pipe())
            await turns(count)
            first.stop()
            second = Pipe()
            await hub.joined(second)
            assert len(second.frames) == 3


async def test_complete_replays_without_readers_are_kept_within_a_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # On a slow machine the time to join would end, and close the first replay too.
    monkeypatch.setattr(module, "JOINABLE_SECONDS", 60.0)
    async with reading() as hub:
        await post(hub, "1")
        await hub.joined(Pipe())
        await turns(20)  # its reader has left, and it is kept
        assert hub.snapshots.closed == 0
        monkeypatch.setattr(module, "MAX_UNREAD_BYTES", 1)
        await hub.joined(Pipe(), hub.view(text=["a"]))
        await eventually(lambda: hub.snapshots.closed == 1)


async def test_a_failure_is_raised_to_every_waiting_client_and_to_none_later() -> None:
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
