"""Any value of any column, and any history of rows, is read back from another database."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventhub.channel import Channel
from eventhub.columns import Column, Columns, Digits, Kind
from projections.mirror_table import MirrorTable
from projections.verify import encoded
from tests.databases import Sqlite
from tests.examples import examples
from tests.mariadb import MariaDB
from tests.postgres import Postgres
from tests.projecting import Change, Row, history, rows_after
from tests.values import values

SHORT = Column("short decimal", Kind.DECIMAL, digits=Digits(15, 4))
COLUMNS = [Column(f"a {kind.name}", kind) for kind in Kind] + [SHORT]
CHANNEL = Channel("every kind", Columns(COLUMNS))
SHORT_VALUES = st.none() | st.integers(-(10**15) + 1, 10**15 - 1).map(
    lambda number: SHORT.convert(f"{number}e-4")
)
FIELDS = {c.name: SHORT_VALUES if c is SHORT else values(c) for c in COLUMNS}
CHANGES: st.SearchStrategy[list[Change]] = st.lists(
    st.tuples(
        st.sampled_from(["POST", "PUT", "DELETE"]),
        st.sampled_from("abcd"),
        st.fixed_dictionaries({}, optional=FIELDS),
    ),
    max_size=20,
)
BATCHES = st.lists(st.integers(1, 6), min_size=20, max_size=20)


@contextmanager
def sqlite() -> Iterator[str]:
    with TemporaryDirectory() as folder:
        yield Sqlite(Path(folder) / "any.db").url


def held(table: MirrorTable) -> dict[Any, Row]:
    with table.listing() as (_, chunks):
        return {row["id"]: row for chunk in chunks for row in chunk}


def check(url: str, changes: list[Change], sizes: list[int]) -> None:
    """Apply a history in batches, and compare what is read back with the slow, obvious fold."""
    events, table = history(CHANNEL, changes), MirrorTable(CHANNEL, url)
    try:
        table.clear("e1")
        head = 0
        for size in sizes:
            if batch := events[head : head + size]:
                head = table.apply("e1", head, batch)
        for event in events[head:]:
            head = table.apply("e1", head, [event])
        expected = {
            row_id: table.values.kept(row) for row_id, (_, _, row) in rows_after(events).items()
        }
        assert encoded(held(table)) == encoded(expected)
        assert head == len(events)
    finally:
        table.close()


@given(CHANGES, BATCHES)
def test_sqlite_holds_what_any_history_comes_to(changes: list[Change], sizes: list[int]) -> None:
    with sqlite() as url:
        check(url, changes, sizes)


def test_postgresql_holds_what_any_history_comes_to(postgres: Postgres) -> None:
    @given(CHANGES, BATCHES)
    def check_all(changes: list[Change], sizes: list[int]) -> None:
        check(postgres.url, changes, sizes)

    check_all()


def test_mariadb_holds_what_any_history_comes_to(mariadb: MariaDB) -> None:
    @settings(max_examples=examples(25), deadline=None)
    @given(CHANGES, BATCHES)
    def check_all(changes: list[Change], sizes: list[int]) -> None:
        check(mariadb.url, changes, sizes)

    check_all()


@pytest.mark.parametrize("number", [0.0, -0.0])
@given(st.data())
def test_only_what_a_database_cannot_keep_is_changed(number: float, data: st.DataObject) -> None:
    """U+0000 in PostgreSQL is shown by its symbol, and there is one zero."""
    row = CHANNEL.columns.new_row({"id": "a", **{n: data.draw(v) for n, v in FIELDS.items()}})
    table = MirrorTable(CHANNEL, "postgresql://localhost/none")
    kept = table.values.kept({**row, "a REAL": number})
    assert repr(kept.pop("a REAL")) == "0.0"
    for name, value in kept.items():
        is_text = CHANNEL.columns[name].kind is Kind.TEXT
        text = value.replace("\u2400", "\0") if is_text and value is not None else value
        assert text == (
            row[name] if not is_text or row[name] is None else row[name].replace("\u2400", "\0")
        )
