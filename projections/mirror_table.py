"""Mirror table: the current rows of one channel, in a database that other programs read.

A batch of events and the checkpoint commit in one transaction, and only from the checkpoint that
the batch follows: whatever is killed in between, and whoever else writes, an event is applied once.
All of it blocks: it is called in a thread.
"""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from eventhub.channel import Channel
from eventhub.columns import STAMP
from eventhub.errors import Misconfigured
from eventhub.event import Sealed
from projections.mirror_changes import Folded, RowWriter
from projections.mirror_columns import MYSQL, MYSQL_TEXT
from projections.mirror_engine import READS, MirrorFailed, interrupt, open_engine, translated
from projections.mirror_schema import TRANSACTIONS, Schema
from projections.mirror_values import Values

_NAME = sa.String(255).with_variant(mysql.VARCHAR(255, collation="utf8mb4_bin"), *MYSQL)
BOOK: Final = sa.Table(
    "eventhub_mirror",
    sa.MetaData(),
    sa.Column("table_name", _NAME, primary_key=True),
    sa.Column("epoch", _NAME, nullable=False),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("write", _NAME, nullable=False),
    sa.Column("columns", sa.Text().with_variant(MYSQL_TEXT, *MYSQL), nullable=False),
    **TRANSACTIONS,
)
"""How far each table is: the checkpoint, with the id of the write of the event there, by which
another event at the same sequence is known; and the columns that the rows were written with."""
CHUNK_ROWS: Final = 500
"""Rows read at once."""


class Standing(NamedTuple):
    """What a database holds of a channel."""

    epoch: str = ""
    """Of the log that the table mirrors; empty if it mirrors none yet."""
    head: int = 0
    """The last event that it has."""
    has_rows: bool = False
    write: str = ""
    """Of this event; empty before the first."""


