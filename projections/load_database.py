"""Load database: the rows of a table, or of a query, in any database that SQLAlchemy knows."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from eventhub.columns import Columns
from eventhub.errors import Rejected, Unavailable
from eventhub.masking import without_credentials
from projections.mirror_engine import error_text
from projections.source import ARRAY_ROWS, Row, Source, check_fields, json_of


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
                    yield json_of(columns)({k: _value(v) for k, v in row.items()})
        except sa.exc.SQLAlchemyError as error:
            raise _unreadable(place, error) from error
        finally:
            engine.dispose()

    try:
        with engine.connect() as connection, connection.execute(select) as result:
            fields = list(result.keys())
    except sa.exc.SQLAlchemyError as error:
        raise _unreadable(place, error) from error
    check_fields(fields)
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
    return Unavailable(f"{place} cannot be read: {error_text(error)}")


def _value(value: Any) -> Any:
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC)
    return value
