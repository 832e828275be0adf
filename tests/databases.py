"""Databases of mirrors: SQLite, PostgreSQL and MariaDB, as other programs see them."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.database_server import DatabaseServer
from tests.mariadb import MariaDB
from tests.postgres import Postgres


class Database(Protocol):
    """A database that a mirror is in."""

    url: str

    def fetch(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a query and return its rows."""

    def execute(self, statement: str, rows: list[tuple[Any, ...]] | None = None) -> None:
        """Run a statement, or one for each row."""


class Sqlite:
    """A file that other programs open with Python's own driver."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.url = f"sqlite:///{path}"

    def fetch(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a query and return its rows."""
        with closing(sqlite3.connect(self.path)) as connection:
            return connection.execute(statement).fetchall()

    def execute(self, statement: str, rows: list[tuple[Any, ...]] | None = None) -> None:
        """Run a statement, or one for each row, with PostgreSQL's mark for a parameter."""
        with closing(sqlite3.connect(self.path)) as connection, connection:
            if rows is None:
                connection.execute(statement)
            else:
                connection.executemany(statement.replace("%s", "?"), rows)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """A server for all tests of a process."""
    with Postgres.running() as server:
        yield server


@pytest.fixture
def postgres(postgres_server: Postgres) -> Postgres:
    """An empty database of it."""
    postgres_server.empty()
    return postgres_server


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariaDB]:
    """A server for all tests of a process."""
    with MariaDB.running() as server:
        yield server


@pytest.fixture
def mariadb(mariadb_server: MariaDB) -> MariaDB:
    """An empty database of it."""
    mariadb_server.empty()
    return mariadb_server


@pytest.fixture(params=["sqlite", "postgres", "mariadb"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return Sqlite(tmp_path / "messages.db")
    found: DatabaseServer = request.getfixturevalue(request.param)
    return found
