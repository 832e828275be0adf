"""Mirror changes: what a batch of events does to the rows of a table in another database."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from eventhub.event import Sealed
from eventhub.methods import Method
from projections.mirror_values import Values

CHUNK_IDS: Final = 500
"""Ids named in one statement."""


class _Change(msgspec.Struct, gc=False):
    """What the mirror reads of an event."""

    method: Method
    id: str
    write: str
    row: dict[str, Any] | None = None


_DECODER = msgspec.json.Decoder(_Change)


class Folded:
    """What a batch of events does to each row: the last event of an id decides."""

    def __init__(self, batch: Sequence[Sealed]) -> None:
        self.renewed: set[str] = set()
        """Ids that were posted or deleted: a row of before, if there is one, goes."""
        self.made: dict[str, Mapping[str, Any]] = {}
        """Rows that were posted and are there now, in the order of their POSTs."""
        self.changed: dict[str, Mapping[str, Any]] = {}
        """Rows that were there before, and are now."""
        self.write = ""
        """Id of the write of the last event."""
        for sealed in batch:
            change = _DECODER.decode(sealed.payload)
            self.write = change.write
            if change.method != "PUT":
                self.renewed.add(change.id)
                self.made.pop(change.id, None)
                self.changed.pop(change.id, None)
            if change.row is not None:
                rows = self.made if change.id in self.renewed else self.changed
                rows[change.id] = change.row


class _Statement:
    """A statement for many rows, compiled once: SQLAlchemy's own way costs twice as much a row."""

    def __init__(
        self, clause: sa.Executable, dialect: sa.Dialect, parameters: Sequence[str]
    ) -> None:
        assert isinstance(clause, sa.ClauseElement)  # noqa: S101 - all executables are
        compiled = clause.compile(dialect=dialect)
        assert isinstance(compiled, sa.Compiled)  # noqa: S101
        self._text = str(compiled)
        self._parameters = parameters
        order: Sequence[str] | None = getattr(compiled, "positiontup", None)
        assert order is None or list(order) == parameters  # noqa: S101 - as the clause has them
        self._is_positional = order is not None

    def run(self, connection: sa.Connection, rows: Sequence[tuple[Any, ...]]) -> int:
        """Run it for each row of parameters, and return how many rows it met."""
        values: Any = rows
        if not self._is_positional:
            values = [dict(zip(self._parameters, row, strict=True)) for row in rows]
        return connection.exec_driver_sql(self._text, values).rowcount


class RowWriter:
    """Writes the rows of one table."""

    def __init__(self, table: sa.TableClause, values: Values, dialect: sa.Dialect) -> None:
        # No column begins with an underscore, so that no parameter has the name of one.
        names = [f"_{number}" for number in range(len(table.c))]
        marked: dict[str, Any] = {
            column.name: sa.bindparam(name) for column, name in zip(table.c, names, strict=True)
        }
        has_id = table.c.id == sa.bindparam("_id")
        update = sa.update(table).where(has_id).values(marked)
        self._values = values
        self._insert = _Statement(sa.insert(table).values(marked), dialect, names)
        self._update = _Statement(update, dialect, [*names, "_id"])
        self._delete = sa.delete(table).where(table.c.id.in_(sa.bindparam("_ids", expanding=True)))

    def write(self, connection: sa.Connection, folded: Folded) -> None:
        """Bring the rows to what a batch makes of them, in the transaction that is open."""
        if not self._change(connection, folded.changed):
            # The event that made a row is missing or damaged.
            folded.renewed |= folded.changed.keys()
            folded.made |= folded.changed
        names = sorted(folded.renewed)
        for start in range(0, len(names), CHUNK_IDS):
            connection.execute(self._delete, {"_ids": names[start : start + CHUNK_IDS]})
        if folded.made:
            self._insert.run(connection, [self._values.bound(row) for row in folded.made.values()])

    def _change(self, connection: sa.Connection, rows: Mapping[str, Mapping[str, Any]]) -> bool:
        """Update rows in place, and tell whether all of them were there."""
        if not rows:
            return True
        changes = [(*self._values.bound(row), row_id) for row_id, row in rows.items()]
        return self._update.run(connection, changes) == len(rows)