class MirrorTable:
    """The mirror of one channel. Every method may raise `MirrorFailed`."""

    def __init__(self, channel: Channel, url: str) -> None:
        """Get ready; nothing is connected yet.

        Raises:
            Misconfigured: the URL or the table's name cannot be used.
        """
        self.channel = channel
        self._engine = open_engine(url)
        self.dialect = self._engine.dialect.name
        if channel.name.lower() == BOOK.name:
            raise Misconfigured(f"table {channel.name!r}: the name is taken by the mirror")
        shown = self._engine.url
        self.name = f"table {channel.name} in {shown.get_backend_name()}:{shown.database}"
        """For people: names no login."""
        self._raw: object = None
        """The driver's connection whose transaction is open, if one is."""
        self._schema = Schema(channel, self._engine.dialect, self.name)
        self.values = Values(channel.columns, self.dialect)
        self._table = sa.table(channel.name, *map(sa.column, channel.columns.names))
        self._writer = RowWriter(self._table, self.values, self._engine.dialect)

    def interrupt(self) -> None:
        """End the statement that runs, from any thread, so that its thread ends soon."""
        with suppress(Exception):  # it has just ended, or the database is gone
            interrupt(self._raw)

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    @property
    def identity(self) -> str:
        """What names this table in this database, whoever logs in: letters and digits."""
        place = self._engine.url.set(username=None, password=None, query={})
        named = f"{place.render_as_string()} {self.channel.name}"
        return blake2b(named.encode(), digest_size=8).hexdigest()

    # --- Whose rows are there -------------------------------------------------------------------

    def standing(self) -> Standing:
        """Return what the database holds now."""
        with self._transaction() as connection:
            return self._standing(connection)

    def take_up(self, epoch: str) -> int:
        """Make the table ready, and return the sequence of the last event that it has.

        Args:
            epoch: of the log.

        Raises:
            MirrorFailed: `foreign` or `columns`; nothing was changed.
        """
        with self._transaction() as connection:
            standing = self._standing(connection)
            if standing.epoch != epoch:
                if standing.has_rows:
                    raise self.foreign(standing)
                self._claim(connection, epoch)
                return 0
            described = self._described(connection)
            if self._schema.match(connection, described):
                self._empty(connection, epoch)
                return 0
            if described != self._schema.described:
                now = sa.update(BOOK).where(self._is_mine).values(columns=self._schema.described)
                connection.execute(now)
            return standing.head

    def take_over(self, epoch: str, *, keeps_copy: bool) -> None:
        """Make a table with rows of another program the mirror of a log, which has these rows.

        Args:
            epoch: of the log.
            keeps_copy: some rows are not in the log: the whole table is copied, and emptied.
        """
        with self._transaction() as connection:
            if keeps_copy:
                self._schema.copy(connection)
                connection.execute(sa.delete(self._table))
            self._claim(connection, epoch)

    def clear(self, epoch: str) -> None:
        """Begin again: delete all rows, whoever they are of."""
        with self._transaction() as connection:
            self._claim(connection, epoch)
            self._empty(connection, epoch)

    def _standing(self, connection: sa.Connection) -> Standing:
        BOOK.create(connection, checkfirst=True)
        book = sa.select(BOOK.c.epoch, BOOK.c.seq, BOOK.c.write).where(self._is_mine)
        epoch, head, write = connection.execute(book).one_or_none() or ("", 0, "")
        if not sa.inspect(connection).has_table(self.channel.name):
            return Standing()  # dropped, if the book knows it
        first = connection.execute(sa.select(sa.literal(1)).select_from(self._table).limit(1))
        return Standing(epoch, head, first.first() is not None, write)

    def foreign(self, standing: Standing) -> MirrorFailed:
        """Return the error of a table whose rows are not of the log."""
        whose = "that the log does not have"
        if standing.epoch:
            whose = "of another log, or of a later state of it"
        return MirrorFailed(
            "foreign",
            f"{self.name} has rows {whose}: name another table or database, or replace its rows by"
            " those of the log with `eventhub rebuild FILE --mirror`",
        )

    def _claim(self, connection: sa.Connection, epoch: str) -> None:
        """Make the table what the columns say, and begin at the start of the log."""
        BOOK.create(connection, checkfirst=True)
        self._schema.make(connection, self._described(connection))
        self._write_book(connection, epoch)

    def _empty(self, connection: sa.Connection, epoch: str) -> None:
        connection.execute(sa.delete(self._table))
        self._write_book(connection, epoch)

    def _write_book(self, connection: sa.Connection, epoch: str) -> None:
        row = {"epoch": epoch, "seq": 0, "write": "", "columns": self._schema.described}
        connection.execute(sa.delete(BOOK).where(self._is_mine))
        connection.execute(sa.insert(BOOK).values(table_name=self.channel.name, **row))

    def _described(self, connection: sa.Connection) -> str:
        """Return the columns that this mirror has written its rows with."""
        return connection.scalar(sa.select(BOOK.c.columns).where(self._is_mine)) or "{}"

    @property
    def _is_mine(self) -> sa.ColumnElement[bool]:
        return BOOK.c.table_name == self.channel.name

    # --- Writing --------------------------------------------------------------------------------

    def apply(self, epoch: str, head: int, batch: Sequence[Sealed]) -> int:
        """Apply events in order, and return the sequence of the last.

        Args:
            epoch: of the log.
            head: the event before the batch.
            batch: all events that the log has after it, up to some sequence.

        Raises:
            MirrorFailed: nothing was applied; `moved`: the table is not at `head`.
        """
        folded = Folded(batch)
        is_at_head = self._is_mine & (BOOK.c.epoch == epoch) & (BOOK.c.seq == head)
        with self._transaction() as connection:
            checkpoint = {"seq": batch[-1].sequence, "write": folded.write}
            moved = sa.update(BOOK).where(is_at_head).values(checkpoint)
            if connection.execute(moved).rowcount != 1:
                raise MirrorFailed("moved", f"{self.name} is not at event {head} any more")
            self._writer.write(connection, folded)
        return batch[-1].sequence

    # --- Reading --------------------------------------------------------------------------------

    def count(self) -> int:
        """Return how many rows another program wrote.

        Raises:
            MirrorFailed: `columns`: the mirror could not go on with this table.
        """
        with self._transaction(reads=True) as connection:
            self._schema.check(connection)
            return connection.scalar(sa.select(sa.func.count()).select_from(self._table)) or 0

    def old_rows(self) -> Generator[list[dict[str, Any]], None, None]:
        """Iterate over the rows of another program, oldest first, as a client would send them."""
        with self._transaction(reads=True) as connection:
            present = {c["name"] for c in sa.inspect(connection).get_columns(self._table.name)}
            names = [name for name in self.channel.columns.names if name in present]
            rows = sa.select(*(self._table.c[name] for name in names)).order_by(*self._age(present))
            for chunk in connection.execute(
                rows.execution_options(yield_per=CHUNK_ROWS)
            ).partitions():
                yield [self.values.given(names, row) for row in chunk]

    def _age(self, present: set[str]) -> list[sa.ColumnElement[Any]]:
        """Return what rows are ordered by: SQLite knows in which order they were made."""
        if self.dialect == "sqlite":
            return [sa.literal_column("rowid")]
        columns = [self._table.c[name] for name in (STAMP, "id") if name in present]
        if self.dialect == "postgresql":
            return [sa.collate(column, "C").nulls_first() for column in columns]
        return list(columns)

    @contextmanager
    def listing(self) -> Iterator[tuple[Standing, Iterator[list[dict[str, Any]]]]]:
        """Open the rows at one moment, as events have them, with how far they are."""
        with self._transaction(reads=True) as connection:
            inspector = sa.inspect(connection)
            if not (inspector.has_table(BOOK.name) and inspector.has_table(self.channel.name)):
                yield Standing(), iter(())
                return
            yield self._standing(connection), self._rows(connection)

    def _rows(self, connection: sa.Connection) -> Iterator[list[dict[str, Any]]]:
        rows = sa.select(*self._table.c).execution_options(yield_per=CHUNK_ROWS)
        with translated(self.name):
            for chunk in connection.execute(rows).partitions():
                yield [self.values.read(row) for row in chunk]

    @contextmanager
    def _transaction(self, *, reads: bool = False) -> Iterator[sa.Connection]:
        options: dict[str, Any] = {READS: reads}
        if reads and self.dialect != "sqlite":
            options["isolation_level"] = "REPEATABLE READ"
        with translated(self.name), self._engine.connect() as connection:
            connection = connection.execution_options(**options)
            self._raw = connection.connection.dbapi_connection
            try:
                with connection.begin():
                    yield connection
            finally:
                self._raw = None
