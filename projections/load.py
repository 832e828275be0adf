"""Load: the rows of files and databases, some at a time, as an import takes them.

Values come typed where the source has types, and as text from CSV. What they are is decided by the
columns of the table, as for a client's message.
"""

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import blake2b
from itertools import count, islice
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import msgspec
import pyarrow as pa
import sqlalchemy as sa
from pyarrow import csv as arrow_csv
from pyarrow import parquet

from eventhub.columns import Columns, Kind
from eventhub.errors import Rejected, Unavailable
from eventhub.filters.arguments import nearest, shown
from eventhub.masking import without_credentials
from projections.manifest import load as load_manifest

ARRAY_ROWS: Final = 1_000
ID_BYTES: Final = 16
ROW_OWN: Final = frozenset(("_seq", "_created_seq", "_time"))
"""What exported rows have beside the columns; an import gives them anew."""
Row = dict[str, Any]
Arrays = Iterator[list[Row]]
_Read = Callable[[Path, Columns], tuple[list[str] | None, Iterable[Row]]]
"""Returns the names of a file's fields, if it says them, and its rows."""


class Source:
    """Rows of one file, folder or database. `arrays` reads it from the beginning, each time."""

    def __init__(
        self, columns: Columns, name: str, fields: Iterable[str], rows: Callable[[], Iterable[Row]]
    ) -> None:
        self._columns = columns
        self._name = name
        self.fields = tuple(fields)
        """Their names in the source."""
        self._rows = rows
        self._map: dict[str, str] = {}

    def rename(self, renamed: Mapping[str, str]) -> None:
        """Read some fields under other names.

        Args:
            renamed: name of the field in the source, by name of the column.

        Raises:
            Rejected: `bad_request`: there is no such field or column.
        """
        for column, field in renamed.items():
            if column not in self._columns:
                near = nearest(column, self._columns.names)
                raise Rejected("bad_request", f"--map: {shown(column)} is no column{near}")
            if field not in self.fields:
                near = nearest(field, self.fields)
                raise Rejected("bad_request", f"--map: {self._name} has no {shown(field)}{near}")
        self._map = dict(renamed)

    @property
    def is_events(self) -> bool:
        """Tell whether it is an export of events."""
        return {"_seq", "_method", "_message", "_write"} <= set(self.fields)

    @property
    def strangers(self) -> list[str]:
        """The fields that are no columns: they are kept in the events, and in no row."""
        taken = set(self._map.values())
        known = (*self._columns.names, *ROW_OWN)
        return [name for name in self.fields if name not in taken and name not in known]

    def arrays(self) -> Arrays:
        """Iterate over the rows, `ARRAY_ROWS` at a time, each with an `id`.

        Where the source has none it is made of the row and its number: to import it again imports
        nothing twice.

        Raises:
            Rejected: `bad_body`: the source is not what it seems to be.
            Unavailable: it cannot be read now.
        """
        numbers = count(1)
        rows = iter(self._rows())
        while array := list(islice(rows, ARRAY_ROWS)):
            yield [self._named(row, next(numbers)) for row in array]

    def _named(self, row: Row, number: int) -> Row:
        if self.is_events:
            return row
        for column, field in self._map.items():
            row[column] = row.pop(field, None)
        named = {name: value for name, value in row.items() if name not in ROW_OWN}
        if named.get("id") is None:
            text = json.dumps([self._name, number, *sorted(named.items())], default=repr)
            digest = blake2b(text.encode(errors="replace"), digest_size=ID_BYTES).digest()
            named["id"] = urlsafe_b64encode(digest).decode().rstrip("=")
        return named


# --- Files ------------------------------------------------------------------------------------


def open_path(path: Path, columns: Columns) -> Source:
    """Return the rows of a file, by its name, or of a folder that was exported.

    Raises:
        Rejected: `bad_request`: there is no such file, or it is of no known kind; `bad_body`.
        Unavailable: it cannot be read.
    """
    if path.is_dir():
        manifest = load_manifest(path)
        if manifest is None or not manifest.complete:
            raise Rejected("bad_request", f"{path} is no folder of a complete export")
        parts = [path / part.file for part in manifest.parts]
    else:
        parts = [path]
    readers = [(part, _reader_of(part)) for part in parts]

    def rows() -> Iterator[Row]:
        for part, read in readers:
            with _told(part):
                yield from read(part, columns)[1]

    if not readers:
        return Source(columns, path.name, (), rows)
    first, read = readers[0]
    with _told(first):
        fields, _ = read(first, columns)
    return Source(columns, path.name, fields or (), rows)


def _reader_of(path: Path) -> _Read:
    if path.suffix.lower() not in _READERS:
        known = ", ".join(_READERS)
        raise Rejected("bad_request", f"{path}: only {known}, and URLs of databases, are read")
    if not path.exists():
        raise Rejected("bad_request", f"{path}: there is no such file")
    return _READERS[path.suffix.lower()]


