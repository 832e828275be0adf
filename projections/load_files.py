"""Load files: the rows of CSV, NDJSON, Parquet and Arrow files, and of what was exported."""

from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import msgspec
import pyarrow as pa
from pyarrow import csv as arrow_csv
from pyarrow import parquet

from eventhub.columns import Columns, Kind
from eventhub.errors import Rejected, Unavailable
from projections.columnar import EVENT_OWN, EVENT_REST
from projections.formats import CLOUD_METHODS
from projections.manifest import load as load_manifest
from projections.source import ARRAY_ROWS, Row, Source, check_fields, json_of

_Read = Callable[[Path, Columns], tuple[list[str] | None, Iterable[Row]]]
"""Returns the names of a file's fields, if it has them, and its rows."""


def open_path(path: Path, columns: Columns) -> Source:
    """Return the rows of a file, whose name says its format, or of an exported folder.

    Raises:
        Rejected: `bad_request`: there is no such file, or its format is unknown; `bad_body`.
        Unavailable: it cannot be read.
    """
    if path.is_dir():
        manifest = load_manifest(path)
        if manifest is None or not manifest.complete:
            raise Rejected("bad_request", f"{path} is not the folder of a complete export")
        parts = [path / part.file for part in manifest.parts]
    else:
        parts = [path]
    readers = [(part, _reader_of(part)) for part in parts]

    def rows() -> Iterator[Row]:
        for part, read in readers:
            with _explained(part):
                yield from read(part, columns)[1]

    if not readers:
        return Source(columns, path.name, (), rows)
    first, read = readers[0]
    with _explained(first):
        fields, _ = read(first, columns)
    return Source(columns, path.name, fields or (), rows)


def _reader_of(path: Path) -> _Read:
    if path.suffix.lower() not in _READERS:
        known = ", ".join(_READERS)
        raise Rejected("bad_request", f"{path}: only {known}, and URLs of databases, are read")
    if not path.exists():
        raise Rejected("bad_request", f"{path}: there is no such file")
    return _READERS[path.suffix.lower()]


