"""Queries: the paths of a SQLHandler: statements, and files of their answers."""

from collections.abc import Collection
from typing import Any, Final

import msgspec

from eventhub.config import SqlEndpoint
from eventhub.event import POSITION_HEADER
from eventhub.gateway import sql
from eventhub.gateway.controls import CSVS
from eventhub.gateway.file_answer import SUFFIXES
from eventhub.gateway.openapi.fragment import COMMON, Fragment, content, error_page, file_responses
from eventhub.gateway.openapi.parameters import references, response_headers
from eventhub.gateway.openapi.schemas import errors
from eventhub.gateway.openapi.values import Json
from eventhub.gateway.sql_route import ROWS_HEADER, TRUNCATED_HEADER

_ROWS: Final[Json] = {"type": "array", "items": {"type": "object"}}
_SQL: Final[Json] = {
    "name": "sql",
    "in": "query",
    "description": "A single SELECT.",
    "schema": {"type": "string"},
}
_CSV: Final[Json] = {"name": "_csv", "in": "query", "schema": {"enum": list(CSVS)}}
_FORMAT: Final[Json] = {"name": "_format", "in": "query", "schema": {"enum": list(sql.FORMATS)}}
_MIN_SEQ: Final[Json] = {
    "name": "min_seq",
    "in": "query",
    "description": "A write that the tables must have seen: a sequence or a position.",
    "schema": {"type": "string"},
}
_VALUES: Final[Json] = {
    "name": "params",
    "in": "query",
    "style": "form",
    "explode": True,
    "description": "The value of `$name`, for each parameter of the statement.",
    "schema": {"type": "object", "additionalProperties": {"type": "string"}},
}
_HEADERS: Final = (POSITION_HEADER, ROWS_HEADER, TRUNCATED_HEADER)


def fragment_of(
    key: str, entry: SqlEndpoint, security: list[Json], taken: Collection[str]
) -> Fragment:
    """Return the paths of a SQLHandler.

    Args:
        key: its name within the document.
        entry: of the configuration.
        security: of its operations.
        taken: the patterns of all entries: a file of answers does not hide one.
    """
    paths: dict[str, Json] = {
        entry.pattern: {
            "get": {
                "operationId": f"{key}.get",
                "summary": "Answer a statement of the URL",
                "parameters": [
                    *(_SQL, _FORMAT, _CSV, _MIN_SEQ, _VALUES),
                    *references(POSITION_HEADER),
                ],
                "responses": _answers(),
            },
            "post": {
                "operationId": f"{key}.post",
                "summary": "Answer a statement of the body",
                "parameters": [
                    *(_FORMAT, _CSV, _MIN_SEQ, _VALUES),
                    *references(POSITION_HEADER),
                ],
                "requestBody": {
                    "required": True,
                    "content": {
                        "application/json": {"schema": _body()},
                        "text/plain": {"schema": {"type": "string"}},
                    },
                },
                "responses": {**_answers(), **errors((408, 413, 415))},
            },
        }
    }
    for suffix in () if entry.pattern.endswith("/") else SUFFIXES:
        if (path := f"{entry.pattern}.{suffix}") not in taken:
            paths[path] = {"get": _file(key, suffix)}
    limits = {
        "rows": entry.limits.rows,
        "seconds": entry.limits.seconds,
        "memory": entry.limits.memory,
    }
    for members in paths.values():
        for operation in members.values():
            operation |= {"tags": [entry.name], "security": security, "x-limits": limits}
    return Fragment(paths=paths)


def _body() -> Json:
    """Return the schema of a JSON body, made from the struct that reads it."""
    _, found = msgspec.json.schema_components([sql.Body])
    body: dict[str, Any] = found["Body"]
    return {name: value for name, value in body.items() if name not in ("title", "description")}


def _answers() -> Json:
    types = content(*(kind.partition(";")[0] for kind in sql.CONTENT.values()), "text/html")
    types["application/json"] = {"schema": _ROWS}
    refused = {f"{each}": error_page(each) for each in COMMON}
    return {
        "200": {
            "description": "The rows.",
            "headers": response_headers(*_HEADERS),
            "content": types,
        },
        **refused,
    }


def _file(key: str, suffix: str) -> Json:
    return {
        "operationId": f"{key}.{suffix}",
        "summary": f"Answer a statement with a .{suffix} file",
        "parameters": [
            *(_SQL, _CSV, _VALUES),
            *references("If-Match", "If-None-Match", "If-Range", "Range"),
        ],
        "responses": file_responses(suffix, *_HEADERS),
    }
