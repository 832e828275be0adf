"""Tables: the tables of a channel in DuckDB, and how they change with its columns.

`<table>` holds the current rows, and `<table>_history` every event with the row after it. Neither
has a primary key or an index: with one, a batch costs three times as much, and no column can ever
be dropped. Names of the projection's own columns begin with `_`; those of a channel cannot.

DuckDB itself makes the history from payloads (ADR-20).
"""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import inf
from typing import Any

import duckdb
import msgspec
import pyarrow as pa

from eventhub.channel import Channel
from eventhub.columns import Column, Columns, Kind
from eventhub.errors import Misconfigured
from eventhub.event import Sealed
from eventhub.filters.sql import literal, quoted, quoted_list

OWN_TABLES = """
CREATE TABLE IF NOT EXISTS main._checkpoint (channel VARCHAR, epoch VARCHAR, seq BIGINT);
CREATE TABLE IF NOT EXISTS main._watermark (channel VARCHAR, seq BIGINT);
CREATE TABLE IF NOT EXISTS main._columns (channel VARCHAR, columns VARCHAR);
"""
"""The projection's own tables: how far the history (`_checkpoint`) and the current table
(`_watermark`) of each channel are, and the columns that its tables were made for."""

RESERVED = frozenset(("_checkpoint", "_watermark", "_columns"))

CURRENT = {"_seq": "BIGINT", "_created_seq": "BIGINT", "_time": "TIMESTAMP"}
HISTORY = {**CURRENT, "_method": "VARCHAR", "_user": "VARCHAR", "_endpoint": "VARCHAR"}
REST = {
    **dict.fromkeys(("was", "message", "broadcast"), "JSON"),
    **dict.fromkeys(("write", "asked"), "VARCHAR"),
}
"""Members of an event for which the history has no columns, with the types they are read as."""


@dataclass(frozen=True, slots=True)
class Tables:
    """The two tables of a channel."""

    channel: Channel

    @property
    def columns(self) -> Columns:
        """The columns of a row."""
        return self.channel.columns

    @property
    def current(self) -> str:
        """The table of current rows, as SQL."""
        return f"main.{quoted(self.channel.name)}"

    @property
    def history(self) -> str:
        """The table of events, as SQL."""
        return f"main.{quoted(f'{self.channel.name}_history')}"

    def rows(self, as_of: int | None = None) -> str:
        """Return the rows after an event, or the current ones, as an SQL relation.

        The last event of each id decides. Its sequence is looked for first: a window over all
        columns takes twice as long.
        """
        if as_of is None:
            return self.current
        names = quoted_list(self.current_names)
        return (
            f"(SELECT {names} FROM {self.history} WHERE _method <> 'DELETE' AND _seq IN"  # noqa: S608 - quoted
            f" (SELECT max(_seq) FROM {self.history} WHERE _seq <= {as_of:d} GROUP BY id))"
        )

    @property
    def current_names(self) -> tuple[str, ...]:
        """All columns of the table of current rows."""
        return (*self.columns.names, *CURRENT)

    @property
    def history_names(self) -> tuple[str, ...]:
        """All columns of the table of events."""
        return (*HISTORY, *self.columns.names)

    def insert_history(self, batch: str) -> str:
        """Return the statement that adds a batch to the history, in its order.

        Values are read from a payload as text, and then cast to the type of the column. The cast
        fails if a value does not fit; a value read as a number would silently become NULL.

        Args:
            batch: a relation, as SQL, with the columns `sequence` and `payload`.
        """
        return (
            f"INSERT INTO {self.history} ({quoted_list(self.history_names)})"  # noqa: S608 - quoted
            f" SELECT {', '.join(self._history_values)} FROM ({self._decoded(batch, self._shape)})"
        )

    def select_events(self, batch: str) -> str:
        """Return the SELECT of all members of events, with the names and types of the history.

        Args:
            batch: as for `insert_history`.
        """
        types = {**HISTORY, **{column.name: column.sql_type for column in self.columns}}
        named = zip(self.history_names, self._history_values, strict=True)
        selected = [f"CAST({value} AS {types[name]}) AS {quoted(name)}" for name, value in named]
        selected += [f"event['{name}'] AS _{name}" for name in REST]
        selected.append("coalesce(event['alert'], TRUE) AS _alert")
        shape = {**self._shape, **REST, "alert": "BOOLEAN"}
        return f"SELECT {', '.join(selected)} FROM ({self._decoded(batch, shape)})"  # noqa: S608 - quoted

    @property
    def _history_values(self) -> tuple[str, ...]:
        """The SQL of `history_names`."""
        row = (
            "event['id']" if name == "id" else f"event['row'][{literal(name)}]"
            for name in self.columns.names
        )
        members = (f"event['{name}']" for name in ("time", "method", "user", "endpoint"))
        return ("sequence", "coalesce(event['created'], sequence)", *members, *row)

    def _decoded(self, batch: str, shape: dict[str, Any]) -> str:
        text = literal(msgspec.json.encode(shape).decode())
        return f"SELECT sequence, from_json(payload, {text}) AS event FROM {batch}"  # noqa: S608 - quoted

    @property
    def _shape(self) -> dict[str, Any]:
        """The members that are read from a payload; all others are skipped."""
        row = {c.name: "JSON" if c.kind is Kind.JSON else "VARCHAR" for c in self.columns}
        del row["id"]  # the event has it, for a DELETE too
        shape = dict.fromkeys(("time", "method", "user", "endpoint", "id"), "VARCHAR")
        return {**shape, "created": "BIGINT", "row": row}


