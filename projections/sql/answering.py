"""Answering: one statement in its read-only transaction, its rows in a file."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import duckdb
import pyarrow as pa

from eventhub.errors import CODES, Rejected, Unavailable
from eventhub.event import Position
from eventhub.queries import Answer, positions_text
from projections.progress import read_progress
from projections.sql.encoding import distinct, writer_of
from projections.sql.guard import check, parse, shortened
from projections.sql.messages import Query, Result

BATCH_ROWS = 200
"""Fetched at once: rows may have a megabyte each."""
STEP_BYTES = 4 << 20
"""What is fetched before it is written."""
STEP_ROWS = 20_000
RESERVED_BYTES = 256 << 20
"""Left free on the disk."""
MAX_BYTES = 1 << 30
"""Of one answer; it is cut there, and says so."""


def answer(
    connection: duckdb.DuckDBPyConnection,
    query: Query,
    path: Path,
    tables: Sequence[str],
    macros: frozenset[str],
) -> Result:
    """Run a statement and write its rows, or what of them is below the limits.

    Args:
        connection: in a read-only transaction.
        query: the statement.
        path: of the file, which is made.
        tables: whose progress is the position of the answer.
        macros: as in `check`.

    Raises:
        Rejected: `bad_sql`, `bad_request`, `too_costly`; `bad_position`: a moment of a macro.
        Unavailable: DuckDB or the disk failed.
        duckdb.InterruptException: as it says.
    """
    try:
        position = _position(connection, tables)
        statement = parse(connection, query.sql)
        check(connection, statement, query.parameters, macros)
        with _made(path) as file:
            return _write(connection, statement, query, file, position)
    except duckdb.InterruptException:
        raise
    except (duckdb.OutOfMemoryException, MemoryError, pa.ArrowMemoryError):
        raise Rejected("too_costly", "the query needs more memory than it may have") from None
    except duckdb.FatalException as error:
        raise Unavailable(f"the tables cannot be read: {error}") from error
    except duckdb.Error as error:
        text = shortened(error)
        said = text.removeprefix("Invalid Input Error: ")
        is_moment = said.partition(":")[0].lower() in macros
        raise Rejected(*(("bad_position", said) if is_moment else ("bad_sql", text))) from None
    except (pa.ArrowException, ValueError, OverflowError) as error:
        if "INTERRUPT" in str(error):
            raise duckdb.InterruptException(str(error)) from error
        text = f"the result cannot be written as {query.format}: {shortened(error)}"
        raise Rejected("bad_request", text, column="_format") from None
    except OSError as error:
        if "INTERRUPT" in str(error):
            raise duckdb.InterruptException(str(error)) from error
        raise Unavailable(f"the answer cannot be written: {error}") from error


@contextmanager
def _made(path: Path) -> Iterator[BinaryIO]:
    """Make a file, which is gone if the block fails."""
    with path.open("xb") as file:
        try:
            yield file
        except BaseException:
            path.unlink(missing_ok=True)
            raise


def _position(connection: duckdb.DuckDBPyConnection, tables: Sequence[str]) -> str:
    positions = {}
    for name in tables:
        progress = read_progress(connection, name)
        positions[name] = Position(progress.epoch, progress.watermark)
    return positions_text(positions)


def _write(
    connection: duckdb.DuckDBPyConnection,
    statement: duckdb.Statement,
    query: Query,
    file: BinaryIO,
    position: str,
) -> Result:
    text = _described(statement) if query.rows == 0 else statement
    found = connection.sql(text, params=query.parameters or None)
    if found is None:
        raise Rejected("bad_sql", "only SELECT is possible")
    kinds = [str(kind) for kind in found.types]
    documents = frozenset(number for number, kind in enumerate(kinds) if kind == "JSON")
    reader = found.to_arrow_reader(BATCH_ROWS)
    names = distinct(reader.schema.names)
    schema = pa.schema([f.with_name(n) for f, n in zip(reader.schema, names, strict=True)])
    writer = writer_of(query.format, file, schema, documents)
    rows, is_truncated = 0, False
    for batch in _batches(reader, schema):
        _check_room(file)
        room = query.rows - rows
        is_truncated = len(batch) > room or file.tell() > MAX_BYTES
        kept = batch.slice(0, room)
        if len(kept):
            writer.write(kept)
        rows += len(kept)
        if is_truncated:
            break
    writer.close()
    columns = list(zip(names, kinds, strict=True))
    return Result(
        rows=rows, size=file.tell(), columns=columns, position=position, truncated=is_truncated
    )


def _described(statement: duckdb.Statement) -> str:
    """Return a statement that has the columns of another one, and costs nothing."""
    text = statement.query.encode()
    for offset, kind in duckdb.tokenize(statement.query):
        if kind == duckdb.token_type.operator and text[offset:].startswith(b";"):
            text = text[:offset]
            break
    return f"SELECT * FROM (\n{text.decode()}\n) LIMIT 0"  # noqa: S608 - it was checked


def _check_room(file: BinaryIO) -> None:
    """Leave room for the log and the tables: an answer must not stop the hub."""
    disk = os.fstatvfs(file.fileno())
    if disk.f_bavail * disk.f_frsize < RESERVED_BYTES:
        raise Unavailable("the disk has no room for the answer")


def _batches(reader: pa.RecordBatchReader, schema: pa.Schema) -> Iterator[pa.Table]:
    """Gather batches, as many as are worth a step."""
    waiting: list[pa.RecordBatch] = []
    size = rows = 0
    for batch in reader:
        waiting.append(pa.RecordBatch.from_arrays(batch.columns, schema=schema))
        size += batch.nbytes
        rows += len(batch)
        if size >= STEP_BYTES or rows >= STEP_ROWS:
            yield pa.Table.from_batches(waiting)
            waiting, size, rows = [], 0, 0
    if waiting:
        yield pa.Table.from_batches(waiting)


def opened(result: Result, path: Path) -> Answer:
    """Open the file of a result; it has no name from then on.

    Raises:
        Rejected, Unavailable: what the result was refused with; the file is gone.
    """
    if (refused := result.refused) is not None:
        if refused.code in CODES and not CODES[refused.code].retry:
            raise Rejected(refused.code, refused.message, column=refused.column)
        raise Unavailable(refused.message)
    try:
        file = path.open("rb")
    except OSError as error:
        raise Unavailable(f"the answer is gone: {error}: try again") from error
    path.unlink()
    return Answer(
        file=file,
        size=result.size,
        rows=result.rows,
        columns=tuple(result.columns),
        position=result.position,
        truncated=result.truncated,
    )
