"""Guard: which statements are run: a single SELECT that calls nothing outside of its tables.

The statement is judged by the tree that DuckDB itself makes of it. The guard is not what contains a
statement: one that slips through cannot reach what the process does not hold, cannot open a file or
change a setting, and runs alone in a read-only transaction.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import duckdb
import msgspec

from eventhub.errors import Rejected

MAX_LENGTH: Final = 100_000
"""Characters of a statement."""
MAX_MESSAGE: Final = 2000
"""Characters of an error."""
MAX_DEPTH: Final = 200
"""Of the tree: DuckDB itself stops at a thousand."""
_NODES: Final = frozenset(("SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"))
_TABLE_FUNCTIONS: Final = frozenset(
    (
        *("unnest", "range", "generate_series", "repeat", "repeat_row", "generate_subscripts"),
        *("json_each", "json_tree", "regexp_split_to_table", "pg_timezone_names"),
        *("icu_calendar_names", "duckdb_columns", "duckdb_functions", "duckdb_keywords"),
        *("duckdb_schemas", "duckdb_tables", "duckdb_types", "duckdb_views"),
    )
)
"""All others read files, settings or statements in texts, or change the process."""
_FUNCTIONS: Final = frozenset(
    (
        *("current_setting", "write_log", "nextval", "setval", "currval", "sleep_ms", "pg_sleep"),
        *("getvariable", "getenv", "parse_duckdb_log_message", "query", "query_table"),
    )
)
"""Functions that are refused: they change the process, wait, or show how it is set."""
_VIEWS: Final = frozenset(
    (
        *("duckdb_databases", "duckdb_logs", "pragma_database_list", "pg_settings"),
        *("pg_database", "pg_prepared_statements", "duckdb_settings", "duckdb_secrets"),
    )
)
"""Views that are refused: they show paths and settings."""
_SHOWS: Final = frozenset(('"tables"', "__show_tables_expanded"))


def parse(connection: duckdb.DuckDBPyConnection, sql: str) -> duckdb.Statement:
    """Return the only statement of a text. What is judged is then what is run.

    It is also a bound of its own: in a read-only transaction one statement writes nothing, but
    after a COMMIT, the next one could.

    Raises:
        Rejected: `bad_sql`.
    """
    if len(sql) > MAX_LENGTH:
        raise _bad(f"a statement has at most {MAX_LENGTH} characters")
    try:
        statements = connection.extract_statements(sql)
    except duckdb.Error as error:
        raise _bad(shortened(error)) from None
    if len(statements) != 1:
        raise _bad(f"expected one statement, got {len(statements)}")
    return statements[0]


def check(
    connection: duckdb.DuckDBPyConnection,
    statement: duckdb.Statement,
    parameters: Mapping[str, Any],
    macros: frozenset[str] = frozenset(),
) -> None:
    """Check that a statement is a SELECT that may be run, with values for its parameters.

    Args:
        connection: that has parsed it.
        statement: from `parse`.
        parameters: the values, by name.
        macros: further functions that may stand where tables stand, in lower case.

    Raises:
        Rejected: `bad_sql`; `bad_request`, naming the parameter.
    """
    try:
        kind, named = statement.type, statement.named_parameters
    except (ValueError, RuntimeError):  # of a kind that the binding does not know
        raise _bad("only SELECT is possible") from None
    if kind != duckdb.StatementType.SELECT:
        raise _bad(f"only SELECT is possible, not {kind.name}")
    for fault in _faults(_tree(connection, statement.query), macros):
        raise _bad(fault)
    _check_parameters(set(named), set(parameters))


def _tree(connection: duckdb.DuckDBPyConnection, sql: str) -> Any:
    try:
        [(text,)] = connection.execute("SELECT json_serialize_sql($1)", [sql]).fetchall()
        tree = msgspec.json.decode(text)
    except (duckdb.Error, RecursionError, msgspec.DecodeError):
        raise _bad("the statement is nested too deeply") from None
    if tree["error"]:
        raise _bad("only SELECT is possible")
    return tree["statements"]


def _faults(tree: Any, macros: frozenset[str]) -> Iterator[str]:
    """Yield what is not allowed; without recursion, as a statement may be deep."""
    waiting = [(tree, 0)]
    while waiting:
        node, depth = waiting.pop()
        if depth > 4 * MAX_DEPTH:  # a level of SQL is several of the tree
            yield "the statement is nested too deeply"
            return
        if isinstance(node, list):
            waiting += [(member, depth + 1) for member in node]
        elif isinstance(node, dict):
            yield from _faults_of(node, macros)
            waiting += [(member, depth + 1) for member in node.values()]


def _faults_of(node: dict[str, Any], macros: frozenset[str]) -> Iterator[str]:
    kind = node.get("type")
    if isinstance(kind, str) and kind.endswith("_NODE") and kind not in _NODES:
        yield f"only SELECT is possible, not {kind.removesuffix('_NODE').removesuffix('_QUERY')}"
    if kind == "TABLE_FUNCTION":
        called = node.get("function", {}).get("function_name", "")
        if called.lower() not in _TABLE_FUNCTIONS | macros:
            yield f"the table function {called!r} is not available"
    elif kind == "BASE_TABLE":
        if node.get("table_name", "").lower() in _VIEWS:
            yield f"{node['table_name']!r} is not available"
    elif kind == "SHOW_REF":
        if node.get("query") is None and node.get("table_name") not in _SHOWS:
            yield "of SHOW there are only SHOW TABLES and SHOW ALL TABLES"
    elif node.get("class") == "FUNCTION":
        called = node.get("function_name", "")
        if called.lower() in _FUNCTIONS:
            yield f"the function {called!r} is not available"


def _check_parameters(named: set[str], given: set[str]) -> None:
    for name in sorted(named - given):
        text = f"the statement has a parameter ${name}: give it a value"
        raise Rejected("bad_request", text, column=name)
    for name in sorted(given - named):
        raise Rejected("bad_request", f"the statement has no parameter ${name}", column=name)


def shortened(error: Exception) -> str:
    """Return what DuckDB says of a statement; it may repeat all of it."""
    text = str(error)
    return text if len(text) <= MAX_MESSAGE else f"{text[:MAX_MESSAGE]}…"


def _bad(text: str) -> Rejected:
    return Rejected("bad_sql", text)