def _stored(column: Column, value: Any) -> Any:
    if column.kind is Kind.JSON and value is not None:
        return msgspec.json.encode(value).decode()
    return value


def as_arrow(batch: Sequence[Sealed]) -> pa.Table:
    """Return a batch as one table that DuckDB reads in one step.

    It is made from buffers: `pa.array` takes half as long again, holds the GIL all the time, and
    imports pandas.
    """
    payloads = [event.payload for event in batch]
    sequences = array("q", [event.sequence for event in batch])
    ends = array("i", accumulate(map(len, payloads), initial=0))
    whole = b"".join(payloads)
    return pa.table(
        {
            "sequence": _column(pa.int64(), len(batch), sequences),
            "payload": _column(pa.string(), len(batch), ends, whole),
        }
    )


def _column(kind: pa.DataType, length: int, *buffers: "array[int] | bytes") -> pa.Array:
    return pa.Array.from_buffers(kind, length, [None, *map(pa.py_buffer, buffers)])


def check_names(channels: Iterable[Channel]) -> None:
    """Refuse names that DuckDB cannot tell apart, because they differ only by case.

    Raises:
        Misconfigured: names the table or the columns.
    """
    for channel in channels:
        if channel.name.lower() in RESERVED:
            raise Misconfigured(
                f"table {channel.name!r}: EventHub needs this name itself; choose another one"
            )
        taken: dict[str, str] = {}
        for name in channel.columns.names:
            if taken.setdefault(name.lower(), name) != name:
                other = taken[name.lower()]
                raise Misconfigured(
                    f"table {channel.name!r}: columns {other!r} and {name!r} differ only by case"
                )


def prepare(
    connection: duckdb.DuckDBPyConnection, wanted: Iterable[Tables], *, adds_columns: bool = True
) -> list[tuple[Tables, str]]:
    """Adapt the tables of channels to their columns, in the transaction that is open.

    A new column is added, if it may be. After any other change, the tables are emptied and rebuilt
    from the stream: `Columns.lift` converts old values, because a cast of DuckDB rounds numbers and
    drops the offsets of times.

    Returns:
        The actions: `kept`, `altered`, `created` or `emptied`.
    """
    columns = known_columns(connection)
    actions = [
        (each, _prepare(connection, each, columns.get(each.channel.name), adds_columns))
        for each in wanted
    ]
    _describe(connection, [tables for tables, action in actions if action != "kept"])
    return actions


