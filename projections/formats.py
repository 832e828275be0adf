"""Formats: Arrow tables as files: Parquet, Arrow, NDJSON, CSV, and CloudEvents in JSON.

A writer takes tables of one schema, one after the other. What is closed before the first one is a
whole file too, without rows.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol, Self
from urllib.parse import quote

import duckdb
import pyarrow as pa
from pyarrow import csv as arrow_csv
from pyarrow import parquet

from eventhub.channel import Channel
from eventhub.columns import Column, Kind, Spelling
from eventhub.filters.sql import literal, quoted
from projections.columnar import DOCUMENTS
from projections.pages import instant_json, json_value

CLOUD_EVENTS = "cloudevents"
CLOUD_METHODS = {
    "eventhub.row.created": "POST",
    "eventhub.row.changed": "PUT",
    "eventhub.row.deleted": "DELETE",
}
"""The method of an event, by the type of its CloudEvent."""
ROW_GROUP = 64_000
"""Rows of a Parquet file that are read together, at most."""


class Writer(Protocol):
    """Writes one file; the context closes it."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """End the file, with what stands after the last row."""

    def write(self, table: pa.Table) -> object:
        """Add rows; errors as `OSError`."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What files are of."""

    channel: Channel
    epoch: str
    schema: pa.Schema


@dataclass(frozen=True, slots=True)
class Format:
    """One way to write rows or events."""

    suffix: str
    open: Callable[[Path, Origin], Writer]


def _parquet(path: Path, origin: Origin) -> Writer:
    return _Parquet(path, origin.schema, compression="zstd")


class _Parquet(parquet.ParquetWriter):  # type: ignore[misc] # pyarrow has no types
    """With row groups that a reader of one column need not hold whole."""

    def write(self, table: pa.Table) -> None:
        """Add rows."""
        self.write_table(table, row_group_size=ROW_GROUP)


def _arrow(path: Path, origin: Origin) -> Writer:
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    writer: Writer = pa.ipc.new_file(str(path), origin.schema, options=options)
    return writer


def _csv(path: Path, origin: Origin) -> Writer:
    """Text is quoted, NULL is nothing at all: an empty text is not NULL."""
    writer: Writer = arrow_csv.CSVWriter(str(path), origin.schema)
    return writer


def _ndjson(path: Path, origin: Origin) -> Writer:
    return _Lines(path, _object(origin), "", "\n", "\n")


def _cloud_events(path: Path, origin: Origin) -> Writer:
    return _Lines(path, _cloud_event(origin), "[", ",\n", "]\n")


FORMATS: dict[str, Format] = {
    "parquet": Format(".parquet", _parquet),
    "arrow": Format(".arrow", _arrow),
    "ndjson": Format(".ndjson", _ndjson),
    "csv": Format(".csv", _csv),
    CLOUD_EVENTS: Format(".json", _cloud_events),
}
"""CloudEvents are for events alone."""


class _Lines:
    """JSON, one object a line, made by a DuckDB in memory."""

    def __init__(self, path: Path, line: str, before: str, between: str, after: str) -> None:
        self._path = path
        self._sql = f"SELECT encode({line}) FROM rows"  # noqa: S608 - quoted
        self._before, self._between, self._after = before.encode(), between.encode(), after.encode()
        self._is_first = True

    def __enter__(self) -> Self:
        self._connection = duckdb.connect(config={"threads": 1, "enable_external_access": False})
        self._file: BinaryIO = self._path.open("wb")
        self._file.write(self._before)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._connection.close()
        with self._file:
            if self._before or not self._is_first:
                self._file.write(self._after)

    def write(self, table: pa.Table) -> None:
        """Add rows."""
        self._connection.register("rows", table)
        found = self._connection.execute(self._sql)
        while rows := found.fetchmany(1000):
            before = b"" if self._is_first else self._between
            self._file.write(before + self._between.join(line for (line,) in rows))
            self._is_first = False
        self._connection.unregister("rows")


def _object(origin: Origin) -> str:
    return _json_object({name: _json(origin, name) for name in origin.schema.names})


def _cloud_event(origin: Origin) -> str:
    """Return one event as CloudEvents 1.0.2 has it in JSON; its extensions are ours.

    https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md
    """
    row = _json_object({name: _json(origin, name) for name in origin.channel.columns.names})
    types = " ".join(f"WHEN '{method}' THEN '{type_}'" for type_, method in CLOUD_METHODS.items())
    attributes = {
        "specversion": "'1.0'",
        "id": f"{literal(origin.epoch + '.')} || _seq",
        "source": literal(f"/eventhub/{quote(origin.channel.name, safe='')}"),
        "type": f"CASE _method {types} END",
        "subject": "id",
        "time": _json(origin, "_time"),
        "datacontenttype": "'application/json'",
        "sequence": "lpad(CAST(_seq AS VARCHAR), 20, '0')",
        "userid": "_user",
        "endpoint": "_endpoint",
    }
    documents = {"row": f"CASE WHEN _method <> 'DELETE' THEN {row} END"}
    documents |= {name.removeprefix("_"): name for name in DOCUMENTS}
    rest = {"write": "_write", "asked": "_asked", "alert": "_alert"}
    # A JSON value inside of json_object would lose the digits that a double does not have.
    texts = [f"""'"{name}":' || COALESCE({text}, 'null')""" for name, text in documents.items()]
    members = " || ',' || ".join([*texts, f"substr({_json_object(rest)}, 2)"])
    return f"""left({_json_object(attributes)}, -1) || ',"data":{{' || {members} || '}}'"""


def _json_object(members: dict[str, str]) -> str:
    return f"json_object({', '.join(f'{literal(k)}, {value}' for k, value in members.items())})"


_PLAIN = Spelling(frozenset(("*",)))
"""As rows go out: a DECIMAL is a number."""


def _json(origin: Origin, name: str) -> str:
    """Return the SQL of a value in JSON."""
    if name == "_time":
        return instant_json(quoted(name))
    if name in DOCUMENTS:
        return f"CAST({quoted(name)} AS JSON)"
    column: Column | None = origin.channel.columns.by_name.get(name)
    if column is None:
        return quoted(name)
    if column.kind is Kind.JSON:
        return f"CAST({quoted(name)} AS JSON)"
    return json_value(column, _PLAIN)
