"""Recoding: rows in JSON, as readers share them, as Arrow or Parquet for one of them.

What comes in is typed by the columns, so that numbers keep all of their digits.
"""

import io
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import partial
from typing import Any

import msgspec
import pyarrow as pa
from pyarrow import parquet

from eventhub.columns import Column, Kind
from eventhub.snapshots import Recode
from projections.columnar import type_of

GROUP_ROWS = 64_000
GROUP_BYTES = 16 << 20
"""Of a row group of Parquet, or a batch of an Arrow file: what one answer holds in memory, several
times over."""
_EXACT = (Kind.DECIMAL, Kind.JSON)
"""Their numbers have digits that a float does not hold."""
_PARSED = (Kind.DATE, Kind.TIMESTAMP, Kind.TIMESTAMPTZ)
"""Arrow reads these from their text."""


_ENCODER = msgspec.json.Encoder(decimal_format="number")


class _Rows:
    """Collects rows as Arrow columns."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = columns
        self.schema = pa.schema([(column.name, type_of(column)) for column in columns])
        is_exact = any(column.kind in _EXACT for column in columns)
        hook = Decimal if is_exact else None
        self._decoder = msgspec.json.Decoder(dict[str, Any], float_hook=hook)
        self._rest = b""

    def table(self, lines: bytes) -> pa.Table:
        """Return the rows that have come to their end with these bytes."""
        whole, newline, rest = lines.rpartition(b"\n")
        if not newline:
            self._rest += lines
            return self.schema.empty_table()
        rows = self._decoder.decode_lines(self._rest + whole)
        self._rest = rest
        arrays = [_array([row[column.name] for row in rows], column) for column in self._columns]
        return pa.Table.from_arrays(arrays, schema=self.schema)


def _array(values: list[Any], column: Column) -> pa.Array:
    if column.kind is Kind.JSON:
        values = [None if value is None else _ENCODER.encode(value).decode() for value in values]
    if column.kind is Kind.REAL:
        values = [None if value is None else float(value) for value in values]
    if column.kind in _PARSED:
        return pa.array(values, pa.string()).cast(type_of(column))
    return pa.array(values, type_of(column))


class _Arrow:
    """An Arrow stream: a batch for each piece."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._rows = _Rows(columns)
        self._sink = _Sink()
        self._stream = pa.ipc.new_stream(self._sink, self._rows.schema)

    def feed(self, lines: bytes) -> bytes:
        """See `Recoder`."""
        table = self._rows.table(lines)
        if len(table):
            self._stream.write_table(table)
        return self._sink.taken()

    def finish(self) -> bytes:
        """See `Recoder`."""
        self._stream.close()
        return self._sink.taken()


class _Grouped:
    """A file with a footer: rows are gathered to groups, so that a column is in few places."""

    def __init__(self, columns: Sequence[Column], open_file: Callable[..., Any]) -> None:
        self._rows = _Rows(columns)
        self._sink = _Sink()
        self._file = open_file(self._sink, self._rows.schema)
        self._waiting: list[pa.Table] = []

    def feed(self, lines: bytes) -> bytes:
        """See `Recoder`."""
        self._waiting.append(self._rows.table(lines))
        rows = sum(map(len, self._waiting))
        if rows >= GROUP_ROWS or sum(table.nbytes for table in self._waiting) >= GROUP_BYTES:
            self._write()
        return self._sink.taken()

    def finish(self) -> bytes:
        """See `Recoder`."""
        self._write()
        self._file.close()
        return self._sink.taken()

    def _write(self) -> None:
        if self._waiting:
            self._file.write_table(pa.concat_tables(self._waiting).combine_chunks())
            self._waiting = []


def _parquet(columns: Sequence[Column]) -> _Grouped:
    return _Grouped(columns, partial(parquet.ParquetWriter, compression="zstd"))


def _arrow_file(columns: Sequence[Column]) -> _Grouped:
    return _Grouped(columns, pa.ipc.new_file)


class _Sink(io.RawIOBase):
    """A file that only grows; what is in it is taken out as it comes."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []
        self._position = 0

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: Any) -> int:
        """Take some bytes."""
        self._parts.append(bytes(data))
        self._position += len(self._parts[-1])
        return len(self._parts[-1])

    def tell(self) -> int:
        """Return the bytes so far, taken out or not: Parquet's footer says where they are."""
        return self._position

    def taken(self) -> bytes:
        """Take out what there is."""
        parts, self._parts = self._parts, []
        return b"".join(parts)


RECODERS: dict[str, Recode] = {"arrow": _Arrow, "arrow_file": _arrow_file, "parquet": _parquet}
"""As in `TableFiles`."""