class _told:  # noqa: N801 - reads as a function where it is used
    """Raises what a reader raises as an error of ours that names the file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        """End; what is ours, or a fault of ours, passes."""
        if isinstance(error, pa.ArrowInvalid | UnicodeError | msgspec.DecodeError):
            raise Rejected("bad_body", f"{self._path} cannot be read: {error}") from error
        if isinstance(error, OSError):
            raise Unavailable(f"{self._path} cannot be read: {error}") from error


def _csv(path: Path, columns: Columns) -> tuple[list[str], Iterable[Row]]:
    """Read CSV: all values are text, for Arrow would guess; nothing at all is NULL, `""` is not."""
    parse = arrow_csv.ParseOptions(newlines_in_values=True)
    with arrow_csv.open_csv(str(path), parse_options=parse) as opened:
        fields = opened.schema.names
    _check_fields(fields)
    convert = arrow_csv.ConvertOptions(
        column_types=dict.fromkeys(fields, pa.string()),
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )

    def rows() -> Iterator[Row]:
        with arrow_csv.open_csv(str(path), parse_options=parse, convert_options=convert) as opened:
            for batch in opened:
                yield from map(_json_of(columns), batch.to_pylist())

    return fields, rows()


def _parquet(path: Path, columns: Columns) -> tuple[list[str], Iterable[Row]]:
    def rows() -> Iterator[Row]:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(ARRAY_ROWS):
                yield from map(_json_of(columns), _plain(batch).to_pylist())

    fields = parquet.read_schema(path).names
    _check_fields(fields)
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
                yield from map(_json_of(columns), piece.to_pylist())

    fields = opened().schema.names
    _check_fields(fields)
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
        raw = _RAW.decode(line)
        return {
            name: (_EXACT if name in exact else _JSON).decode(value) for name, value in raw.items()
        }
    except (msgspec.DecodeError, UnicodeError) as error:
        raise Rejected("bad_body", f"row {number}: not a JSON object: {error}") from error


_RAW = msgspec.json.Decoder(dict[str, msgspec.Raw])
_EXACT: msgspec.json.Decoder[Any] = msgspec.json.Decoder(float_hook=Decimal)
_JSON: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
_READERS: dict[str, _Read] = {
    ".csv": _csv,
    ".ndjson": _ndjson,
    ".jsonl": _ndjson,
    ".parquet": _parquet,
    ".arrow": _arrow,
    ".feather": _arrow,
}


def _check_fields(fields: list[str]) -> None:
    if double := {name for name in fields if fields.count(name) > 1}:
        raise Rejected("bad_body", f"two fields have the name {shown(min(double))}")


def _json_of(columns: Columns) -> Callable[[Row], Row]:
    """Return what reads text of JSON columns as JSON; what is none is its own text."""
    documents = [column.name for column in columns if column.kind is Kind.JSON]

    def read(row: Row) -> Row:
        for name in documents:
            if isinstance(row.get(name), str):
                with suppress(ValueError):
                    row[name] = json.loads(row[name])
        return row

    return read


# --- Databases --------------------------------------------------------------------------------


def open_database(url: str, columns: Columns, *, table: str, query: str | None) -> Source:
    """Return the rows of a table, or of a query.

    Raises:
        Rejected: `bad_request`: the URL cannot be understood, or its driver is not installed.
        Unavailable: the database cannot be read.
    """
    engine = _engine(url)
    select = sa.text(query) if query is not None else sa.select(sa.text("*"))
    if isinstance(select, sa.Select):
        select = select.select_from(sa.table(table))
    place = without_credentials(url)

    def rows() -> Iterator[Row]:
        try:
            with engine.connect() as connection:
                streamed = connection.execution_options(stream_results=True, yield_per=ARRAY_ROWS)
                for row in streamed.execute(select).mappings():
                    yield _json_of(columns)({k: _value(v) for k, v in row.items()})
        except sa.exc.SQLAlchemyError as error:
            raise _unreadable(place, error) from error
        finally:
            engine.dispose()

    try:
        with engine.connect() as connection, connection.execute(select) as result:
            fields = list(result.keys())
    except sa.exc.SQLAlchemyError as error:
        raise _unreadable(place, error) from error
    _check_fields(fields)
    return Source(columns, f"{place} {query or table}", fields, rows)


def _engine(url: str) -> sa.Engine:
    try:
        parsed = sa.make_url(url)
        if parsed.get_backend_name() == "sqlite" and parsed.database:
            # SQLite would make a database that is not there.
            uri = f"file:{parsed.database}"
            parsed = parsed.set(database=uri).update_query_dict({"mode": "ro", "uri": "true"})
        drivers = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}
        parsed = parsed.set(drivername=drivers.get(parsed.drivername, parsed.drivername))
        arguments: dict[str, Any] = {}
        if parsed.get_backend_name() == "sqlite":
            arguments = {"check_same_thread": False}  # it is read in one thread after the other
        return sa.create_engine(parsed, hide_parameters=True, connect_args=arguments)
    except (sa.exc.ArgumentError, ValueError):
        raise Rejected("bad_request", f"{without_credentials(url)}: not a database's URL") from None
    except ImportError as error:
        raise Rejected("bad_request", f"the driver is not installed: {error.name}") from None


def _unreadable(place: str, error: sa.exc.SQLAlchemyError) -> Unavailable:
    told = str(getattr(error, "orig", None) or error).splitlines()[0]
    return Unavailable(f"{place} cannot be read: {told}")


def _value(value: Any) -> Any:
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC)
    return value
