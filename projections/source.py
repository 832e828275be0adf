"""Source: the rows that an import reads, a thousand at a time, wherever they are.

Values have types where the source has them, and are text where it has none (CSV). The columns of
the table decide what they become, as for a message of a client.
"""

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from hashlib import blake2b
from itertools import count, islice
from typing import Any, Final

from eventhub.columns import Columns, Kind
from eventhub.errors import Rejected
from eventhub.filters.arguments import nearest, shown

ARRAY_ROWS: Final = 1_000
ID_BYTES: Final = 16
ROW_OWN: Final = frozenset(("_seq", "_created_seq", "_time"))
"""Fields that exported rows have besides the columns; an import sets them again."""
Row = dict[str, Any]
Arrays = Iterator[list[Row]]


class Source:
    """Rows of one file, folder or database. `arrays` reads them from the beginning each time."""

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
                raise Rejected("bad_request", f"--map: {shown(column)} is not a column{near}")
            if field not in self.fields:
                near = nearest(field, self.fields)
                raise Rejected("bad_request", f"--map: {self._name} has no {shown(field)}{near}")
        self._map = dict(renamed)

    @property
    def is_events(self) -> bool:
        """Whether it is an export of events."""
        return {"_seq", "_method", "_message", "_write"} <= set(self.fields)

    @property
    def strangers(self) -> list[str]:
        """Fields that are not columns: events keep them, rows do not."""
        taken = set(self._map.values())
        known = (*self._columns.names, *ROW_OWN)
        return [name for name in self.fields if name not in taken and name not in known]

    def arrays(self) -> Arrays:
        """Iterate over the rows, `ARRAY_ROWS` at a time, each with an `id`.

        A missing `id` is derived from the row and its number, so that a second import of the same
        source adds nothing.

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


def check_fields(fields: list[str]) -> None:
    """Refuse a source with two fields of one name.

    Raises:
        Rejected: `bad_body`.
    """
    if double := {name for name in fields if fields.count(name) > 1}:
        raise Rejected("bad_body", f"two fields have the name {shown(min(double))}")


def json_of(columns: Columns) -> Callable[[Row], Row]:
    """Return a function that decodes JSON columns of a row; text that is not JSON stays text."""
    documents = [column.name for column in columns if column.kind is Kind.JSON]

    def read(row: Row) -> Row:
        for name in documents:
            if isinstance(row.get(name), str):
                with suppress(ValueError):
                    row[name] = json.loads(row[name])
        return row

    return read
