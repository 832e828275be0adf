"""Price: how much CPU time a query takes in DuckDB, estimated before it runs.

Measured on 200,000 rows of 192 bytes with one thread: a comparison takes 2 ns a row, a text search
0.4 ns a byte, one without case 0.8 ns, and as much again for each character that may be spelled as
several. Prices are in seconds of one core of that machine.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isfinite
from typing import NamedTuple

import duckdb

from eventhub.columns import Kind
from eventhub.errors import Rejected
from eventhub.filters.conditions import FOLDED, MATCH, NEGATED, Condition
from eventhub.filters.query import Query
from eventhub.filters.sql import quoted
from eventhub.snapshots import RowHead
from projections.store import Store
from projections.tables import Tables

MAX_SECONDS = 5.0
"""A query that costs more is refused."""
QUICK_SECONDS = 0.25
"""A query that costs more, or returns more than the next two, needs one of the few large slots."""
QUICK_ROWS = 5000
QUICK_BYTES = 8 << 20
_ROW, _VALUE, _NEGATED = 5e-9, 1e-10, 1e-9
_MATCH, _MATCH_BYTE = 4e-8, 4e-10
_FOLD, _FOLD_BYTE = 4e-8, 8e-10
_NEAR_BYTES = 1 << 20
_TOP, _SORT = 1.5e-7, 5e-7
_EVENT = 1e-7
"""Of each event up to the one that a past state is as of."""


@dataclass(frozen=True, slots=True)
class Size:
    """How large a current table is."""

    rows: int
    text_bytes: Mapping[str, float]
    """Bytes in each column of text or JSON."""

    @property
    def row_bytes(self) -> float:
        """Average bytes of text in a row."""
        return sum(self.text_bytes.values()) / max(self.rows, 1)

    def after(self, events: int) -> "Size":
        """Return what the table had at most after so many events, if its rows were like today's."""
        times = max(1.0, events / max(self.rows, 1))
        texts = {name: length * times for name, length in self.text_bytes.items()}
        return Size(max(self.rows, events), texts)


@dataclass(frozen=True, slots=True)
class Price:
    """The cost of a query."""

    seconds: float
    is_small: bool
    """Whether it returns few rows in any case."""

    @property
    def is_quick(self) -> bool:
        """Tell whether the search for its rows is cheap."""
        return self.seconds <= QUICK_SECONDS


def price_of(query: Query, size: Size) -> Price:
    """Return the price of a query of a table that has a size."""
    seconds = 0.0
    if query.as_of is not None:
        seconds, size = query.as_of * _EVENT, size.after(query.as_of)
    seconds += size.rows * _ROW + sum(_condition(c, size) for c in query.filter.conditions)
    most = size.rows if query.limit is None else min(size.rows, query.limit)
    is_small = most <= QUICK_ROWS and most * size.row_bytes <= QUICK_BYTES
    if query.sort or query.offset:
        is_top = query.limit is not None and query.limit + query.offset <= QUICK_ROWS
        seconds += size.rows * (_TOP if is_top else _SORT)
    return Price(seconds, is_small)


def _condition(condition: Condition, size: Size) -> float:
    values = len(condition.values)
    if condition.operator not in MATCH:
        each = _NEGATED if condition.operator in NEGATED else _VALUE
        return size.rows * (_ROW + values * each)
    size_bytes = size.text_bytes.get(condition.column, 0.0)
    if condition.operator not in FOLDED:
        return values * (size.rows * _MATCH + size_bytes * _MATCH_BYTE)
    passes = values + condition.expansions
    return passes * (size.rows * _FOLD + size_bytes * _FOLD_BYTE)


def check_price(query: Query, size: Size) -> None:
    """Refuse a query that costs too much.

    Raises:
        Rejected: `too_costly`.
    """
    seconds = price_of(query, size).seconds
    if seconds > MAX_SECONDS:
        dearest = max(query.filter.conditions, key=lambda c: _condition(c, size), default=None)
        what = f"{dearest.column}{dearest.operator}=" if dearest else "_sort"
        raise Rejected(
            "too_costly",
            f"this would search {size.rows} rows for about {seconds:.0f} s, most of it for {what};"
            f" at most {MAX_SECONDS:.0f} s are allowed: use fewer values, or = instead of ~ or *",
            column=dearest.column if dearest else "_sort",
        )


