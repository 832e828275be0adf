"""Messages: the paths of a MessageHandler: its rows, one row, and its files."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from eventhub.channel import Endpoint
from eventhub.columns import Column
from eventhub.event import POSITION_HEADER
from eventhub.gateway.controls import Surface
from eventhub.gateway.encodings import MEDIA_TYPES
from eventhub.gateway.file_answer import SUFFIXES
from eventhub.gateway.openapi import parameters, schemas, values
from eventhub.gateway.openapi.fragment import COMMON, Fragment, content, file_responses, reference
from eventhub.gateway.openapi.parameters import of_surfaces, references, response_headers
from eventhub.gateway.openapi.schemas import errors
from eventhub.gateway.openapi.values import Json
from eventhub.ingest.decoding import MAX_MESSAGES

_OF_TABLE: Final = (
    Surface.ROWS,
    Surface.HISTORY,
    Surface.SCHEMA,
    Surface.CHANGES,
    Surface.LIVE,
)
"""The ways to read at the path of a table."""
_WRITE_ERRORS: Final = (404, 408, 409, 412, 413, 415)
_UPSERT: Final[Json] = {
    "name": "_upsert",
    "in": "query",
    "allowEmptyValue": True,
    "description": "Create the rows that do not exist, and change the others.",
    "schema": {"enum": ["", "true", "false"]},
}


@dataclass(frozen=True, slots=True)
class Described:
    """A MessageHandler, as one client sees it."""

    key: str
    """Its name within the document."""
    endpoint: Endpoint
    columns: Sequence[Column]
    """Those that the client may read."""
    writable: Sequence[Column]
    """Those that it may write."""
    security: list[Json]
    taken: Collection[str]
    """The patterns of all entries: a file of rows does not hide one."""


def fragment_of(entry: Described) -> Fragment:
    """Return the paths of a MessageHandler."""
    pattern, key = entry.endpoint.config.pattern, entry.key
    found = Fragment(parameters=parameters.of_table(key, entry.columns))
    is_strict = entry.endpoint.config.unknown == "refuse"
    changed = [column for column in entry.writable if column.name != "id"]
    found.schemas = {
        f"{key}.Row": schemas.row_schema(entry.columns),
        f"{key}.Message": schemas.message_schema(
            entry.writable, is_strict=is_strict, may_send=entry.endpoint.config.send
        ),
        f"{key}.Change": schemas.message_schema(changed, is_strict=is_strict),
        f"{key}.Form": schemas.form_schema(entry.writable),
        f"{key}.Frames": schemas.frames_schema(entry.columns),
    }
    paths: dict[str, Json] = {
        pattern: {
            "get": _rows(key),
            "post": _write(key, "post", "Store messages"),
            "put": _write(key, "put", "Change rows"),
            "patch": _write(key, "patch", "Change rows, as PUT does"),
            "delete": _delete(key),
        },
        f"{pattern.removesuffix('/')}/{{id}}": {
            "parameters": [parameters.path_id()],
            "get": _row(key),
            "put": _write_row(key, "put"),
            "patch": _write_row(key, "patch"),
            "delete": _delete_row(key),
        },
    }
    for suffix in () if pattern.endswith("/") else SUFFIXES:
        if (path := f"{pattern}.{suffix}") not in entry.taken:
            paths[path] = {"get": _file(key, suffix)}
    for members in paths.values():
        for method, operation in members.items():
            if method != "parameters":
                operation |= {"tags": [entry.endpoint.name], "security": entry.security}
    found.paths = paths
    return found


def _rows(key: str) -> Json:
    rows = {"type": "array", "items": reference(f"{key}.Row")}
    answers = content(*MEDIA_TYPES)
    answers["application/json"] = {"schema": {"anyOf": [rows, reference(f"{key}.Frames")]}}
    answers |= {"application/schema+json": {}, "text/event-stream": {}}
    return {
        "operationId": f"{key}.rows",
        "summary": "Read the current rows, what has changed since then, or one row's versions",
        "description": "An upgrade to a WebSocket, or `Accept: text/event-stream`, follows them.",
        "parameters": [
            *of_surfaces(key, *_OF_TABLE),
            *references("Last-Event-ID"),
        ],
        "responses": {
            "200": {
                "description": "The rows, events or versions.",
                "headers": response_headers(POSITION_HEADER),
                "content": answers,
            },
            **errors((*COMMON, 410, 426)),
        },
    }


def _row(key: str) -> Json:
    answers = content("application/json", schema=_row_or_frames(key))
    return {
        "operationId": f"{key}.row",
        "summary": "Read one row",
        "description": "With `_since`, what has changed in it. Streams follow it.",
        "parameters": [
            *of_surfaces(key, Surface.ROW, Surface.CHANGES, Surface.LIVE),
            *references("If-Match", "If-None-Match", "Last-Event-ID"),
        ],
        "responses": {
            "200": {
                "description": "The row, or the events.",
                "headers": response_headers("ETag", POSITION_HEADER),
                "content": {**answers, "application/x-ndjson": {}, "text/event-stream": {}},
            },
            "304": {"description": "The client has this state of the row."},
            **errors((*COMMON, 404, 410, 412, 426)),
        },
    }


def _row_or_frames(key: str) -> Json:
    return {"anyOf": [reference(f"{key}.Row"), reference(f"{key}.Frames")]}


def _file(key: str, suffix: str) -> Json:
    return {
        "operationId": f"{key}.{suffix}",
        "summary": f"Read the rows, or one row's versions, as a .{suffix} file",
        "parameters": [
            *of_surfaces(key, Surface.FILE, Surface.HISTORY_FILE),
            *references("If-Match", "If-None-Match", "If-Range", "Range"),
        ],
        "responses": file_responses(suffix, POSITION_HEADER),
    }


def _body(key: str, *, is_single: bool, is_required: bool = True) -> Json:
    form = reference(f"{key}.Form")
    message = reference(f"{key}.Change" if is_single else f"{key}.Message")
    several = {"type": "array", "items": message, "maxItems": MAX_MESSAGES}
    bodies = {
        "application/json": {"schema": message if is_single else {"anyOf": [message, several]}},
        "application/x-www-form-urlencoded": {"schema": form},
        "multipart/form-data": {"schema": form},
    }
    if not is_single:
        bodies["application/x-ndjson"] = {"schema": {"type": "string"}}
    return {"required": is_required, "content": bodies}


def _receipts(*, is_single: bool) -> Json:
    kinds = ["Receipt"] if is_single else ["Receipt", "Outcomes"]
    schema = {"anyOf": [reference(each) for each in kinds]}
    answer = {
        "headers": response_headers(POSITION_HEADER),
        "content": content("application/json", schema=schema),
    }
    return {
        "200": {"description": "Stored, or stored before.", **answer},
        "201": {"description": "A row was created.", **answer},
        "202": {
            "description": "Handed to the clients that listen now, and not stored: a SEND.",
            "content": content("application/json", schema=reference("Sent")),
        },
        **errors(sorted({*COMMON, *_WRITE_ERRORS})),
    }


_CONDITIONS: Final = references("Idempotency-Key", "If-Match", "If-None-Match")


def _write(key: str, method: str, summary: str) -> Json:
    return {
        "operationId": f"{key}.{method}",
        "summary": summary,
        "parameters": [_UPSERT, *_CONDITIONS],
        "requestBody": _body(key, is_single=False),
        "responses": _receipts(is_single=False),
    }


def _delete(key: str) -> Json:
    ids = {"type": "array", "items": values.ID}
    meaning = "The rows to delete, if there is no body."
    return {
        "operationId": f"{key}.delete",
        "summary": "Delete rows",
        "parameters": [
            {"name": "id", "in": "query", "description": meaning, "schema": ids},
            *_CONDITIONS,
        ],
        "requestBody": _body(key, is_single=False, is_required=False),
        "responses": _receipts(is_single=False),
    }


def _write_row(key: str, method: str) -> Json:
    return {
        "operationId": f"{key}.{method}-row",
        "summary": "Change one row",
        "parameters": [_UPSERT, *_CONDITIONS],
        "requestBody": _body(key, is_single=True),
        "responses": _receipts(is_single=True),
    }


def _delete_row(key: str) -> Json:
    return {
        "operationId": f"{key}.delete-row",
        "summary": "Delete one row",
        "parameters": [*_CONDITIONS],
        "responses": _receipts(is_single=True),
    }
