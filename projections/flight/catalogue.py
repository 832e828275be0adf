"""Catalogue: the answers to the metadata commands of Flight SQL.

A SQLHandler is a catalogue, with the schema `main`, whose tables the hub itself lists: what a
client may not query it does not see either.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import pyarrow as pa

from eventhub.filters.sql import quoted
from projections.flight.messages import Fields

TABLE_TYPES: Final = ("TABLE",)
_RULES: Final = [("update_rule", pa.uint8()), ("delete_rule", pa.uint8())]
CATALOGUE: Final = "SELECT current_database() AS catalog_name ORDER BY ALL"
SCHEMA: Final = """
SELECT current_database() AS catalog_name, 'main' AS db_schema_name
WHERE ($catalogue IS NULL OR catalog_name = $catalogue)
AND ($schema IS NULL OR db_schema_name LIKE $schema ESCAPE '\\')
"""
TABLES: Final = """
SELECT database_name AS catalog_name, schema_name AS db_schema_name, table_name
FROM duckdb_tables()
WHERE ($catalogue IS NULL OR catalog_name = $catalogue)
AND ($schema IS NULL OR db_schema_name LIKE $schema ESCAPE '\\')
AND ($table IS NULL OR table_name LIKE $table ESCAPE '\\')
AND table_name NOT IN ('_checkpoint', '_watermark', '_columns') -- how far the others are
ORDER BY ALL
"""
"""The statements whose rows are the answers."""
Rows = list[dict[str, Any]]


class Source(Protocol):
    """A SQLHandler that a client may mean."""

    def rows(self, sql: str, values: Mapping[str, str | None]) -> Rows:
        """Return the rows of a statement; none if the client is not admitted."""

    def columns(self, sql: str) -> pa.Schema:
        """Return the columns of a statement."""


def _schema(*fields: tuple[str, pa.DataType], required: Sequence[str]) -> pa.Schema:
    return pa.schema([pa.field(name, kind, name not in required) for name, kind in fields])


def _key_schema() -> pa.Schema:
    sides = ("catalog_name", "db_schema_name", "table_name", "column_name")
    fields = [(f"{side}_{name}", pa.string()) for side in ("pk", "fk") for name in sides]
    fields.append(("key_sequence", pa.int32()))
    fields += [("fk_key_name", pa.string()), ("pk_key_name", pa.string())]
    required = [name for name, _ in fields if "table" in name or "column" in name]
    return _schema(
        *fields, *_RULES, required=[*required, "key_sequence", "update_rule", "delete_rule"]
    )


SCHEMAS: Final = {
    "CommandGetCatalogs": _schema(("catalog_name", pa.string()), required=["catalog_name"]),
    "CommandGetDbSchemas": _schema(
        ("catalog_name", pa.string()), ("db_schema_name", pa.string()), required=["db_schema_name"]
    ),
    "CommandGetTables": _schema(
        ("catalog_name", pa.string()),
        ("db_schema_name", pa.string()),
        ("table_name", pa.string()),
        ("table_type", pa.string()),
        required=["table_name", "table_type"],
    ),
    "CommandGetTableTypes": _schema(("table_type", pa.string()), required=["table_type"]),
    "CommandGetPrimaryKeys": _schema(
        ("catalog_name", pa.string()),
        ("db_schema_name", pa.string()),
        ("table_name", pa.string()),
        ("column_name", pa.string()),
        ("key_name", pa.string()),
        ("key_sequence", pa.int32()),
        required=["table_name", "column_name", "key_sequence"],
    ),
    **dict.fromkeys(
        ("CommandGetExportedKeys", "CommandGetImportedKeys", "CommandGetCrossReference"),
        _key_schema(),
    ),
}
"""The columns of each command's answer."""


def schema_of(name: str, fields: Fields) -> pa.Schema:
    """Return the columns of the answer to a command."""
    schema = SCHEMAS[name]
    if name == "CommandGetTables" and fields.flag(5):
        return schema.append(pa.field("table_schema", pa.binary(), nullable=False))
    return schema


def answer(name: str, fields: Fields, sources: Sequence[Source]) -> pa.Table:
    """Return the answer to a command.

    Args:
        name: of the command.
        fields: of the command.
        sources: the SQLHandlers that the client may mean.
    """
    schema = schema_of(name, fields)
    found: Rows = []
    if name == "CommandGetTableTypes":
        found = [{"table_type": kind} for kind in TABLE_TYPES]
    elif name == "CommandGetCatalogs":
        found = [row for source in sources for row in source.rows(CATALOGUE, {})]
    elif name == "CommandGetDbSchemas":
        values = {"catalogue": fields.text(1), "schema": fields.text(2)}
        found = [row for source in sources for row in source.rows(SCHEMA, values)]
    elif name == "CommandGetTables":
        found = [row for source in sources for row in _tables(fields, source)]
    return pa.Table.from_pylist(found, schema)


def _tables(fields: Fields, source: Source) -> Rows:
    types = fields.texts(4)
    if types and not set(types) & set(TABLE_TYPES):
        return []
    values = {"catalogue": fields.text(1), "schema": fields.text(2), "table": fields.text(3)}
    found = source.rows(TABLES, values)
    for row in found:
        row["table_type"] = TABLE_TYPES[0]
        if fields.flag(5):
            path = ".".join(map(quoted, (row["catalog_name"], "main", row["table_name"])))
            row["table_schema"] = source.columns(f"FROM {path}").serialize().to_pybytes()
    return found
