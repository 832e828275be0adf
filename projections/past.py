"""Past: the versions of one row, and the rows that differ between two states of a table.

Both come from the history, which has no index. To compare the ids of a million events takes 25 ms,
to compare numbers 2 ms. So a row's lives are looked for where there are fewer ids: the row of each
of them exists, or was deleted.
"""

from collections.abc import AsyncIterator, Callable
from typing import Final, Protocol

import msgspec

from eventhub.audit.diff import Pair
from eventhub.audit.history import Page, Version
from projections.pages import row_json
from projections.store import Connection, Store
from projections.tables import Tables

PAGE_ROWS, PAGE_BYTES = 500, 1 << 20
"""A page of versions ends soon after one of both."""
_BLOCK_ROWS = 20
"""Versions that are fetched at once: a row may have 1 MB."""
PAIRS = 100
"""Rows that are compared at once."""
MAX_SEQUENCE: Final = 2**63 - 1
_TIME = "strftime(_time, '%Y-%m-%dT%H:%M:%S.%f') || 'Z'"


class Past(Protocol):
    """The past of one table."""

    def versions(self, row_id: str) -> AsyncIterator[list[Version]]:
        """Iterate over all versions of a row, oldest first, in pages; none if it never existed.

        Raises:
            Unavailable: the tables cannot be read.
        """

    def pairs(self, earlier: int, later: int) -> AsyncIterator[list[Pair]]:
        """Iterate over the rows with events after one sequence, up to another, in both states.

        They come in the order of their last event. Errors as `versions`.
        """


class StorePast:
    """The past of a store that this process has open, up to its watermark at least."""

    def __init__(self, store: Store, channel: str) -> None:
        self._store = store
        self._tables = store.tables[channel]

    async def versions(self, row_id: str) -> AsyncIterator[list[Version]]:
        """See `Past`. No transaction is open between two pages: a history only grows."""
        page = Page([], is_last=False)
        while not page.is_last:
            after = page.versions[-1].sequence if page.versions else 0
            page = await page_of(self._store, self._tables, row_id, after=after)
            if page.versions:
                yield page.versions

    async def pairs(self, earlier: int, later: int) -> AsyncIterator[list[Pair]]:
        """See `Past`."""
        async with self._store.reader() as reader:
            ends = await self._store.read(reader, lambda c: _ends(c, self._tables, earlier, later))
            for start in range(0, len(ends), PAIRS):
                some = ends[start : start + PAIRS]
                yield await self._store.read(reader, _pairing(self._tables, some))


async def page_of(
    store: Store, tables: Tables, row_id: str, *, after: int, up_to: int | None = None
) -> Page:
    """Return the versions of a row after a sequence, up to another; errors as `Store.read`."""
    async with store.reader() as reader:
        return await store.read(reader, lambda c: _page(c, tables, row_id, after, up_to))


def _page(
    connection: Connection, tables: Tables, row_id: str, after: int, up_to: int | None
) -> Page:
    connection.execute(
        f"SELECT _seq, {_TIME}, _method, _user, _endpoint, {_row(tables)}"  # noqa: S608 - quoted
        f" FROM {tables.history} WHERE _created_seq IN ({_lives(tables)}) AND _seq > $after"
        f" AND _seq <= coalesce($up_to, {MAX_SEQUENCE}) ORDER BY _seq LIMIT {PAGE_ROWS}",
        {"id": row_id, "after": after, "up_to": up_to},
    )
    found: list[Version] = []
    size = 0
    while size < PAGE_BYTES and len(found) < PAGE_ROWS:
        rows = connection.fetchmany(_BLOCK_ROWS)
        for sequence, time, method, user, endpoint, text in rows:
            size += len(text or "")
            row = None if text is None else msgspec.json.decode(text)
            found.append(
                Version(
                    sequence=sequence,
                    time=time,
                    method=method,
                    user=user,
                    endpoint=endpoint,
                    row=row,
                )
            )
        if len(rows) < _BLOCK_ROWS and len(found) < PAGE_ROWS:
            return Page(found, is_last=True)
    return Page(found, is_last=False)


def _lives(tables: Tables) -> str:
    """Return the SQL of the `_created_seq` of each life of the row `$id`."""
    return (
        f"SELECT _created_seq FROM {tables.current} WHERE id = $id UNION ALL"  # noqa: S608 - quoted
        f" SELECT _created_seq FROM {tables.history} WHERE _method = 'DELETE' AND id = $id"
    )


_End = tuple[str, int | None, int | None]
"""An id, with the sequences of its last events in both states."""


def _ends(connection: Connection, tables: Tables, earlier: int, later: int) -> list[_End]:
    """Return the ids with events after one sequence, up to another, by their last event."""
    return connection.execute(
        f"SELECT id, max(_seq) FILTER (_seq <= $earlier), max(_seq) AS last FROM {tables.history}"  # noqa: S608 - quoted
        " WHERE _seq <= $later GROUP BY id HAVING last > $earlier ORDER BY last",
        {"earlier": earlier, "later": later},
    ).fetchall()


def _pairing(tables: Tables, ends: list[_End]) -> Callable[[Connection], list[Pair]]:
    def pairs(connection: Connection) -> list[Pair]:
        wanted = [sequence for _, *both in ends for sequence in both if sequence is not None]
        found = connection.execute(
            f"SELECT _seq, {_row(tables)} FROM {tables.history}"  # noqa: S608 - quoted
            " WHERE _seq IN (SELECT unnest($wanted)) AND _method <> 'DELETE'",
            {"wanted": wanted},
        ).fetchall()
        rows = {sequence: msgspec.json.decode(text) for sequence, text in found}
        return [
            Pair(id=row_id, before=rows.get(before), after=rows.get(after))
            for row_id, before, after in ends
        ]

    return pairs


def _row(tables: Tables) -> str:
    """Return the SQL of a row as its event has it; NULL after a DELETE."""
    return f"CASE WHEN _method <> 'DELETE' THEN {row_json(tables, tables.columns.names)} END"
