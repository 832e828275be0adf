"""A snapshot is loaded if it is whole and fits the log; otherwise its reason is logged."""

import asyncio
import shutil
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import duckdb
import pytest
from structlog.testing import capture_logs

from eventhub.channel import Channel
from eventhub.columns import Column, Columns, Kind
from eventhub.errors import Misconfigured
from eventhub.memory import MemoryStream
from projections.rebuilding import catch_up
from projections.store import Store
from projections.stored.folder import FolderObjects
from tests.projecting import history, proved
from tests.snapshotting import CHAT
from tests.storing import (
    DAMAGES,
    EVENTS,
    Damage,
    filled,
    load,
    renamed_manifest,
    rows,
    snapshot_of,
    take,
)

OTHER = Channel("notes", CHAT.columns)


def ignore_progress(reached: int, last: int) -> None:
    """Progress that is not shown."""


def size(path: Path | str) -> int:
    """Return the bytes of a file; 0 if there is none."""
    return Path(path).stat().st_size if Path(path).exists() else 0


def partial_files(folder: Path) -> list[Path]:
    return [each for each in folder.iterdir() if ".partial" in each.name]


async def opened_and_proved(path: Path, stream: MemoryStream) -> int:
    """Open tables, bring them up to the log, and prove them; return where they began."""
    async with Store(path, [stream.channel]) as store:
        began = (await store.begin(stream.channel.name, stream.epoch)).head
        await catch_up(store, stream, ignore_progress)
        report, found = await proved(store, stream)
    assert (report.is_equal, found) == (True, [])
    return began


async def test_an_empty_process_begins_with_the_snapshot_and_reads_the_rest(tmp_path: Path) -> None:
    objects = FolderObjects(tmp_path / "objects")
    stream = await filled(CHAT, EVENTS)
    await snapshot_of(tmp_path, stream, EVENTS[:700], objects)
    path = tmp_path / "new" / "p"
    assert await load(path, objects, stream) is not None
    assert path.stat().st_mode & 0o077 == 0
    assert await opened_and_proved(path, stream) == 700


async def test_the_snapshot_that_leaves_the_fewest_events_is_loaded(tmp_path: Path) -> None:
    objects = FolderObjects(tmp_path / "objects")
    stream = await filled(CHAT, EVENTS)
    made = [await snapshot_of(tmp_path, stream, EVENTS[:end], objects) for end in (700, 500)]
    assert await load(tmp_path / "p", objects, stream) == made[0]


async def test_old_tables_are_replaced_if_that_saves_enough(tmp_path: Path) -> None:
    objects = FolderObjects(tmp_path / "objects")
    stream = await filled(CHAT, EVENTS)
    await snapshot_of(tmp_path, stream, EVENTS[:700], objects)
    path = tmp_path / "p"
    async with Store(path, [CHAT]) as store:
        await store.begin("chat", stream.epoch)
        await store.append("chat", EVENTS[:300])
    assert await load(path, objects, stream, every=401) is None
    assert await load(path, objects, stream, every=400) is not None
    assert await load(path, objects, stream, every=1) is None
    assert await opened_and_proved(path, stream) == 700


