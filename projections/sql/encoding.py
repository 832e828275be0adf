"""Encoding: batches of a result as a file: JSON, NDJSON, CSV, Arrow or Parquet.

A result may have columns of every type that DuckDB has. JSON shows what it has no word for as text:
a time as in ISO 8601, bytes as base64; NaN and the infinities are null.
"""

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, Protocol

import msgspec
import pyarrow as pa
from pyarrow import parquet

from eventhub.queries import Format

MESSAGE_BYTES = 4 << 20
"""Of a batch in an Arrow stream: readers over gRPC take at most 16 MiB at once."""
GROUP_ROWS = 64_000
GROUP_BYTES = 16 << 20
"""Of a row group of Parquet, or a batch of an Arrow file."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What a spreadsheet takes for the beginning of a formula."""
_ENCODER = msgspec.json.Encoder(decimal_format="number")


class Writer(Protocol):
    """Writes the batches of one result."""

    def write(self, batch: pa.Table) -> None:
        """Add rows."""

    def close(self) -> None:
        """Write what stands after the last row; the file stays open."""


class _Json:
    """JSON, one object for each row."""

    def __init__(
        self, file: BinaryIO, schema: pa.Schema, documents: frozenset[int], frame: tuple[bytes, ...]
    ) -> None:
        self._file = file
        self._names = schema.names
        self._documents = documents
        self._between, self._after = frame[1:]
        self._is_first = True
        file.write(frame[0])

    def write(self, batch: pa.Table) -> None:
        rows = [dict(zip(self._names, row, strict=True)) for row in _rows(batch, self._documents)]
        lines = _ENCODER.encode_lines(rows)[:-1]
        if self._between != b"\n":
            lines = lines.replace(b"\n", self._between)
        self._file.write(lines if self._is_first else self._between + lines)
        self._is_first = False

    def close(self) -> None:
        if self._after != b"\n" or not self._is_first:
            self._file.write(self._after)


class _Csv:
    """CSV as in RFC 4180, with a header line; NULL is empty."""

    def __init__(
        self, file: BinaryIO, schema: pa.Schema, documents: frozenset[int], *, is_safe: bool
    ) -> None:
        self._file = file
        self._documents = documents
        self._text = _inert if is_safe else str
        self._write([map(self._text, schema.names)])

    def write(self, batch: pa.Table) -> None:
        self._write(map(self._value, row) for row in _rows(batch, self._documents))

    def close(self) -> None:
        """Nothing stands after the last row."""

    def _value(self, value: Any) -> str | None:
        if value is None:
            return None
        if isinstance(value, str):
            return self._text(value)
        text = _ENCODER.encode(value)
        if text == b"null":  # NaN
            return None
        return msgspec.json.decode(text, type=str) if text.startswith(b'"') else text.decode()

    def _write(self, rows: Iterable[Iterable[str | None]]) -> None:
        text = io.StringIO()
        csv.writer(text).writerows(rows)
        self._file.write(text.getvalue().encode())


class _Arrow:
    """An Arrow stream."""

    def __init__(self, file: BinaryIO, schema: pa.Schema) -> None:
        self._stream = pa.ipc.new_stream(file, schema)

    def write(self, batch: pa.Table) -> None:
        rows = len(batch) * MESSAGE_BYTES // max(batch.nbytes, 1)
        self._stream.write_table(batch.combine_chunks(), max(rows, 1))

    def close(self) -> None:
        self._stream.close()


class _Grouped:
    """A file with a footer, a Parquet or an Arrow one: rows are gathered to groups."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer
        self._waiting: list[pa.Table] = []

    def write(self, batch: pa.Table) -> None:
        self._waiting.append(batch)
        size = sum(table.nbytes for table in self._waiting)
        if size >= GROUP_BYTES or sum(map(len, self._waiting)) >= GROUP_ROWS:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_table(pa.concat_tables(self._waiting).combine_chunks())
            self._waiting = []


def writer_of(name: Format, file: BinaryIO, schema: pa.Schema, documents: frozenset[int]) -> Writer:
    """Return what writes a result.

    Args:
        name: the format.
        file: gets the bytes.
        schema: of the result; its names differ.
        documents: the columns, by number, whose text is JSON.

    Raises:
        pa.ArrowException: the format has no such type.
    """
    match name:
        case "json":
            return _Json(file, schema, documents, (b"[", b",\n", b"]"))
        case "ndjson":
            return _Json(file, schema, documents, (b"", b"\n", b"\n"))
        case "csv" | "safe csv":
            return _Csv(file, schema, documents, is_safe=name == "safe csv")
        case "arrow":
            return _Arrow(file, schema)
        case "arrow_file":
            return _Grouped(pa.ipc.new_file(file, schema))
        case "parquet":
            return _Grouped(parquet.ParquetWriter(file, schema, compression="zstd"))


def distinct(names: Iterable[str]) -> list[str]:
    """Return names of columns, each once: a second `n` becomes `n_2`."""
    taken: dict[str, None] = {}
    for name in names:
        free, number = name, 1
        while free in taken:
            number += 1
            free = f"{name}_{number}"
        taken[free] = None
    return list(taken)


def _rows(batch: pa.Table, documents: frozenset[int]) -> Iterator[tuple[Any, ...]]:
    columns = [
        _values(column, is_document=number in documents)
        for number, column in enumerate(batch.columns)
    ]
    return zip(*columns, strict=True)


def _values(column: pa.ChunkedArray, *, is_document: bool) -> list[Any]:
    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
    found: list[Any] = column.to_pylist()
    return [_document(value) for value in found] if is_document else found


def _document(text: str | None) -> Any:
    if text is None:
        return None
    return msgspec.Raw(text.encode()) if "\n" not in text else msgspec.json.decode(text)


def _inert(text: str) -> str:
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text
