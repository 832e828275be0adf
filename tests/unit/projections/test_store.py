"""A batch and its checkpoint are stored together, and once, even if events are sent again."""

from pathlib import Path

import duckdb
import pytest

from eventhub.channel import Channel
from eventhub.columns import Column, Columns, Kind
from eventhub.errors import Misconfigured, Unavailable
from projections.reader import Reader
from projections.store import Connection, Store
from tests.projecting import history

CHAT = Channel("chat", Columns([Column("votes", Kind.INTEGER)]))
EVENTS = history(CHAT, [("POST", f"r{n}", {"votes": n}) for n in range(40)])


def count(connection: Connection) -> int:
    [(rows,)] = connection.execute("SELECT count(*) FROM chat_history").fetchall()
    return int(rows)


async def test_events_that_the_checkpoint_covers_are_ignored(tmp_path: Path) -> None:
    async with Store(tmp_path / "p", [CHAT]) as store, store.reader() as reader:
        await store.append("chat", EVENTS[:20])
        await store.append("chat", EVENTS[10:25])
        await store.append("chat", EVENTS[3:5])
        assert store.progress("chat").head == 25
        assert await store.read(reader, count) == 25


async def test_a_batch_that_fails_leaves_nothing(tmp_path: Path) -> None:
    bad = history(CHAT, [("POST", f"s{n}", {"votes": n}) for n in range(4)], first=41)
    bad += history(CHAT, [("POST", "bad", {"votes": "no number"})], first=45)
    async with Store(tmp_path / "p", [CHAT]) as store:
        await store.append("chat", EVENTS)
        with pytest.raises(duckdb.Error):
            await store.append("chat", bad)
        await store.recover()
        assert (await store.append("chat", bad[:4])).head == 44
        async with store.reader() as reader:
            assert await store.read(reader, count) == 44


@pytest.mark.parametrize(
    ("own", "table"), [("_checkpoint", "chat_history"), ("_watermark", "chat")]
)
async def test_rows_are_not_stored_without_their_sequence(
    tmp_path: Path, own: str, table: str
) -> None:
    """One transaction: a table that refuses sequences above 20 fails after the rows are written."""
    types = "channel VARCHAR, epoch VARCHAR, seq BIGINT"
    types = types if own == "_checkpoint" else "channel VARCHAR, seq BIGINT"
    with duckdb.connect(tmp_path / "p") as connection:
        connection.execute(f"CREATE TABLE {own} ({types}, CHECK (seq <= 20))")
    async with Store(tmp_path / "p", [CHAT]) as store:
        await store.append("chat", EVENTS[:20])
        await store.fold("chat")
        with pytest.raises(duckdb.ConstraintException):
            await append_and_fold(store)
        async with store.reader() as reader:
            assert await store.read(reader, lambda c: highest(c, table)) == 20


async def append_and_fold(store: Store) -> None:
    await store.append("chat", EVENTS[20:])
    await store.fold("chat")


def highest(connection: Connection, table: str) -> int:
    [(sequence,)] = connection.execute(f"SELECT max(_seq) FROM {table}").fetchall()
    return int(sequence)


async def test_a_reader_sees_one_moment_while_events_are_stored(tmp_path: Path) -> None:
    async with Store(tmp_path / "p", [CHAT]) as store, store.reader() as reader:
        await store.append("chat", EVENTS[:10])
        assert await store.read(reader, count) == 10
        await store.append("chat", EVENTS[10:])
        assert await store.read(reader, count) == 10
        async with store.reader() as later:
            assert await store.read(later, count) == 40


async def test_another_epoch_starts_over(tmp_path: Path) -> None:
    async with Store(tmp_path / "p", [CHAT]) as store:
        await store.begin("chat", "first")
        await store.append("chat", EVENTS)
        assert (await store.begin("chat", "first")).head == 40
    async with Store(tmp_path / "p", [CHAT]) as store:
        assert store.progress("chat").epoch == "first"
        assert (await store.begin("chat", "second")).head == 0
        async with store.reader() as reader:
            assert await store.read(reader, count) == 0


async def test_of_many_channels_only_those_of_another_epoch_start_over(tmp_path: Path) -> None:
    other = Channel("other", CHAT.columns)
    async with Store(tmp_path / "p", [CHAT, other]) as store:
        await store.begin_all({"chat": "first", "other": "first"})
        await store.append("chat", EVENTS)
    async with Store(tmp_path / "p", [CHAT, other]) as store:
        assert store.progress("other").epoch == "first"  # although nothing was ever appended
        await store.begin_all({"chat": "first", "other": "second"})
        assert [store.progress(name).head for name in ("chat", "other")] == [40, 0]
        assert store.progress("other").epoch == "second"
        await store.begin_all({"chat": "third", "other": "second"})
        async with store.reader() as reader:
            assert await store.read(reader, count) == 0


async def test_close_folds_the_stored_events(tmp_path: Path) -> None:
    async with Store(tmp_path / "p", [CHAT]) as store:
        await store.append("chat", EVENTS)
        assert store.progress("chat").watermark == 0
    async with Store(tmp_path / "p", [CHAT]) as store:
        assert store.progress("chat").watermark == 40


@pytest.mark.parametrize(
    "attack",
    [
        "SELECT * FROM read_text('/etc/hostname')",
        "COPY chat TO '/tmp/stolen.csv'",
        "SELECT * FROM EVENTS",
        "INSTALL httpfs",
        "SET enable_external_access = true",
        "DELETE FROM chat_history",
    ],
)
async def test_a_reader_reaches_nothing_but_the_tables(tmp_path: Path, attack: str) -> None:
    async with Store(tmp_path / "p", [CHAT]) as store, store.reader() as reader:
        with pytest.raises(Unavailable):
            await store.read(reader, lambda connection: connection.execute(attack).fetchall())


async def test_a_reader_ends_with_its_block(tmp_path: Path) -> None:
    async with Store(tmp_path / "p", [CHAT]) as store:
        left: Reader
        async with store.reader() as left:
            await store.read(left, lambda connection: connection.execute("SELECT 1"))
    with pytest.raises(Unavailable, match="closed"):
        left.run(count)


async def test_a_file_that_is_not_duckdb_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "p").write_bytes(b"a diary, not a database" * 1000)
    with pytest.raises(Misconfigured, match="p: "):
        await Store(tmp_path / "p", [CHAT]).open()
