"""Mirror engine: the connection to the database that a `url:` names, and what its errors mean."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from sqlite3 import Error as SQLiteError
from typing import Any, Final

import sqlalchemy as sa

from eventhub.errors import EventHubError, Misconfigured
from projections.mirror_columns import MYSQL

CONNECT_SECONDS: Final = 10
STATEMENT_SECONDS: Final = 300
"""After this a statement is given up: a rebuild may delete all rows of a large table."""
LOCK_SECONDS: Final = 10
"""How long a statement waits for another program that writes."""
READS: Final = "eventhub_reads"
"""Execution option of a transaction that only reads."""

REASONS: Final = {
    "unreachable": "The database does not answer, or refuses the login.",
    "full": "Its disk is full.",
    "locked": "Another program has locked the table for too long.",
    "columns": "The table has other columns than `columns:` says, or of other types.",
    "foreign": "The table has rows that are not of this log, or of a later state of it.",
    "refused": "The database refused a row: a constraint or a trigger of its own.",
    "moved": "Another hub writes to the same table.",
    "failed": "Anything else; the text is the database's.",
}
"""Codes of `MirrorFailed`; docs/mirror.md prints them."""

_DRIVERS: Final = {
    "sqlite": "sqlite+pysqlite",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
}
_MYSQL_REASONS: Final = {
    **dict.fromkeys((1040, 1044, 1045, 1049, 1053, 1129, 1130, 1203, 1927), "unreachable"),
    **dict.fromkeys((1021, 1114), "full"),
    **dict.fromkeys((1205, 1213), "locked"),
    **dict.fromkeys((1644, 3819, 4025), "refused"),  # by a trigger, or a CHECK
}
"""By the numbers of the server's errors; PyMySQL has one class for most of them."""
_KEEP_ALIVE: Final = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}


class MirrorFailed(EventHubError):  # noqa: N818 - reads as a sentence where it is raised
    """The mirror cannot be read or written now; `code` is one of `REASONS`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code


def open_engine(url: str) -> sa.Engine:
    """Return an engine for a URL; nothing is connected yet.

    Raises:
        Misconfigured: the URL cannot be understood, or its driver is not installed.
    """
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        raise Misconfigured("url: not the URL of a database, as sqlite:///FILE") from None
    dialect = parsed.get_backend_name()
    if parsed.drivername not in (*_DRIVERS, *_DRIVERS.values()):
        known = ", ".join(_DRIVERS)
        raise Misconfigured(f"url: {parsed.drivername}: a mirror can be in {known}, or use duckdb")
    parsed = parsed.set(drivername=_DRIVERS.get(parsed.drivername, parsed.drivername))
    arguments: dict[str, Any] = {"connect_timeout": CONNECT_SECONDS}
    if dialect == "sqlite":
        if parsed.database in (None, "", ":memory:"):
            raise Misconfigured("url: use sqlite:///FILE: the mirror is a file")
        arguments = {"timeout": LOCK_SECONDS}
    elif dialect in MYSQL:
        arguments |= {"read_timeout": STATEMENT_SECONDS, "write_timeout": STATEMENT_SECONDS}
        arguments |= {"charset": "utf8mb4", "init_command": _mysql_session()}
        arguments |= {"sql_mode": "STRICT_ALL_TABLES"}  # a value that is too long is an error
    else:
        # A pooler between hub and database may give each transaction another connection.
        arguments |= {**_KEEP_ALIVE, "prepare_threshold": None}
    try:
        engine = sa.create_engine(
            parsed,
            connect_args=arguments,
            pool_size=1,
            max_overflow=1,
            pool_pre_ping=dialect != "sqlite",  # it may have restarted since the last batch
            hide_parameters=True,
        )
    except ImportError as error:
        extra = "mysql" if dialect in MYSQL else "postgres"
        raise Misconfigured(
            f"url: the driver is not installed ({error.name}): pip install 'eventhub[{extra}]'"
        ) from None
    _prepare(engine)
    return engine


def _prepare(engine: sa.Engine) -> None:
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _prepare_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
    elif engine.dialect.name == "postgresql":
        sa.event.listen(engine, "connect", _prepare_postgresql)


def _mysql_session() -> str:
    waits = ("innodb_lock_wait_timeout", "lock_wait_timeout")
    limits = ", ".join(f"{name} = {LOCK_SECONDS}" for name in waits)
    return f"SET SESSION time_zone = '+00:00', {limits}"


def interrupt(connection: Any) -> None:
    """End the statement that runs on a driver's connection, from any thread."""
    end = getattr(connection, "interrupt", None) or getattr(connection, "cancel", None)
    if end is not None:
        end()
    elif connection is not None:
        connection._sock.shutdown(socket.SHUT_RDWR)  # PyMySQL has no other way


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions begin with `_begin_sqlite` alone
    with suppress(SQLiteError):  # locked or read-only: the next write reports it
        # Programs that read the file do not wait for the hub, nor the hub for them.
        connection.execute("PRAGMA journal_mode = WAL")
    # A power cut may take the last transactions back, with their checkpoint: the log has them.
    connection.execute("PRAGMA synchronous = NORMAL")


def _begin_sqlite(connection: sa.Connection) -> None:
    reads = connection.get_execution_options().get(READS)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _prepare_postgresql(connection: Any, _record: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SET statement_timeout = '{STATEMENT_SECONDS}s'")
        cursor.execute(f"SET lock_timeout = '{LOCK_SECONDS}s'")
    connection.commit()


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Raise what the database raises in a block as `MirrorFailed`.

    Args:
        what: names the table in messages.
    """
    try:
        yield
    except sa.exc.SQLAlchemyError as error:
        raise MirrorFailed(_reason(error), f"{what}: {error_text(error)}") from error


def _reason(error: sa.exc.SQLAlchemyError) -> str:
    text, orig = error_text(error).lower(), getattr(error, "orig", None)
    state = str(getattr(orig, "sqlstate", None) or "")
    number = _mysql_number(orig)
    if number in _MYSQL_REASONS:
        return _MYSQL_REASONS[number]
    if state == "53100" or "is full" in text or "no space left" in text:
        return "full"
    if state in ("55P03", "57014") or "is locked" in text:
        return "locked"
    if isinstance(error, sa.exc.IntegrityError | sa.exc.DataError):
        return "refused"
    if isinstance(orig, SQLiteError):
        return "unreachable" if "unable to open" in text else "failed"
    is_lost = isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError)
    if number is not None:  # PyMySQL's own errors have 2000 and more, or 0
        is_lost = is_lost and not 0 < number < 2000
    if is_lost and (not state or state[:2] in ("08", "28", "3D", "53", "57")):
        return "unreachable"
    return "failed"


def _mysql_number(error: BaseException | None) -> int | None:
    """Return the number of an error of MySQL or its driver; None of other databases."""
    if error is None or type(error).__module__ != "pymysql.err":
        return None
    return error.args[0] if error.args and isinstance(error.args[0], int) else 0


def error_text(error: sa.exc.SQLAlchemyError) -> str:
    """Return the first line of the database's message: others quote the statement, or values."""
    orig = getattr(error, "orig", None)
    # PyMySQL's errors are a number and a text.
    shown = orig.args[1] if orig and _mysql_number(orig) and len(orig.args) > 1 else orig or error
    lines = str(shown).strip().splitlines()
    return lines[0] if lines else type(error).__name__
