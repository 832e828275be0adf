"""A proof reports every place where the tables, the history or the log are wrong."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventhub.channel import Channel
from eventhub.columns import Column, Columns, Kind
from eventhub.event import StoredEvent
from eventhub.memory import MemoryStream
from eventhub.methods import Method
from projections.rebuilding import rebuild
from projections.remote import RemoteListing
from projections.store import Store
from projections.tables_server import TablesServer
from projections.tables_socket import is_served
from projections.verify import Difference, verify
from tests.projecting import EVERY_KIND, Change, history, proved, rows_after, write

CHAT = Channel(
    "chat", Columns([Column("votes", Kind.INTEGER), Column("text"), Column("tags", Kind.JSON)])
)


def changes(count: int, rows: int) -> list[Change]:
    chance = random.Random(7)
    methods: list[Method] = ["POST", "PUT", "PUT", "DELETE"]
    return [
        (
            chance.choice(methods),
            f"r{chance.randrange(rows)}",
            {"votes": n, "text": f"text {n}", "tags": [n, {"a": None}]},
        )
        for n in range(count)
    ]


EVENTS = history(CHAT, changes(300, 12))
VICTIM = next(event for event in EVENTS[9:] if event.event.method == "PUT")
AT = VICTIM.sequence
SWAP = (
    f"UPDATE chat_history SET _seq = CASE _seq WHEN {AT} THEN {AT + 1} ELSE {AT} END"
    f" WHERE _seq IN ({AT}, {AT + 1})"
)
COPY = "INSERT INTO {0} SELECT * FROM {0} WHERE _seq = {1}"


def ignore_progress(reached: int, last: int) -> None:
    """The progress is of no interest here."""


async def built(path: Path, stream: MemoryStream, events: list[StoredEvent]) -> None:
    await write(stream, events)
    async with Store(path, [stream.channel]) as store:
        await rebuild(store, stream, ignore_progress)


async def test_tables_that_hold_nothing_yet_are_equal_to_their_log(tmp_path: Path) -> None:
    """They belong to no log before the first event."""
    stream = MemoryStream(CHAT)
    async with Store(tmp_path / "p", [CHAT]) as store:
        report, found = await proved(store, stream)
        assert (report.is_equal, report.head, found) == (True, 0, [])
        await write(stream, EVENTS)
        report, found = await proved(store, stream)
        assert (report.is_equal, report.head, found) == (True, 0, [])


async def found_after(tmp_path: Path, *damage: str) -> list[Difference]:
    stream = MemoryStream(CHAT)
    await built(tmp_path / "p", stream, EVENTS)
    with duckdb.connect(tmp_path / "p") as connection:
        for sql in damage:
            connection.execute(sql)
    async with Store(tmp_path / "p", [CHAT]) as store:
        report, found = await proved(store, stream)
    assert report.is_equal == (not found)
    return found


async def test_untouched_tables_are_equal_to_the_log(tmp_path: Path) -> None:
    assert await found_after(tmp_path) == []


async def test_every_kind_of_column_is_equal_in_log_and_tables(tmp_path: Path) -> None:
    values = {column.name: column.default for column in EVERY_KIND.columns if column.name != "id"}
    stream = MemoryStream(EVERY_KIND)
    change: list[Change] = [("POST", "a", values), ("PUT", "a", {}), ("DELETE", "a", {})]
    await built(tmp_path / "p", stream, history(EVERY_KIND, [*change, *change[:2]]))
    async with Store(tmp_path / "p", [EVERY_KIND]) as store:
        assert (await proved(store, stream))[1] == []


@pytest.mark.parametrize(
    ("column", "sql", "held"),
    [
        ("user", "\"user\" = 'mallory'", "mallory"),
        ("_user", "_user = 'mallory'", "mallory"),
        ("text", "text = NULL", None),
        ("votes", "votes = votes + 1", VICTIM.event.message["votes"] + 1),
        ("tags", "tags = '[9, {\"a\": 0}]'", [9, {"a": 0}]),
        ("_method", "_method = 'WRITE'", "WRITE"),
        ("_endpoint", "_endpoint = 'other'", "other"),
        ("_created_seq", "_created_seq = 0", 0),
        ("_time", "_time = TIMESTAMP '2001-01-01 00:00:00'", "2001-01-01T00:00:00.000000Z"),
        ("id", "id = 'forged'", "forged"),
    ],
)
async def test_a_forged_value_in_the_history_is_reported(
    tmp_path: Path, column: str, sql: str, held: object
) -> None:
    [found] = await found_after(tmp_path, f"UPDATE chat_history SET {sql} WHERE _seq = {AT}")
    assert (found.table, found.id, found.sequence) == ("chat_history", VICTIM.event.id, AT)
    assert (found.column, found.held) == (column, held)
    assert found.log != held


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (f"DELETE FROM chat_history WHERE _seq = {AT}", {(AT, "is missing")}),
        (COPY.format("chat_history", AT), {(AT, "is there more than once")}),
        (f"UPDATE chat_history SET _seq = 100000 WHERE _seq = {AT}",
         {(AT, "is missing"), (100000, "is in the table, not in the log")}),
        (f"UPDATE chat_history SET _seq = NULL WHERE _seq = {AT}",
         {(AT, "is missing"), (None, "is in the table, not in the log")}),
        (f"UPDATE chat_history SET _seq = -3 WHERE _seq = {AT}",
         {(AT, "is missing"), (-3, "is in the table, not in the log")}),
        (SWAP, {(AT, "differs"), (AT + 1, "differs")}),
    ],
    ids=["deleted", "doubled", "moved", "unnumbered", "negative", "swapped"],
)  # fmt: skip
async def test_a_row_out_of_place_in_the_history_is_reported(
    tmp_path: Path, damage: str, named: set[tuple[int | None, str]]
) -> None:
    found = await found_after(tmp_path, damage)
    assert {(each.sequence, each.what) for each in found} == named
    assert {each.table for each in found} == {"chat_history"}


async def test_every_forged_row_in_the_history_is_reported(tmp_path: Path) -> None:
    found = await found_after(tmp_path, "UPDATE chat_history SET _user = 'mallory'")
    assert [each.sequence for each in found] == list(range(1, len(EVENTS) + 1))
    assert {each.column for each in found} == {"_user"}


@pytest.mark.parametrize(
    ("damage", "column", "what"),
    [
        ("UPDATE chat SET text = 'forged' WHERE id = $id", "text", "differs"),
        ("DELETE FROM chat WHERE id = $id", None, "is missing"),
        (
            "UPDATE chat SET id = 'new' || id WHERE id = $id",
            None,
            "is in the table, not in the log",
        ),
        ("UPDATE chat SET id = NULL WHERE id = $id", None, "is in the table, not in the log"),
        (
            "INSERT INTO chat SELECT * FROM chat WHERE id = $id",
            None,
            "is there more than once",
        ),
        ("UPDATE chat SET _seq = 1 WHERE id = $id", "_seq", "differs"),
        ("UPDATE chat SET _created_seq = 0 WHERE id = $id", "_created_seq", "differs"),
        ("UPDATE chat SET _time = NULL WHERE id = $id", "_time", "differs"),
    ],
)
async def test_a_forged_current_row_is_reported(
    tmp_path: Path, damage: str, column: str | None, what: str
) -> None:
    victim, (sequence, _, _) = next(iter(rows_after(EVENTS).items()))
    found = await found_after(tmp_path, damage.replace("$id", f"'{victim}'"))
    assert (column, what) in [(each.column, each.what) for each in found]
    assert {each.table for each in found} == {"chat"}
    assert sequence in [each.sequence for each in found]


async def test_tables_of_another_epoch_are_not_compared(tmp_path: Path) -> None:
    stream = MemoryStream(CHAT)
    await built(tmp_path / "p", stream, EVENTS)
    async with Store(tmp_path / "p", [CHAT]) as store:
        stream.epoch = "e2"
        report, found = await proved(store, stream)
    assert (report.same_epoch, report.is_equal, found) == (False, False, [])


TAMPERED = st.sampled_from(["chat", "chat_history"])
VALUE = st.sampled_from(["text", '"user"', "id", "_created_seq", "_seq", "_time", "tags"])


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(table=TAMPERED, column=VALUE, at=st.integers(0, 10**6), row=st.integers(0, 10**6))
def test_any_change_to_the_tables_is_noticed(
    tmp_path: Path, table: str, column: str, at: int, row: int
) -> None:
    path = tmp_path / f"{table}-{abs(hash((column, at, row)))}"

    async def check() -> None:
        stream = MemoryStream(CHAT)
        await built(path, stream, EVENTS[:40])
        with duckdb.connect(path) as connection:
            rows = connection.execute(f"SELECT rowid FROM {table}").fetchall()
            value = {"_time": "now()", "tags": f"'[{at}]'"}.get(column, f"'{at}'")
            victim = rows[row % len(rows)][0]
            before = connection.execute(f"SELECT * FROM {table} ORDER BY rowid").fetchall()
            connection.execute(f"UPDATE {table} SET {column} = {value} WHERE rowid = {victim}")
            after = connection.execute(f"SELECT * FROM {table} ORDER BY rowid").fetchall()
        async with Store(path, [CHAT]) as store:
            report, _ = await proved(store, stream)
        assert report.is_equal == (sorted(map(repr, before)) == sorted(map(repr, after)))

    asyncio.run(check())


# --- While a hub runs


@asynccontextmanager
async def served(store: Store, folder: Path) -> AsyncIterator[None]:
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(TablesServer(folder, store).run(stop))
        async with asyncio.timeout(40):
            while not is_served(folder):
                await asyncio.sleep(0.01)
        try:
            yield
        finally:
            stop.set()


async def test_tables_in_use_are_read_through_the_hub_that_has_them(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 40)
    folder.mkdir()
    stream = MemoryStream(CHAT)
    await built(tmp_path / "p", stream, EVENTS)
    with duckdb.connect(tmp_path / "p") as connection:
        connection.execute(f"UPDATE chat_history SET text = 'forged' WHERE _seq = {AT}")
    found: list[Difference] = []
    async with Store(tmp_path / "p", [CHAT]) as store, served(store, folder):
        assert (folder / "tables.sock").stat().st_mode & 0o777 == 0o600
        async with RemoteListing.open(folder, "chat") as listing:
            report = await verify(listing, stream, found.append, ignore_progress)
        assert (await proved(store, stream))[1] == found
    assert (report.different, found[0].sequence, found[0].held) == (1, AT, "forged")
    assert not is_served(folder)
