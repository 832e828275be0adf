"""Table schema: the answer to `GET PATH?_schema`: rows and messages of an endpoint as JSON Schema.

It describes what this client may use: columns that it may not read, and those that it may not
write, are left out. The types are those of `/openapi.json`.
"""

from collections.abc import Collection, Sequence
from typing import Final

import msgspec
from aiohttp import web

from eventhub.columns import Column
from eventhub.config import MessageEndpoint
from eventhub.delivery.frames import Form
from eventhub.errors import Rejected
from eventhub.gateway import rows
from eventhub.gateway.controls import Surface, check_honoured
from eventhub.gateway.openapi import schemas
from eventhub.gateway.openapi.values import Json
from eventhub.gateway.route import Route
from eventhub.methods import SEND

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
MEDIA_TYPE: Final = "application/schema+json"
CONTROL: Final = "_schema"


async def get(route: Route, request: web.Request) -> web.StreamResponse:
    """Answer with the schema of what the client may read and write.

    Raises:
        Rejected: as any GET of rows.
    """
    visit = await route.admit(request)
    check_honoured(visit.asked, Surface.SCHEMA)
    if visit.control(CONTROL) not in ("", "true", "1"):
        raise Rejected("bad_request", "_schema takes no value", column=CONTROL)
    names = route.view(visit, Form.BARE).query.columns
    access, columns = visit.permission.columns, route.endpoint.channel.columns
    # A column that a client may write without reading it is one that it knows of.
    known = access.hidden.union(names) - access.closed
    schema = schema_of(
        route.endpoint.config,
        readable=[columns[name] for name in names],
        writable=[column for column in columns if column.name in known],
    )
    headers = rows.headers_of(route, request) | {"Content-Type": MEDIA_TYPE}
    return await route.shared.compression.send_whole(request, msgspec.json.encode(schema), headers)


def schema_of(
    entry: MessageEndpoint, *, readable: Sequence[Column], writable: Sequence[Column]
) -> Json:
    """Return the schema of a row, with those of messages next to it.

    Args:
        entry: the endpoint.
        readable: the columns of a row, in order.
        writable: the columns of a message.
    """
    row = schemas.row_schema(readable)
    found: Json = {"Row": {**row, "required": [column.name for column in readable]}}
    if not entry.is_audit:  # only the hub writes to it
        is_strict = entry.unknown == "refuse"
        filled = entry.message_default.get("POST", {})
        found["Post"] = _message("POST", writable, _required(writable, filled), is_strict=is_strict)
        found["Put"] = _message("PUT", writable, ["id"], is_strict=is_strict)
        if entry.send:
            found["Send"] = _message(SEND, writable, [], is_strict=is_strict)
    return {"$schema": DIALECT, "title": entry.name, "$ref": "#/$defs/Row", "$defs": found}


def _required(columns: Sequence[Column], filled: Collection[str]) -> list[str]:
    """Return the columns that a POST must have: nothing else gives them a value."""
    return [
        column.name
        for column in columns
        if not column.nullable and column.default is None and column.name not in filled
    ]


def _message(
    method: str, columns: Sequence[Column], required: list[str], *, is_strict: bool
) -> Json:
    schema = schemas.message_schema(columns, is_strict=is_strict)
    properties = {**schema["properties"], "_method": {"const": method}}
    controls: Collection[str] = schemas.CONTROLS
    if method == SEND:
        controls = ("_method", "_ref")
        properties = {k: v for k, v in properties.items() if k[:1] != "_" or k in controls}
    if method != "POST":  # a default is for rows that are new
        properties = {
            name: {key: value for key, value in each.items() if key != "default"}
            for name, each in properties.items()
        }
    reserved = {"anyOf": [{"pattern": "^(?!_)"}, {"enum": list(controls)}]}
    return {**schema, "properties": properties, "required": required, "propertyNames": reserved}