async def test_tables_with_events_in_their_wal_are_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The WAL of a killed process would change the tables that take the place of its own."""
    objects = FolderObjects(tmp_path / "objects")
    stream = await filled(CHAT, EVENTS)
    await snapshot_of(tmp_path, stream, EVENTS[:700], objects)
    path, killed = tmp_path / "p", tmp_path / "killed"
    async with Store(killed, [CHAT]) as store:
        await store.begin("chat", stream.epoch)
        await store.append("chat", EVENTS[:50])
        for end in ("", ".wal"):  # as they are on disk if the process is killed now
            shutil.copyfile(f"{killed}{end}", f"{path}{end}")
    assert size(f"{path}.wal") > 0
    replace, sizes = Path.replace, []

    def noted(source: Path, target: Path) -> Path:
        """A kill may come right after this."""
        sizes.append(size(f"{path}.wal"))
        return replace(source, target)

    monkeypatch.setattr(Path, "replace", noted)
    assert await load(path, objects, stream) is not None
    assert sizes == [0]
    assert await opened_and_proved(path, stream) == 700


async def test_tables_that_another_process_has_open_are_left_alone(tmp_path: Path) -> None:
    objects = FolderObjects(tmp_path / "objects")
    stream = await filled(CHAT, EVENTS)
    await snapshot_of(tmp_path, stream, EVENTS[:700], objects)
    program = f"import duckdb; held = duckdb.connect({str(tmp_path / 'p')!r}); print(); input()"
    other = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdin=PIPE, stdout=PIPE
    )
    try:
        assert other.stdout is not None
        await other.stdout.readline()
        before = (tmp_path / "p").stat().st_ino
        assert await load(tmp_path / "p", objects, stream) is None
        assert (tmp_path / "p").stat().st_ino == before
        with pytest.raises(Misconfigured, match="lock"):
            await Store(tmp_path / "p", [CHAT]).open()
    finally:
        await other.communicate(b"\n")


async def test_a_file_that_is_no_database_is_left_to_the_operator(tmp_path: Path) -> None:
    objects = FolderObjects(tmp_path / "objects")
    stream = await filled(CHAT, EVENTS)
    await snapshot_of(tmp_path, stream, EVENTS[:700], objects)
    (tmp_path / "p").write_bytes(b"not a database")
    assert await load(tmp_path / "p", objects, stream) is None
    assert (tmp_path / "p").read_bytes() == b"not a database"


async def test_only_tables_that_fit_are_kept(tmp_path: Path) -> None:
    """One table has other columns, one is gone from the configuration, and one is new in it."""
    objects = FolderObjects(tmp_path / "objects")
    stream = await filled(CHAT, EVENTS)
    other = Channel("notes", Columns([Column("votes", Kind.REAL), Column("text")]))
    async with Store(tmp_path / "all", [CHAT, OTHER, Channel("gone", CHAT.columns)]) as store:
        for name in ("chat", "notes", "gone"):
            await store.begin(name, stream.epoch)
            await store.append(name, EVENTS)
        await take(store, objects)
    streams = [stream, MemoryStream(other), MemoryStream(Channel("new", CHAT.columns))]
    with capture_logs() as lines:
        assert await load(tmp_path / "p", objects, *streams) is not None
    [line] = [line for line in lines if line["event"] == "snapshot_loaded"]
    assert line["tables"] == {"chat": len(EVENTS)}
    assert line["left_out"] == {"notes": "is of another log", "new": "is not in it"}
    with duckdb.connect(tmp_path / "p") as connection:
        found = connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()
    assert {name for (name,) in found if not name.startswith("_")} == {"chat", "chat_history"}
    assert await opened_and_proved(tmp_path / "p", stream) == len(EVENTS)


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_snapshot_is_refused_and_the_one_before_it_loaded(
    damage: Damage, tmp_path: Path
) -> None:
    stream = await filled(CHAT, EVENTS)
    path, whole, broken = tmp_path / "p", tmp_path / "whole", tmp_path / "broken"
    before = await snapshot_of(tmp_path, stream, EVENTS[:500], FolderObjects(whole))
    made = await snapshot_of(tmp_path, stream, EVENTS[:700], FolderObjects(broken))
    reason = damage(broken)
    shutil.copytree(whole, broken, dirs_exist_ok=True)
    with capture_logs() as lines:
        assert await load(path, FolderObjects(broken), stream) == before
    refusals = [line for line in lines if line["event"] == "snapshot_refused"]
    assert [made.name if damage is not renamed_manifest else None for _ in refusals] == [
        line["snapshot"] if damage is not renamed_manifest else None for line in refusals
    ]
    assert reason in refusals[0]["reason"]
    assert await opened_and_proved(path, stream) == 500


async def refusal(path: Path, folder: Path, stream: MemoryStream) -> str:
    """Load; return why that was refused, after proving that the tables come from the log."""
    with capture_logs() as lines:
        assert await load(path, FolderObjects(folder), stream) is None
    [line] = [line for line in lines if line["event"] == "snapshot_refused"]
    assert size(path) == 0
    assert await opened_and_proved(path, stream) == 0
    return str(line["reason"])


async def test_a_snapshot_of_another_log_is_refused(tmp_path: Path) -> None:
    stream, other = await filled(CHAT, EVENTS), await filled(CHAT, EVENTS)
    assert stream.epoch != other.epoch
    await snapshot_of(tmp_path, other, EVENTS, FolderObjects(tmp_path / "o"))
    assert await refusal(tmp_path / "p", tmp_path / "o", stream) == "chat is of another log"


async def test_a_snapshot_with_other_columns_is_refused(tmp_path: Path) -> None:
    """Even if one was only added: events of other processes may have had a value in it."""
    more = Channel("chat", Columns([*CHAT.columns, Column("mood")]))
    stream = await filled(CHAT, EVENTS)
    await snapshot_of(tmp_path, stream, EVENTS, FolderObjects(tmp_path / "o"))
    stream.channel = more
    assert await refusal(tmp_path / "p", tmp_path / "o", stream) == "chat has other columns"


async def test_a_snapshot_beyond_the_end_of_the_log_is_refused(tmp_path: Path) -> None:
    """As after the log was restored from an older copy."""
    stream = await filled(CHAT, EVENTS[:300])
    await snapshot_of(tmp_path, stream, EVENTS[:301], FolderObjects(tmp_path / "o"))
    reason = await refusal(tmp_path / "p", tmp_path / "o", stream)
    assert reason == "chat is at event 301, and the log ends with 300"


async def test_a_snapshot_of_events_that_a_restored_log_has_lost_is_refused(
    tmp_path: Path,
) -> None:
    """The log went on from an older copy, and is longer now than the snapshot."""
    lost = history(CHAT, [("POST", f"lost{n}", {}) for n in range(700)])
    before = await filled(CHAT, lost)
    await snapshot_of(tmp_path, before, lost, FolderObjects(tmp_path / "o"))
    stream = await filled(CHAT, EVENTS)
    stream.epoch = before.epoch
    reason = await refusal(tmp_path / "p", tmp_path / "o", stream)
    assert reason == "chat has another event 700 than the log"


async def test_a_disk_without_room_is_no_place_for_a_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = await filled(CHAT, EVENTS)
    await snapshot_of(tmp_path, stream, EVENTS, FolderObjects(tmp_path / "o"))
    monkeypatch.setattr("projections.stored.finding.RESERVED_BYTES", 1 << 60)
    assert "has no room for its" in await refusal(tmp_path / "p", tmp_path / "o", stream)


async def test_what_a_killed_process_has_left_is_removed(tmp_path: Path) -> None:
    stream = await filled(CHAT, EVENTS)
    objects = FolderObjects(tmp_path / "objects")
    await snapshot_of(tmp_path, stream, EVENTS, objects)
    for end in (".partial", ".partial.wal"):
        (tmp_path / f".p{end}").write_bytes(b"x" * 100)
    assert await load(tmp_path / "p", objects, stream) is not None
    assert partial_files(tmp_path) == []
    assert await opened_and_proved(tmp_path / "p", stream) == len(EVENTS)


async def test_rows_are_loaded_as_they_are(tmp_path: Path) -> None:
    objects = FolderObjects(tmp_path / "objects")
    stream = await filled(CHAT, EVENTS)
    await snapshot_of(tmp_path, stream, EVENTS, objects)
    await load(tmp_path / "p", objects, stream)
    for table in ("chat", "chat_history"):
        assert rows(tmp_path / "p", table) == rows(tmp_path / f"{len(EVENTS)}.duckdb", table)
