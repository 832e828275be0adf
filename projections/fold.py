"""Fold: history into current rows.

The last event of an id decides: its row after, or nothing after a DELETE. So a fold of any stretch
of history can be repeated, and stretches may be cut anywhere.
"""

import duckdb

from projections.tables import Tables, quoted_list


def fold(connection: duckdb.DuckDBPyConnection, tables: Tables, after: int) -> None:
    """Move the current table over all history after a sequence, in the transaction that is open.

    DELETE and INSERT: updating rows in place costs fifty times as much at this size. History is
    stored in the order of `_seq`, so the condition on it skips all older blocks.
    """
    names = quoted_list(tables.current_names)
    connection.execute(
        f"DELETE FROM {tables.current} WHERE id IN"  # noqa: S608 - quoted
        f" (SELECT id FROM {tables.history} WHERE _seq > ?)",
        [after],
    )
    connection.execute(
        f"INSERT INTO {tables.current} ({names}) SELECT {names} FROM {tables.history}"  # noqa: S608 - quoted
        " WHERE _seq > ? QUALIFY row_number() OVER (PARTITION BY id ORDER BY _seq DESC) = 1"
        " AND _method <> 'DELETE'",
        [after],
    )