def _prepare(
    connection: duckdb.DuckDBPyConnection,
    tables: Tables,
    known: dict[str, list[Any]] | None,
    adds_columns: bool,
) -> str:
    if known is None:
        _create(connection, tables)
        return "created"
    wanted = described(tables.columns)
    if known == wanted:
        return "kept"
    is_wider = all(wanted.get(name) == description for name, description in known.items())
    if not (is_wider and adds_columns):
        drop(connection, tables.channel.name)
        _create(connection, tables)
        return "emptied"
    for column in tables.columns:
        if column.name not in known:
            _add(connection, tables, column)
    return "altered"


def create(connection: duckdb.DuckDBPyConnection, tables: Tables) -> None:
    """Create the tables of a channel, without rows."""
    _create(connection, tables)
    _describe(connection, [tables])


def _create(connection: duckdb.DuckDBPyConnection, tables: Tables) -> None:
    row = {column.name: column.sql_type for column in tables.columns}
    for table, types in ((tables.current, row | CURRENT), (tables.history, HISTORY | row)):
        columns = ", ".join(f"{quoted(name)} {sql_type}" for name, sql_type in types.items())
        connection.execute(f"CREATE TABLE {table} ({columns})")


def empty(connection: duckdb.DuckDBPyConnection, tables: Tables) -> None:
    """Drop and create the tables of a channel, and delete its checkpoint and watermark."""
    drop(connection, tables.channel.name)
    create(connection, tables)


def drop(connection: duckdb.DuckDBPyConnection, channel: str) -> None:
    """Drop the tables of a channel, and what is known of them."""
    for table in (channel, f"{channel}_history"):
        connection.execute(f"DROP TABLE IF EXISTS main.{quoted(table)}")
    for own in RESERVED:
        connection.execute(f"DELETE FROM main.{own} WHERE channel = ?", [channel])  # noqa: S608 - constants


def text_bytes(connection: duckdb.DuckDBPyConnection, tables: Tables) -> float:
    """Return the bytes of text in a history by DuckDB's statistics; infinite if there are none.

    They include events that were added since the file was opened. The current rows hold no more.
    """
    names = [c.name for c in tables.columns if c.kind in (Kind.TEXT, Kind.JSON)]
    lengths = [f"stats({quoted(name)}).total_string_length" for name in names]
    found = connection.execute(f"SELECT {', '.join(lengths)} FROM {tables.history} LIMIT 1")  # noqa: S608 - quoted
    return sum(inf if size is None else size for row in found.fetchall() for size in row)


def _add(connection: duckdb.DuckDBPyConnection, tables: Tables, column: Column) -> None:
    """Add a column. Old rows get its default, as old events do by `Columns.lift`."""
    name, definition = quoted(column.name), f"{quoted(column.name)} {column.sql_type}"
    if column.default is not None:
        default = literal(str(_stored(column, column.default)))
        definition += f" DEFAULT CAST({default} AS {column.sql_type})"
    for table in (tables.current, tables.history):
        connection.execute(f"ALTER TABLE {table} ADD COLUMN {definition}")
    if column.default is not None:
        connection.execute(f"UPDATE {tables.history} SET {name} = NULL WHERE _method = 'DELETE'")  # noqa: S608 - quoted


def described(columns: Columns) -> dict[str, list[Any]]:
    """Return all that determines stored values; ingest decides whether NULL is allowed."""
    return {column.name: [column.sql_type, column.default] for column in columns}


def _describe(connection: duckdb.DuckDBPyConnection, wanted: Sequence[Tables]) -> None:
    """Write down the columns of channels. Two statements for each take a second for a thousand."""
    names = [each.channel.name for each in wanted]
    texts = [msgspec.json.encode(described(each.columns)).decode() for each in wanted]
    connection.execute("DELETE FROM main._columns WHERE channel IN (SELECT unnest(?))", [names])
    connection.execute("INSERT INTO main._columns SELECT unnest(?), unnest(?)", [names, texts])


def known_columns(connection: duckdb.DuckDBPyConnection) -> dict[str, dict[str, list[Any]]]:
    """Return the columns that the tables of each channel were made for, as `described` has them."""
    known = connection.execute("SELECT channel, columns FROM main._columns").fetchall()
    return {channel: msgspec.json.decode(text) for channel, text in known}