class _explained:  # noqa: N801 - reads as a function where it is used
    """Turns what a reader raises into an error that names the file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        """End; other errors pass unchanged."""
        if isinstance(error, pa.ArrowInvalid | UnicodeError | msgspec.DecodeError):
            raise Rejected("bad_body", f"{self._path} cannot be read: {error}") from error
        if isinstance(error, OSError):
            raise Unavailable(f"{self._path} cannot be read: {error}") from error


def _csv(path: Path, columns: Columns) -> tuple[list[str], Iterable[Row]]:
    """Read CSV as text, because Arrow would guess types; an empty value is NULL, `""` is not."""
    parse = arrow_csv.ParseOptions(newlines_in_values=True)
    with arrow_csv.open_csv(str(path), parse_options=parse) as opened:
        fields = opened.schema.names
    check_fields(fields)
    convert = arrow_csv.ConvertOptions(
        column_types=dict.fromkeys(fields, pa.string()),
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )

    def rows() -> Iterator[Row]:
        with arrow_csv.open_csv(str(path), parse_options=parse, convert_options=convert) as opened:
            for batch in opened:
                yield from map(json_of(columns), batch.to_pylist())

    return fields, rows()


def _parquet(path: Path, columns: Columns) -> tuple[list[str], Iterable[Row]]:
    def rows() -> Iterator[Row]:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(ARRAY_ROWS):
                yield from map(json_of(columns), _plain(batch).to_pylist())

    fields = parquet.read_schema(path).names
    check_fields(fields)
    return fields, rows()


def _arrow(path: Path, columns: Columns) -> tuple[list[str], Iterable[Row]]:
    def opened() -> Any:
        try:
            return pa.ipc.open_file(str(path))
        except pa.ArrowInvalid:
            return pa.ipc.open_stream(pa.memory_map(str(path)))

    def rows() -> Iterator[Row]:
        reader = opened()
        if isinstance(reader, pa.RecordBatchReader):
            batches: Iterable[pa.RecordBatch] = reader
        else:
            batches = (reader.get_batch(at) for at in range(reader.num_record_batches))
        for batch in batches:
            for start in range(0, batch.num_rows, ARRAY_ROWS):
                piece = _plain(batch.slice(start, ARRAY_ROWS))
                yield from map(json_of(columns), piece.to_pylist())

    fields = opened().schema.names
    check_fields(fields)
    return fields, rows()


def _plain(batch: pa.RecordBatch) -> pa.Table:
    """Cut times to microseconds, as the hub does: Python has no more digits."""
    table = pa.Table.from_batches([batch])
    for at, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type) and field.type.unit == "ns":
            kind = pa.timestamp("us", field.type.tz)
            table = table.set_column(at, field.name, table[at].cast(kind, safe=False))
    return table


def _ndjson(path: Path, columns: Columns) -> tuple[list[str], Iterable[Row]]:
    exact = {column.name for column in columns if column.kind is Kind.DECIMAL}

    def rows() -> Iterator[Row]:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield _row_of(line, number, exact)

    first = next(iter(rows()), {})
    return list(first), rows()


def _row_of(line: bytes, number: int, exact: set[str]) -> Row:
    try:
        return _exactly(_RAW.decode(line), exact)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise Rejected("bad_body", f"row {number}: not a JSON object: {error}") from error


def _exactly(raw: dict[str, msgspec.Raw], exact: set[str]) -> Row:
    return {name: (_EXACT if name in exact else _JSON).decode(value) for name, value in raw.items()}


class _Data(msgspec.Struct):
    """What an exported CloudEvent holds of an event of the hub."""

    message: dict[str, Any]
    write: str
    row: dict[str, msgspec.Raw] | None = None
    was: dict[str, Any] | None = None
    broadcast: dict[str, Any] | None = None
    asked: str | None = None
    alert: bool | None = None


class _CloudEvent(msgspec.Struct):
    """An event that `projections.formats` wrote; others are not of a hub."""

    specversion: Literal["1.0"]
    type: str
    subject: str
    time: str
    sequence: str
    data: _Data
    userid: str | None = None
    endpoint: str | None = None


def _cloud_events(path: Path, columns: Columns) -> tuple[list[str], Iterable[Row]]:
    """Read a JSON array; it is mapped, so that only the current event is decoded in memory."""
    exact = {column.name for column in columns if column.kind is Kind.DECIMAL}

    def rows() -> Iterator[Row]:
        with pa.memory_map(str(path)) as mapped:
            events = _ARRAY.decode(mapped.read_buffer())
            for number, raw in enumerate(events, 1):
                yield _event_of(raw, number, exact)

    return [*columns.names, *EVENT_OWN, *EVENT_REST], rows()


def _event_of(raw: msgspec.Raw, number: int, exact: set[str]) -> Row:
    try:
        event = _CLOUD_EVENT.decode(raw)
        data, row = event.data, _exactly(event.data.row or {}, exact)
        own = {
            "id": event.subject,
            "_seq": int(event.sequence),
            "_time": event.time,
            "_method": CLOUD_METHODS[event.type],
            "_user": event.userid,
            "_endpoint": event.endpoint,
        }
    except (msgspec.DecodeError, UnicodeError, ValueError, KeyError) as error:
        message = f"event {number}: not a CloudEvent of an export: {error}"
        raise Rejected("bad_body", message) from error
    rest = {f"_{name}": getattr(data, name) for name in _Data.__struct_fields__ if name != "row"}
    return {**row, **own, **rest}


_RAW = msgspec.json.Decoder(dict[str, msgspec.Raw])
_EXACT: msgspec.json.Decoder[Any] = msgspec.json.Decoder(float_hook=Decimal)
_JSON: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
_CLOUD_EVENT = msgspec.json.Decoder(_CloudEvent)
_READERS: dict[str, _Read] = {
    ".csv": _csv,
    ".ndjson": _ndjson,
    ".jsonl": _ndjson,
    ".parquet": _parquet,
    ".arrow": _arrow,
    ".feather": _arrow,
    ".json": _cloud_events,
}
