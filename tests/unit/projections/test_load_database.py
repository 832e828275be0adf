"""The rows of a database are read without a change to it, and errors hide its password."""

import sqlite3
from pathlib import Path

import pytest

from eventhub.columns import Column, Columns
from eventhub.errors import EventHubError
from projections.load_database import open_database

COLUMNS = Columns([Column("text")])


@pytest.fixture
def url(tmp_path: Path) -> str:
    file = tmp_path / "old.db"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE notes (id TEXT, text TEXT)")
        connection.executemany("INSERT INTO notes VALUES (?, ?)", [("a", "x"), ("b", "y")])
    return f"sqlite:///{file}"


def test_a_table_or_a_query_is_read(url: str) -> None:
    whole = open_database(url, COLUMNS, table="notes", query=None)
    assert [row["text"] for array in whole.arrays() for row in array] == ["x", "y"]
    some = open_database(url, COLUMNS, table="", query="SELECT * FROM notes WHERE id = 'b'")
    assert [row["id"] for array in some.arrays() for row in array] == ["b"]


def test_a_database_that_does_not_exist_is_not_created(tmp_path: Path) -> None:
    file = tmp_path / "none.db"
    with pytest.raises(EventHubError, match="cannot be read"):
        open_database(f"sqlite:///{file}", COLUMNS, table="notes", query=None)
    assert not file.exists()


@pytest.mark.parametrize("query", ["DELETE FROM notes", "DROP TABLE notes"])
def test_a_query_cannot_write(url: str, query: str) -> None:
    with pytest.raises(EventHubError):
        open_database(url, COLUMNS, table="", query=query)


def test_an_error_does_not_show_the_password() -> None:
    with pytest.raises(EventHubError) as caught:
        open_database("oddsql://ann:secret@host/db", COLUMNS, table="t", query=None)
    assert "secret" not in caught.value.message
