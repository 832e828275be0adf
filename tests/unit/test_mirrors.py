"""The first start on tables that an older system filled: each row once, or none and a reason."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from eventhub.channel import Endpoint, endpoints_of
from eventhub.columns import Column, Kind
from eventhub.config import Config, MessageEndpoint
from eventhub.errors import Misconfigured
from eventhub.memory import MemoryLog, MemoryStream
from eventhub.mirrors import mirror_tables, take_over_all
from projections.mirror_engine import MirrorFailed
from tests.builders import make_event
from tests.databases import Database, Sqlite

OLD = "CREATE TABLE simple (body TEXT, votes INTEGER, id TEXT PRIMARY KEY, timestamp TEXT)"
INSERT = "INSERT INTO simple (id, body, votes, timestamp) VALUES (%s, %s, %s, %s)"
COLUMNS = (Column("body"), Column("votes", Kind.INTEGER))
FITTING = [
    ("z", "first", 1, "2020-01-01T00:00:00"),
    ("a", "second", None, "2021-01-01 00:00:00Z"),
    ("m", None, 3, None),
]


def served(url: str | None, *, name: str = "simple", **more: Any) -> MessageEndpoint:
    values = {"table": "simple", "columns": COLUMNS, "mirror": url, **more}
    return MessageEndpoint(name=name, pattern=f"/{name}", **values)


def endpoints(*entries: MessageEndpoint) -> tuple[Endpoint, ...]:
    return endpoints_of(Config(path=Path("hub.yaml"), data=Path("data"), endpoints=entries))


@contextmanager
def no_progress(_label: str) -> Iterator[Callable[[int, int], None]]:
    yield lambda _reached, _last: None


async def start(database: Database, log: MemoryLog, **more: Any) -> MemoryStream:
    """Start a hub as far as its tables, and return the log of the table."""
    served_all = endpoints(served(database.url, **more))
    stream = await log.open(served_all[0].channel)
    tables = mirror_tables(served_all)
    try:
        await take_over_all(tables, served_all, log, {"simple": stream}, no_progress)
    finally:
        for table in tables.values():
            table.close()
    return stream


def ids(stream: MemoryStream) -> list[str]:
    return [stream.at(number).event.id for number in range(1, stream.length + 1)]


@pytest.fixture
def old(tmp_path: Path) -> Sqlite:
    """A table of the older system, with rows that fit."""
    database = Sqlite(tmp_path / "messages.db")
    database.execute(OLD)
    database.execute(INSERT, FITTING)
    return database


async def test_rows_become_events_once_in_the_order_in_which_they_were_inserted(
    old: Sqlite,
) -> None:
    log = MemoryLog()
    stream = await start(old, log)
    assert ids(stream) == ["z", "a", "m"]
    assert stream.at(2).event.row == {
        "body": "second",
        "votes": None,
        "id": "a",
        "user": None,
        "timestamp": "2021-01-01T00:00:00",
    }
    assert old.fetch("SELECT id, timestamp FROM simple")[1] == ("a", "2021-01-01T00:00:00")
    old.execute(INSERT, [("new", "of a program that does not know", 1, None)])
    await start(old, log)
    assert ids(stream) == ["z", "a", "m"]


async def test_an_empty_or_missing_table_starts_at_once(tmp_path: Path) -> None:
    database = Sqlite(tmp_path / "messages.db")
    assert (await start(database, MemoryLog())).length == 0
    assert database.fetch("SELECT body, votes, id FROM simple") == []


async def test_an_import_that_was_cut_off_goes_on(old: Sqlite) -> None:
    """The rows that are in the log already, and what became of them, are left alone."""
    log = MemoryLog()
    other = Sqlite(old.path.with_name("half.db"))
    other.execute(OLD)
    other.execute(INSERT, FITTING[:2])
    stream = await start(other, log)
    row = stream.at(1).event.row
    await stream.append(make_event(id="z", method="DELETE", created=1, row=None, was=row), expect=1)
    await start(old, log)
    assert ids(stream) == ["z", "a", "z", "m"]


async def test_rows_that_do_not_fit_stop_the_start_before_any_is_imported(old: Sqlite) -> None:
    rows = [(f"x{n}", None, "many", None) for n in range(30)] + [(None, "no id", 1, None)]
    old.execute(INSERT, rows)
    log = MemoryLog()
    for _ in range(2):
        with pytest.raises(Misconfigured) as caught:
            await start(old, log)
        lines = caught.value.message.splitlines()
        assert lines[0].endswith("messages.db: 31 of 34 rows do not fit, so none was imported:")
        assert lines[1] == "  row 4 (id 'x0'): votes: \"many\" is not a whole number (bad_value)"
        assert lines[-2:] == [
            "  and 11 more",
            "correct them, or leave them out with `import: skip`",
        ]
    assert (await log.open(endpoints(served(old.url))[0].channel)).length == 0
    assert len(old.fetch("SELECT * FROM simple")) == 34


async def test_rows_that_are_skipped_stay_in_a_copy_of_the_table(old: Sqlite) -> None:
    old.execute(INSERT, [("x", None, "many", None)])
    log = MemoryLog()
    stream = await start(old, log, import_="skip")
    assert ids(stream) == ["z", "a", "m"]
    assert len(old.fetch("SELECT * FROM simple_before_import")) == 4
    assert len(old.fetch("SELECT * FROM simple")) == 3
    await start(old, log, import_="skip")
    assert stream.length == 3


async def test_a_table_with_other_columns_is_named_before_anything_is_imported(
    old: Sqlite,
) -> None:
    old.execute("ALTER TABLE simple ADD COLUMN secret TEXT")
    log = MemoryLog()
    with pytest.raises(MirrorFailed, match="secret is not among `columns:`"):
        await start(old, log)
    assert (await log.open(endpoints(served(old.url))[0].channel)).length == 0


async def test_the_first_start_needs_the_database_and_later_ones_do_not(old: Sqlite) -> None:
    log = MemoryLog()
    away = old.path.with_name("away")
    old.path.rename(away)
    old.path.mkdir()
    with pytest.raises(MirrorFailed, match="unable to open") as caught:
        await start(old, log)
    assert caught.value.code == "unreachable"
    old.path.rmdir()
    away.rename(old.path)
    stream = await start(old, log)
    old.path.rename(away)
    old.path.mkdir()
    await start(old, log)
    assert stream.length == 3


async def test_an_empty_log_takes_the_rows_of_a_mirror_whose_log_was_lost(old: Sqlite) -> None:
    await start(old, MemoryLog())
    stream = await start(old, MemoryLog())
    assert ids(stream) == ["z", "a", "m"]


async def test_a_log_with_events_does_not_take_rows_of_another_log(old: Sqlite) -> None:
    await start(old, MemoryLog())
    log = MemoryLog()
    stream = await log.open(endpoints(served(old.url))[0].channel)
    await stream.append(make_event(), expect=0)
    await start(old, log)  # the mirror says so once the hub serves
    assert stream.length == 1
    assert len(old.fetch("SELECT id FROM simple")) == len(FITTING)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite://", "use sqlite:///FILE"),
        ("sqlite:///:memory:", "use sqlite:///FILE"),
        ("oracle://db/x", "oracle: a mirror can be in sqlite, postgres"),
        ("sqlite+aiosqlite:///x.db", "a mirror can be in sqlite"),
        ("://", "not the URL of a database"),
    ],
)
def test_urls_that_cannot_be_used_are_named(url: str, message: str) -> None:
    with pytest.raises(Misconfigured, match=message) as caught:
        mirror_tables(endpoints(served(url)))
    assert caught.value.message.startswith("url: simple: ")


def test_one_table_has_one_mirror() -> None:
    url, other = "sqlite:////tmp/a.db", "sqlite:////tmp/b.db"
    both = endpoints(served(url), served(None, name="again"), served(url, name="third"))
    assert list(mirror_tables(both)) == ["simple"]
    with pytest.raises(Misconfigured, match="url: other: simple gives table simple another url"):
        mirror_tables(endpoints(served(url), served(other, name="other")))


def test_the_mirrors_own_table_is_taken() -> None:
    with pytest.raises(Misconfigured, match="the name is taken by the mirror"):
        mirror_tables(endpoints(served("sqlite:////tmp/a.db", table="eventhub_mirror")))
