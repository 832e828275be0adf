"""Schemas: values, rows, messages, receipts and errors as JSON Schema (OpenAPI 3.1).

Pure: from the columns of a table, and from the table of error codes.
"""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Final

from eventhub.columns import Column
from eventhub.errors import CODES
from eventhub.gateway.openapi.values import ID, Json, nullable, read_schema, written_schema
from eventhub.ingest.receipts import MAX_KEY_LENGTH
from eventhub.methods import METHODS, SEND

CONTROLS: Final[dict[str, Json]] = {
    "_method": {"enum": list(METHODS), "description": "In any case; by default the request's."},
    "_key": {
        "type": ["string", "integer"],
        "minLength": 1,
        "maxLength": MAX_KEY_LENGTH,
        "description": "Makes a retry harmless, as `Idempotency-Key` does.",
    },
    "_if_seq": {
        "type": "integer",
        "minimum": 0,
        "description": "The sequence of the row's last event; otherwise the write is refused.",
    },
    "_upsert": {"type": "boolean", "description": "Create the row, or change it if it exists."},
    "_revert": {
        "type": "integer",
        "minimum": 0,
        "description": "Restore the row as it was after this event of it; needs `_if_seq`.",
    },
    "_ref": {"description": "Any value; it comes back in the answer to this message."},
    "_alert": {
        "type": "boolean",
        "description": "`false` sends no alert, if the endpoint's alert is suppressible.",
    },
}
"""The controls of a message."""
_SEQUENCE: Final[Json] = {"type": "integer", "minimum": 0}
_TIME: Final[Json] = {"type": "string", "format": "date-time"}
RECEIPT: Final[Json] = {
    "type": "object",
    "required": ["id", "_seq", "duplicate"],
    "additionalProperties": False,
    "properties": {
        "id": ID,
        "_seq": {**_SEQUENCE, "description": "The sequence of the event; the row's `ETag`."},
        "duplicate": {"type": "boolean", "description": "It was stored before."},
        "created": {"type": "boolean", "description": "With `_upsert`: the row is new."},
        "ignored": {
            "type": "array",
            "items": {"type": "string"},
            "description": "Keys of the message that are not columns.",
        },
    },
}
SENT: Final[Json] = {
    "type": "object",
    "required": ["sent"],
    "additionalProperties": False,
    "properties": {"sent": {"const": True}, "ignored": RECEIPT["properties"]["ignored"]},
}
ERROR: Final[Json] = {
    "type": "object",
    "required": ["_error"],
    "properties": {
        "_error": {
            "type": "object",
            "required": ["code", "message", "retry"],
            "properties": {
                "code": {"enum": list(CODES)},
                "message": {"type": "string"},
                "column": {
                    "type": "string",
                    "description": "The column, control, argument or header at fault.",
                },
                "ref": {"description": "The `_ref` of the refused message."},
                "retry": {"type": "boolean", "description": "The same may succeed later."},
            },
        }
    },
}
SHARED: Final[dict[str, Json]] = {
    "Error": ERROR,
    "Receipt": RECEIPT,
    "Sent": SENT,
    "Outcomes": {
        "type": "array",
        "items": {
            "anyOf": [
                {"$ref": "#/components/schemas/Receipt"},
                {"$ref": "#/components/schemas/Sent"},
                {"$ref": "#/components/schemas/Error"},
            ]
        },
        "description": "A receipt or an error for each message of an array, in order.",
    },
}
"""The schemas that do not depend on a table."""


def row_schema(columns: Iterable[Column]) -> Json:
    """Return the schema of a row; `_c` may leave out any of its columns."""
    properties = {column.name: read_schema(column) for column in columns}
    return {"type": "object", "properties": properties, "additionalProperties": False}


def message_schema(columns: Iterable[Column], *, is_strict: bool, may_send: bool = False) -> Json:
    """Return the schema of a message.

    Args:
        columns: of its table.
        is_strict: other keys are refused, instead of being broadcast.
        may_send: it may be one that is not stored.
    """
    writable = [column for column in columns if column.name != "user"]
    properties = {column.name: written_schema(column) for column in writable}
    method = CONTROLS["_method"]
    if may_send:
        method = {**method, "enum": [*METHODS, SEND]}
    controls = {**CONTROLS, "_method": method}
    schema: Json = {"type": "object", "properties": {**properties, **controls}}
    return {**schema, "additionalProperties": False} if is_strict else schema


def form_schema(columns: Iterable[Column]) -> Json:
    """Return the schema of a message that is sent as a form: all of its values are text."""
    names = [column.name for column in columns if column.name != "user"]
    return {"type": "object", "properties": {name: {"type": "string"} for name in names}}


def frames_schema(columns: Iterable[Column]) -> Json:
    """Return the schema of what a poll answers with: messages, or with `_replay=log` events."""
    row = nullable(row_schema(columns))
    return {
        "type": "array",
        "items": {
            "type": "object",
            "required": ["_method", "_seq", "id"],
            "properties": {
                "_method": {"enum": list(METHODS)},
                "_seq": _SEQUENCE,
                "_time": _TIME,
                "_user": {"type": ["string", "null"]},
                "_endpoint": {"type": "string", "description": "With `_history`."},
                "id": ID,
                "row": row,
                "was": row,
            },
        },
    }


def errors(statuses: Iterable[int]) -> Mapping[str, Json]:
    """Return the responses of statuses that are errors, as references to `error_responses`."""
    return {f"{each}": {"$ref": f"#/components/responses/Error{each}"} for each in statuses}


def error_responses() -> dict[str, Json]:
    """Return a response for each status of the table of error codes: `Error404`."""
    found = {}
    for status in sorted({code.http for code in CODES.values()} - {200}):
        codes = {name: code for name, code in CODES.items() if code.http == status}
        lines = [f"- `{name}`: {code.meaning}" for name, code in codes.items()]
        only = {"properties": {"_error": {"properties": {"code": {"enum": list(codes)}}}}}
        schema = {"allOf": [{"$ref": "#/components/schemas/Error"}, only]}
        response: Json = {
            "description": "\n".join([HTTPStatus(status).phrase, "", *lines]),
            "content": {"application/json": {"schema": schema}},
        }
        if any(code.retry for code in codes.values()):
            response["headers"] = {"Retry-After": {"$ref": "#/components/headers/Retry-After"}}
        found[f"Error{status}"] = response
    return found