class Sizes:
    """The approximate sizes of current tables, measured again after a tenth was added."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, tuple[int, float, Size]] = {}
        """By channel, a size with the head and the bytes of the history when it was measured."""

    async def of(self, channel: str) -> Size:
        """Return the size of a channel's current table; errors as in `Reader.run`."""
        head, history = self._store.progress(channel).head, self._store.text_bytes(channel)
        if (known := self._known.get(channel)) is not None:
            since, before, size = known
            added = history - before if isfinite(history) and isfinite(before) else 0.0
            is_near = 0 <= head - since <= max(500, size.rows // 10)
            if is_near and 0 <= added <= max(_NEAR_BYTES, sum(size.text_bytes.values()) / 10):
                texts = {name: length + added for name, length in size.text_bytes.items()}
                return Size(size.rows + head - since, texts)
        tables = self._store.tables[channel]
        async with self._store.reader() as reader:
            size = await self._store.read(reader, lambda c: rough_size(c, tables))
        self._known[channel] = head, history, size
        return size


def rough_size(connection: duckdb.DuckDBPyConnection, tables: Tables) -> Size:
    """Return a size with the exact number of rows, and an upper bound of the texts."""
    [(rows,)] = connection.execute(f"SELECT count(*) FROM {tables.current}").fetchall()  # noqa: S608 - quoted
    names = _texts(tables)
    lengths = ", ".join(f"stats({quoted(name)}).total_string_length" for name in names)
    found = connection.execute(f"SELECT {lengths} FROM {tables.current} LIMIT 1").fetchall()  # noqa: S608 - quoted
    values = found[0] if found else [0] * len(names)
    return Size(
        rows, {n: float("inf") if v is None else v for n, v in zip(names, values, strict=True)}
    )


def exact_size(connection: duckdb.DuckDBPyConnection, tables: Tables, query: Query) -> Size:
    """Return the size of the columns that a query searches, measured on all rows."""
    names = sorted({c.column for c in query.filter.conditions if c.operator in MATCH})
    sums = "".join(f", sum(strlen({quoted(name)}))" for name in names)
    [(rows, *values)] = connection.execute(
        f"SELECT count(*){sums} FROM {tables.rows(query.as_of)}"  # noqa: S608 - quoted
    ).fetchall()
    return Size(rows, {name: value or 0 for name, value in zip(names, values, strict=True)})


def has_more(
    connection: duckdb.DuckDBPyConnection, tables: Tables, query: Query, rows: int
) -> bool:
    """Tell whether a query has more than `rows` rows, or `QUICK_BYTES`; stops counting there."""
    where, values = query.filter.sql()
    names = [quoted(name) for name in _texts(tables) if name in query.columns]
    width = " + ".join(["0", *(f"coalesce(strlen({name}), 0)" for name in names)])
    [(found, size)] = connection.execute(
        "SELECT count(*), coalesce(sum(width), 0) FROM"  # noqa: S608 - quoted
        f" (SELECT {width} AS width FROM {tables.rows(query.as_of)}"
        f" WHERE {where} LIMIT {rows + 1})",
        [*values],
    ).fetchall()
    return int(found) > rows or int(size) > QUICK_BYTES


def _texts(tables: Tables) -> list[str]:
    return [c.name for c in tables.columns if c.kind in (Kind.TEXT, Kind.JSON)]


class Question(NamedTuple):
    """A query of a table, with its price."""

    tables: Tables
    query: Query
    row_head: RowHead
    price: Price

    def check(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Refuse a query that is too expensive for the real content of the table.

        Raises:
            Rejected: `too_costly`.
        """
        if self.price.seconds > MAX_SECONDS:
            # Its own size is what was found, whatever the state that it is as of.
            query = replace(self.query, as_of=None)
            check_price(query, exact_size(connection, self.tables, self.query))

    def is_more_than(self, rows: int, connection: duckdb.DuckDBPyConnection) -> bool:
        """Tell whether there are more than `rows` rows; stops counting there."""
        is_known = self.price.is_small and rows >= QUICK_ROWS
        return not is_known and has_more(connection, self.tables, self.query, rows)
