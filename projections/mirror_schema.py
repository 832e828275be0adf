"""Mirror schema: the table of a channel in another database, made and kept as its columns say."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from eventhub.channel import Channel
from eventhub.columns import Column
from projections.mirror_columns import MYSQL, is_narrow, misfit, type_of
from projections.mirror_engine import MirrorFailed

COPY: Final = "_before_import"
"""Ends the name of a copy of a table whose rows did not all become events."""
TRANSACTIONS: Final[dict[str, Any]] = {f"{dialect}_engine": "InnoDB" for dialect in MYSQL}
"""Options of a table; other engines of MySQL have no transactions."""


class Schema:
    """The definition of one channel's table. Each method works in a transaction that is open."""

    def __init__(self, channel: Channel, dialect: sa.Dialect, name: str) -> None:
        """Get ready.

        Args:
            channel: whose table.
            dialect: of the database.
            name: of the table, for people.
        """
        self._table = channel.name
        self._columns = {column.name: column for column in channel.columns}
        self._dialect = dialect
        self._name = name
        described = {c.name: [c.sql_type, c.default] for c in channel.columns}
        self.described = msgspec.json.encode(described).decode()
        """What decides the stored values."""

    def make(self, connection: sa.Connection, described: str) -> None:
        """Make the table, or bring an empty one, or one of another program, to the columns.

        Raises:
            MirrorFailed: as `match`.
        """
        if sa.inspect(connection).has_table(self._table):
            self.match(connection, described)
            self._index_id(connection)
            return
        columns = [
            sa.Column(column.name, self._type(column), primary_key=column.name == "id")
            for column in self._columns.values()
        ]
        sa.Table(self._table, sa.MetaData(), *columns, **TRANSACTIONS).create(connection)

    def match(self, connection: sa.Connection, described: str) -> bool:
        """Add and drop columns, and tell whether the rows have to be written again.

        Args:
            connection: in whose transaction.
            described: what `described` was when this mirror last made or matched the table.

        Raises:
            MirrorFailed: `columns`: the table has others, which are not ours to drop.
        """
        found = {c["name"]: c["type"] for c in sa.inspect(connection).get_columns(self._table)}
        before: dict[str, Any] = msgspec.json.decode(described)
        now: dict[str, Any] = msgspec.json.decode(self.described)
        stale = {name for name in before if before[name] != now.get(name)}
        self._check({name: type_ for name, type_ in found.items() if name not in stale})
        self._check_engine(connection)
        for name in stale & found.keys():
            self._alter(connection, f"DROP COLUMN {self._quoted(name)}")
        missing = [c for name, c in self._columns.items() if name not in found or name in stale]
        for column in missing:
            type_ = self._sql(self._type(column))
            self._alter(connection, f"ADD COLUMN {self._quoted(column.name)} {type_}")
        for name, column in self._columns.items():
            if name in found and is_narrow(column, found[name], self._database):
                self._widen(connection, column)
        # In MySQL a column that is dropped stays so, whatever is killed before it is there again.
        return any(column.name in before or column.default is not None for column in missing)

    def copy(self, connection: sa.Connection) -> None:
        """Copy the table, with everything that it holds."""
        inspector, name, number = sa.inspect(connection), self._table + COPY, 1
        while inspector.has_table(name):  # that of an earlier import, or one that was cut off
            number += 1
            name = f"{self._table}{COPY}_{number}"
        copy, table = self._quoted(name), self._quoted(self._table)
        connection.exec_driver_sql(f"CREATE TABLE {copy} AS SELECT * FROM {table}")  # noqa: S608 - quoted

    def check(self, connection: sa.Connection) -> None:
        """Check that a table of another program can become the mirror; errors as `match`."""
        columns = sa.inspect(connection).get_columns(self._table)
        self._check({column["name"]: column["type"] for column in columns})
        self._check_engine(connection)

    def _check(self, found: Mapping[str, sa.types.TypeEngine[Any]]) -> None:
        faults = [f"{name} is not among `columns:`" for name in found if name not in self._columns]
        for name, column in self._columns.items():
            type_ = found.get(name)
            if type_ is None or is_narrow(column, type_, self._database):
                continue
            if misfit(column, type_, self._database):
                has, needed = self._sql(type_), self._sql(self._type(column))
                faults.append(f"{name} is {has}, and must be {needed}")
        if "id" not in found:
            faults.append("id is missing")
        if faults:
            raise MirrorFailed("columns", f"{self._name}: {'; '.join(faults)}")

    def _check_engine(self, connection: sa.Connection) -> None:
        if self._dialect.name not in MYSQL:
            return
        options = sa.inspect(connection).get_table_options(self._table)
        engine = options.get(f"{self._dialect.name}_engine")
        if engine != "InnoDB":
            table = self._quoted(self._table)
            raise MirrorFailed(
                "columns",
                f"{self._name}: the engine {engine} has no transactions: stop what writes to it,"
                f" and run ALTER TABLE {table} ENGINE = InnoDB",
            )

    def _widen(self, connection: sa.Connection, column: Column) -> None:
        """Let a column hold every value: those that it has stay, and so do its indexes."""
        name, type_ = self._quoted(column.name), self._sql(self._type(column))
        change = f"MODIFY {name} {type_}" if self._dialect.name in MYSQL else ""
        self._alter(connection, change or f"ALTER COLUMN {name} TYPE {type_}")

    def _type(self, column: Column) -> sa.types.TypeEngine[Any]:
        return type_of(column, self._database)

    @property
    def _database(self) -> str:
        """The dialect; a URL of MySQL may lead to MariaDB, which is known once it is connected."""
        return "mariadb" if getattr(self._dialect, "is_mariadb", False) else self._dialect.name

    def _sql(self, type_: sa.types.TypeEngine[Any]) -> str:
        if isinstance(type_, sa.types.NullType):
            return "of a type that SQLAlchemy does not know"
        return type_.compile(self._dialect)

    def _index_id(self, connection: sa.Connection) -> None:
        """Make an index, unless there is one: rows are found by their id."""
        inspector = sa.inspect(connection)
        keys: list[list[Any]] = [inspector.get_pk_constraint(self._table)["constrained_columns"]]
        keys += [index["column_names"] for index in inspector.get_indexes(self._table)]
        keys += [one["column_names"] for one in inspector.get_unique_constraints(self._table)]
        if not any(key[:1] == ["id"] for key in keys):
            index, table = self._quoted(f"ix_{self._table}_id"), self._quoted(self._table)
            connection.exec_driver_sql(f"CREATE INDEX {index} ON {table} (id)")

    def _alter(self, connection: sa.Connection, change: str) -> None:
        connection.exec_driver_sql(f"ALTER TABLE {self._quoted(self._table)} {change}")

    def _quoted(self, name: str) -> str:
        return self._dialect.identifier_preparer.quote_identifier(name)
