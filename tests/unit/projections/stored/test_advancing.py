"""Open tables that are far behind take what they lack from a snapshot; others are not touched."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from structlog.testing import capture_logs

import projections.stored.advancing
from eventhub.background import background
from eventhub.channel import Channel
from eventhub.demand import Demand
from eventhub.errors import Unavailable
from eventhub.event import Sealed
from eventhub.feed import Pause
from eventhub.memory import MemoryStream
from eventhub.objects import Objects
from projections.projector import Projector
from projections.rebuilding import catch_up
from projections.store import Store
from projections.stored.advancing import FOLDER, Advance
from projections.stored.folder import FolderObjects
from tests.projecting import history, proved
from tests.snapshotting import CHAT
from tests.storing import DAMAGES, EVENTS, Damage, filled, opened_objects, rows, snapshot_of

OTHER = Channel("notes", CHAT.columns)


def advance(path: Path, objects: Objects, every: int = 1) -> Advance:
    return Advance(path, partial(opened_objects, objects), every)


@asynccontextmanager
async def behind(path: Path, stream: MemoryStream, have: int) -> AsyncIterator[Store]:
    """Open tables of two channels, of which one has some events of its stream."""
    async with Store(path, [CHAT, OTHER]) as store:
        await store.begin("chat", stream.epoch)
        await store.append("chat", EVENTS[:have])
        await store.fold("chat")
        yield store


async def reached_and_proved(
    store: Store, stream: MemoryStream, objects: Objects, every: int = 1
) -> int:
    """Take up tables and return where, after bringing them up to the log and proving them."""
    at = await advance(store.path, objects, every).take_up(store, stream)
    assert at == store.progress("chat")
    await catch_up(store, stream, lambda _reached, _last: None)
    report, found = await proved(store, stream)
    assert (report.is_equal, found) == (True, [])
    return at.head


@pytest.mark.parametrize("have", [0, 1, 300])
async def test_tables_that_are_behind_take_what_they_lack_from_a_snapshot(
    tmp_path: Path, have: int
) -> None:
    objects = FolderObjects(tmp_path / "objects")
    stream = await filled(CHAT, EVENTS)
    await snapshot_of(tmp_path, stream, EVENTS[:700], objects)
    with capture_logs() as lines:
        async with behind(tmp_path / "p", stream, have) as store:
            assert await reached_and_proved(store, stream, objects) == 700
    [line] = [line for line in lines if line["event"] == "snapshot_loaded"]
    assert (line["tables"], line["events_left"]) == ({"chat": 700}, len(EVENTS) - 700)
    await snapshot_of(tmp_path, stream, EVENTS, FolderObjects(tmp_path / "all"))
    for table in ("chat", "chat_history"):
        assert rows(tmp_path / "p", table) == rows(tmp_path / f"{len(EVENTS)}.duckdb", table)


@pytest.mark.parametrize(("every", "at"), [(600, 700), (601, 300)])
async def test_a_snapshot_is_taken_only_if_it_saves_enough(
    tmp_path: Path, every: int, at: int
) -> None:
    objects = FolderObjects(tmp_path / "objects")
    stream = await filled(CHAT, EVENTS)
    await snapshot_of(tmp_path, stream, EVENTS, objects)
    async with behind(tmp_path / "p", stream, 300) as store:
        expected = len(EVENTS) if at == 700 else 300
        assert await reached_and_proved(store, stream, objects, every) == expected


async def test_a_large_file_is_not_fetched_for_few_events_of_one_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projections.stored.advancing, "SMALL_BYTES", 0)
    objects = FolderObjects(tmp_path / "objects")
    stream = await filled(CHAT, EVENTS)
    made = await snapshot_of(tmp_path, stream, EVENTS, objects)
    for event_bytes, at in ((made.size // 600 - 1, 300), (made.size // 600 + 1, len(EVENTS))):
        monkeypatch.setattr(projections.stored.advancing, "EVENT_BYTES", event_bytes)
        async with behind(tmp_path / f"p{at}", stream, 300) as store:
            assert await reached_and_proved(store, stream, objects) == at


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_snapshot_is_refused_and_the_log_is_read(
    tmp_path: Path, damage: Damage
) -> None:
    folder = tmp_path / "objects"
    stream = await filled(CHAT, EVENTS)
    await snapshot_of(tmp_path, stream, EVENTS[:700], FolderObjects(folder))
    reason = damage(folder)
    with capture_logs() as lines:
        async with behind(tmp_path / "p", stream, 300) as store:
            assert await reached_and_proved(store, stream, FolderObjects(folder)) == 300
    [refused] = [line for line in lines if line["event"] == "snapshot_refused"]
    assert reason in refused["reason"]


async def test_after_a_damaged_snapshot_the_one_before_it_is_taken(tmp_path: Path) -> None:
    folder = tmp_path / "objects"
    stream = await filled(CHAT, EVENTS)
    for end in (500, 700):
        await snapshot_of(tmp_path, stream, EVENTS[:end], FolderObjects(folder))
    max(folder.glob("*.duckdb.*")).unlink()
    async with behind(tmp_path / "p", stream, 300) as store:
        assert await reached_and_proved(store, stream, FolderObjects(folder)) == 500


async def test_a_snapshot_with_other_events_than_the_table_is_refused(tmp_path: Path) -> None:
    """The last event is the same, but the tables have seen another past: one of them is wrong."""
    objects = FolderObjects(tmp_path / "objects")
    stream = await filled(CHAT, EVENTS)
    other = history(CHAT, [("POST", f"other{n}", {}) for n in range(300)])
    async with Store(tmp_path / "s", [CHAT]) as store:
        await store.begin("chat", stream.epoch)
        await store.append("chat", [*other, *EVENTS[300:]])
        await projections.stored.writing.SnapshotWriter(
            store, partial(opened_objects, objects), 1
        ).store_if_due()
    with capture_logs() as lines:
        async with behind(tmp_path / "p", stream, 300) as store:
            assert await reached_and_proved(store, stream, objects) == 300
    [refused] = [line for line in lines if line["event"] == "snapshot_refused"]
    assert refused["reason"] == "chat has another event 300 than the table"


async def test_objects_that_cannot_be_read_now_only_cost_time(tmp_path: Path) -> None:
    stream = await filled(CHAT, EVENTS)

    async def away() -> Objects:
        raise Unavailable("the broker does not answer")

    advance = Advance(tmp_path / "p", away, 1)
    with capture_logs() as lines:
        async with behind(tmp_path / "p", stream, 300) as store:
            for _ in range(3):  # as many tables as wake at once
                assert (await advance.take_up(store, stream)).head == 300
    events = [line["event"] for line in lines]
    assert events.count("snapshots_unavailable") == 1


def test_what_a_killed_process_has_fetched_is_removed(tmp_path: Path) -> None:
    (tmp_path / f"{FOLDER}x").mkdir()
    (tmp_path / f"{FOLDER}x" / "snapshot.duckdb").write_bytes(b"x")
    advance(tmp_path / "p", FolderObjects(tmp_path / "objects"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("stored", [700, len(EVENTS)])
async def test_a_reader_of_tables_that_rested_gets_the_rows_of_a_snapshot_and_the_rest(
    tmp_path: Path, stored: int
) -> None:
    """If the table rests again before all is copied, the next reader finds it further on."""
    objects = FolderObjects(tmp_path / "objects")
    stream = await filled(CHAT, EVENTS)
    await snapshot_of(tmp_path, stream, EVENTS[:stored], objects)
    followed: list[int] = []

    def follow(
        after: int, _pause: Pause
    ) -> AbstractAsyncContextManager[AsyncIterator[Sequence[Sealed]]]:
        followed.append(after)
        return stream.follow_sealed(after)

    async with behind(tmp_path / "p", stream, 300) as store, background() as tasks:
        take_up = advance(store.path, objects).take_up
        projector = Projector(store, stream, follow, demand=Demand(0), take_up=take_up)
        tasks.start(projector.run(), name="projector")
        for delay in (0, 0, 0):
            with pytest.raises(Unavailable):
                await projector.caught_up(len(EVENTS), delay)
            await asyncio.sleep(0.01)
        await projector.caught_up(len(EVENTS), 10)
        assert (await proved(store, stream))[0].is_equal
    assert set(followed) <= {stored, len(EVENTS)}
