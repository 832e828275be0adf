"""Parameters: the arguments of a URL and the headers of a request and its answer.

Which arguments have an effect where is in `controls`, and which operators a column has in
`comparisons`; here are only their forms.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from eventhub.columns import Column, Kind
from eventhub.event import POSITION_HEADER
from eventhub.filters.comparisons import OPERATORS
from eventhub.filters.conditions import EQUALITY, MATCH, Operator
from eventhub.gateway.controls import (
    CHOICES,
    HONOURED,
    MAX_SPEED,
    MAX_WAIT_SECONDS,
    Surface,
)
from eventhub.gateway.openapi.values import ID, Json, operand_schema
from eventhub.gateway.sql_route import ROWS_HEADER, TRUNCATED_HEADER
from eventhub.ingest.receipts import MAX_KEY_LENGTH

_TEXT: Final[Json] = {"type": "string"}
_POSITION: Final = r"[0-9a-z]{1,20}\.[0-9]{1,15}"
_SINCE: Final[Json] = {
    "anyOf": [
        {"enum": ["earliest", "now"]},
        {"type": "string", "pattern": rf"^({_POSITION}|-[0-9]{{1,9}})$"},
        {"type": "string", "format": "date-time"},
    ]
}
_AS_OF: Final[Json] = {
    "anyOf": [
        {"type": "string", "pattern": rf"^({_POSITION}|[0-9]{{1,15}})$"},
        {"type": "string", "format": "date-time"},
    ]
}
_TAG: Final[Json] = {"type": "string", "pattern": r'^"[!#-~]{0,80}"$'}
_TAGS: Final[Json] = {
    "type": "string",
    "pattern": r'^(\*|(W/)?"[!#-~]{0,80}"(, (W/)?"[!#-~]{0,80}")*)$',
}
_CONTROLS: Final[dict[str, tuple[Json, str]]] = {
    "_limit": ({"type": "integer"}, "Only the first rows; negative: all."),
    "_offset": ({"type": "integer"}, "Leave out the first rows."),
    "_since": (_SINCE, "The events since a position, a time, `earliest`, `now`, or the last `-N`."),
    "_as_of": (_AS_OF, "The rows as they were at a sequence, a position or a time."),
    "_speed": (
        {"type": "number", "minimum": 0, "maximum": MAX_SPEED},
        "Play what followed `_as_of`, so many times as fast; 0: as fast as possible.",
    ),
    "_wait": (
        {"type": "number", "minimum": 0, "maximum": MAX_WAIT_SECONDS},
        "Seconds to wait for the first event.",
    ),
    "_history": ({"enum": ["", "true", "1"]}, "Every version of the row that `id` names."),
    "_id": (_TEXT, "The row of `_history`, for pages that use `id` themselves."),
    "_schema": ({"enum": ["", "true", "1"]}, "Rows and messages as JSON Schema."),
    "_presence": ({"enum": ["", "true", "1"]}, "Who is connected, and who comes and leaves."),
    "_replay": ({}, "Rows, or events."),
    "_format": ({}, "The format; otherwise `Accept` decides."),
    "_bigint": ({}, "How numbers beyond ±2^53 are written in JSON."),
    "_csv": ({}, "`safe`: text is no formula in a spreadsheet."),
}
"""The arguments that every table has: form and meaning. Choices are in `CHOICES`."""
OF_TABLE: Final = ("_sort", "_c")
"""The arguments whose values are names of columns."""
_REQUEST_HEADERS: Final[dict[str, tuple[Json, str]]] = {
    "If-Match": (_TAGS, 'Entity tags, such as `"7"`: act only on this state.'),
    "If-None-Match": (_TAGS, 'Entity tags, such as `"7"`, or `*`: act only on another state.'),
    "If-Range": (_TAG, "The entity tag of the file that `Range` is of."),
    "Range": (
        {"type": "string", "pattern": r"^bytes=([0-9]{1,9}-[0-9]{0,9}|-[0-9]{1,9})$"},
        "One range of bytes, such as `bytes=0-99`.",
    ),
    "Idempotency-Key": (
        {"type": "string", "minLength": 1, "maxLength": MAX_KEY_LENGTH},
        "Makes a retry of a single message harmless.",
    ),
    "Last-Event-ID": (_TEXT, "The position that an event stream goes on from, as `_since`."),
    POSITION_HEADER: (_TEXT, "The write that the answer must have seen, as `min_seq`."),
}
_ANSWER_HEADERS: Final[dict[str, tuple[Json, str]]] = {
    "ETag": (_TEXT, "Of a row, the sequence of its last event in quotes."),
    "Retry-After": ({"type": "integer", "minimum": 0}, "Seconds to wait before the next attempt."),
    "Location": (_TEXT, "Where to go on."),
    "Content-Range": (_TEXT, "The bytes of a part, or the size of the file."),
    POSITION_HEADER: (_TEXT, "The position of what was read or written, for `_since`."),
    ROWS_HEADER: ({"type": "string", "pattern": "^[0-9]+$"}, "The number of rows."),
    TRUNCATED_HEADER: ({"const": "true"}, "There are more rows."),
}


def shared() -> dict[str, Json]:
    """Return the parameters that do not depend on a table, by their names."""
    found = {}
    for name, (schema, meaning) in _CONTROLS.items():
        where = ", ".join(each.value for each in Surface if name in HONOURED[each])
        schema = {"enum": list(CHOICES[name])} if name in CHOICES else schema
        found[name] = _parameter(name, schema, f"{meaning} Has an effect on: {where}.")
    for name, (schema, meaning) in _REQUEST_HEADERS.items():
        found[name] = {"name": name, "in": "header", "description": meaning, "schema": schema}
    return found


def of_table(key: str, columns: Sequence[Column]) -> dict[str, Json]:
    """Return the parameters of one endpoint: its filter, `_sort` and `_c`.

    Args:
        key: the name of the endpoint within the document.
        columns: those that the client may read.
    """
    names = [column.name for column in columns]
    texts = [f"{column.name}*" for column in columns if column.kind is Kind.TEXT]
    listed = {"type": "array", "items": {"enum": _with_minus(names)}}
    sorts = {"type": "array", "items": {"enum": _with_minus([*names, *texts])}}
    return {
        f"{key}.filter": {
            "name": "filter",
            "in": "query",
            "style": "form",
            "explode": True,
            "description": "A condition of each column: its name, an operator, and a value.",
            "schema": _filter(columns),
        },
        f"{key}._sort": _parameter("_sort", sorts, "Sort by these columns; `-`: descending."),
        f"{key}._c": _parameter("_c", listed, "Only these columns; `-`: all but these."),
    }


def _with_minus(names: Iterable[str]) -> list[str]:
    return [signed for name in names for signed in (name, f"-{name}")]


def _filter(columns: Iterable[Column]) -> Json:
    properties: dict[str, Json] = {}
    patterns = {}
    for column in columns:
        operand = operand_schema(column)
        for operator in OPERATORS[column.kind] or EQUALITY:
            is_search = operator in MATCH
            properties[f"{column.name}{operator}"] = _TEXT if is_search else operand
        if column.kind is Kind.JSON:
            ends = sorted({str(each) for each in _INSIDE}, key=len, reverse=True)
            ended = "|".join(re.escape(each) for each in ends if each)
            patterns[rf"^{re.escape(column.name)}\.\w+({ended})?$"] = _TEXT
    schema: Json = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**schema, "patternProperties": patterns} if patterns else schema


_INSIDE: Final[tuple[Operator, ...]] = OPERATORS[Kind.TEXT]
"""A value inside of a JSON column has every operator."""


def _parameter(name: str, schema: Json, meaning: str) -> Json:
    found: Json = {"name": name, "in": "query", "description": meaning, "schema": schema}
    if name in ("_history", "_presence", "_schema"):
        found["allowEmptyValue"] = True
    return found


def path_id() -> Json:
    """Return the parameter of a path that names a row."""
    meaning = "The id of the row, percent-encoded."
    return {"name": "id", "in": "path", "required": True, "description": meaning, "schema": ID}


def references(*names: str) -> list[Json]:
    """Return references to parameters."""
    return [{"$ref": f"#/components/parameters/{name}"} for name in names]


def of_surfaces(key: str, *surfaces: Surface) -> list[Json]:
    """Return references to what has an effect on any of some ways to read an endpoint."""
    honoured = set().union(*(HONOURED[each] for each in surfaces))
    own = [f"{key}.{name}" for name in OF_TABLE if name in honoured]
    return references(f"{key}.filter", *own, *(name for name in _CONTROLS if name in honoured))


def response_headers(*names: str) -> Json:
    """Return references to headers of an answer."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def headers() -> dict[str, Json]:
    """Return the headers of answers, by their names."""
    return {
        name: {"description": meaning, "schema": schema}
        for name, (schema, meaning) in _ANSWER_HEADERS.items()
    }
