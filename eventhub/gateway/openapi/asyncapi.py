"""AsyncAPI: the frames of `eventhub.v2.json`, for one client, as an AsyncAPI 3.0 document.

As AsyncAPI has it, operations are those of the hub: it sends frames, and receives messages. Nothing
here describes bare and v1 clients, who get the elements of the arrays in frames of their own.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from eventhub.columns import Column
from eventhub.delivery.frames import ARRAYS_SUBPROTOCOL, SUBPROTOCOL
from eventhub.errors import CLOSE_MEANINGS
from eventhub.gateway.controls import Surface
from eventhub.gateway.openapi import parameters, schemas
from eventhub.gateway.openapi.messages import Described
from eventhub.gateway.openapi.values import Json
from eventhub.gateway.subscribe_frame import MAX_SUBSCRIPTIONS
from eventhub.ingest.decoding import MAX_MESSAGES
from eventhub.methods import SEND

PATH: Final = "/-/asyncapi.json"
VERSION: Final = "3.0.0"
SOCKET: Final = "hub.socket"
"""The channel of the path that has subscriptions; no entry has such a key."""
_ABOUT: Final = (
    f"WebSockets with the subprotocol `{ARRAYS_SUBPROTOCOL}`. Each endpoint is a channel, and"
    f" `{SOCKET}` has any number of them as subscriptions. `{SUBPROTOCOL}` has the elements of the"
    " arrays in frames of their own. This describes only what the client that asked for it may use."
)
_TEXT: Final[Json] = {"type": "string"}
_SEQUENCE: Final[Json] = {"type": "integer", "minimum": 1}
_NUMBER: Final[Json] = {"type": "integer", "minimum": 1, "maximum": MAX_SUBSCRIPTIONS}
_SUB: Final[Json] = {**_NUMBER, "description": "The subscription; only on a socket that has them."}
_REF: Final[Json] = {"description": "Any value; it comes back in the answer."}


def document_of(entries: Sequence[Described], schemes: dict[str, Json], socket: str) -> Json:
    """Return the document.

    Args:
        entries: the endpoints that the client may use.
        schemes: how it proves who it is, as in OpenAPI.
        socket: the path of the WebSocket with subscriptions; empty if there is none.
    """
    found: Json = {
        "asyncapi": VERSION,
        "info": {"title": "EventHub", "version": ARRAYS_SUBPROTOCOL, "description": _ABOUT},
        "defaultContentType": "application/json",
        "channels": {},
        "operations": {},
        "components": {
            "schemas": {name: schemas.SHARED[name] for name in ("Error", "Receipt")},
            "messages": {name: _message(name, each) for name, each in _FRAMES.items()},
            "securitySchemes": {name: _scheme(each) for name, each in schemes.items()},
        },
        "x-close-codes": {f"{code.value}": text for code, text in CLOSE_MEANINGS.items()},
    }
    for entry in entries:
        _add(found, entry)
    if socket:
        _add_socket(found, [entry.key for entry in entries], socket)
    return found


def _add(document: Json, entry: Described) -> None:
    key, config = entry.key, entry.endpoint.config
    has_rows, sent = entry.columns, ["Sent"] if config.send else []
    own = {
        f"{key}.Rows": _message("Rows", _rows(has_rows)),
        f"{key}.Changes": _message("Changes", _changes(has_rows)),
    }
    if sent:
        own[f"{key}.Sent"] = _message("Sent", _sent(has_rows))
    is_strict = config.unknown == "refuse"
    written = schemas.message_schema(entry.writable, is_strict=is_strict, may_send=config.send)
    written["properties"]["_sub"] = _SUB
    controls = [name for name in written["properties"] if name.startswith("_")]
    written["propertyNames"] = {"anyOf": [{"pattern": "^(?!_)"}, {"enum": controls}]}
    several = {"type": "array", "items": written, "minItems": 1, "maxItems": MAX_MESSAGES}
    own[f"{key}.Message"] = _message("Message", {"anyOf": [written, several]})
    document["components"]["messages"] |= own
    down = [f"{key}.{name}" for name in ("Rows", "Changes", *sent)]
    always = ["Resume", "Ready", "Tick", "Ack", "Error", "Auth"]
    down += [*always, "Presence"] if config.presence else always
    up = [f"{key}.Message", "Token"]
    document["channels"][key] = {
        "address": config.pattern,
        "title": entry.endpoint.name,
        "messages": _references(*down, *up),
        "bindings": {"ws": {"method": "GET", "query": _query(key, entry.columns)}},
    }
    _add_operations(document, key, down, up, entry.security)


def _add_socket(document: Json, keys: Sequence[str], path: str) -> None:
    names = [f"{key}.{name}" for name in ("Rows", "Changes", "Sent") for key in keys]
    reads = [name for name in names if name in document["components"]["messages"]]
    down = [*reads, *(name for name in _FRAMES if name not in _SENT_BY_CLIENTS)]
    up = [*(f"{key}.Message" for key in keys), *_SENT_BY_CLIENTS]
    document["channels"][SOCKET] = {
        "address": path,
        "title": "Any number of subscriptions",
        "messages": _references(*down, *up),
        "bindings": {"ws": {"method": "GET"}},
    }
    _add_operations(document, SOCKET, down, up, [{}])


def _add_operations(
    document: Json, key: str, down: list[str], up: list[str], security: list[Json]
) -> None:
    channel = {"$ref": f"#/channels/{key}"}
    ways = [{"$ref": f"#/components/securitySchemes/{name}"} for each in security for name in each]
    # AsyncAPI cannot say that a login is possible and not necessary: then it says nothing.
    needed = {"security": ways} if ways and {} not in security else {}
    answers = _in_channel(key, ["Ack", "Error"])
    document["operations"] |= {
        f"{key}.send": {
            "action": "send",
            "channel": channel,
            "summary": "What the hub sends",
            "messages": _in_channel(key, down),
            **needed,
        },
        f"{key}.receive": {
            "action": "receive",
            "channel": channel,
            "summary": "What a client sends; messages with `_ref` are answered",
            "messages": _in_channel(key, up),
            "reply": {"channel": channel, "messages": answers},
            **needed,
        },
    }


def _in_channel(key: str, names: Iterable[str]) -> list[Json]:
    return [{"$ref": f"#/channels/{key}/messages/{name}"} for name in names]


def _references(*names: str) -> Json:
    return {name: {"$ref": f"#/components/messages/{name}"} for name in names}


def _message(title: str, schema: Json) -> Json:
    return {"title": title, "payload": schema}


def _scheme(openapi: Json) -> Json:
    """Return a security scheme of OpenAPI in the words of AsyncAPI."""
    return {**openapi, "type": "httpApiKey"} if openapi["type"] == "apiKey" else openapi


def _query(key: str, columns: Sequence[Column]) -> Json:
    known = {**parameters.shared(), **parameters.of_table(key, columns)}
    names = [each["$ref"].rpartition("/")[2] for each in parameters.of_surfaces(key, Surface.LIVE)]
    found: Json = {"type": "object", "properties": {}}
    for name in names:
        parameter = known[name]
        if parameter["name"] == "filter":
            found["properties"] |= parameter["schema"]["properties"]
            if patterns := parameter["schema"].get("patternProperties"):
                found["patternProperties"] = patterns
        else:
            meaning = {"description": parameter["description"]}
            found["properties"][parameter["name"]] = {**parameter["schema"], **meaning}
    return found


# --- Frames ---------------------------------------------------------------------------------------


def _frame(name: str, value: Json, **others: Json) -> Json:
    """Return the schema of a frame.

    Args:
        name: the property that makes it this frame.
        value: the schema of that.
        others: further properties; it has no others.
    """
    return {
        "type": "object",
        "required": [name],
        "properties": {"_sub": _SUB, name: value, **others},
        "additionalProperties": False,
    }


def _rows(columns: Sequence[Column]) -> Json:
    row = schemas.row_schema(columns)
    row["properties"] |= {"_seq": _SEQUENCE, "_created": _SEQUENCE}
    row["required"] = ["_seq", "_created", "id"]
    return _frame("_rows", {"type": "array", "minItems": 1, "items": row})


def _changes(columns: Sequence[Column]) -> Json:
    event = schemas.frames_schema(columns)["items"]
    event["properties"] |= {"_created": _SEQUENCE}
    return _frame("_changes", {"type": "array", "minItems": 1, "items": event})


def _sent(columns: Sequence[Column]) -> Json:
    message = schemas.row_schema(columns)
    message["properties"] |= {"_method": {"const": SEND}}
    message["required"] = ["_method"]
    del message["additionalProperties"]
    return _frame("_sent", {"type": "array", "minItems": 1, "items": message})


def _users(meaning: str) -> Json:
    user: Json = {
        "type": "object",
        "required": ["user", "connections"],
        "properties": {"user": _TEXT, "connections": {"type": "integer", "minimum": 0}},
    }
    return {"type": "array", "items": user, "description": meaning}


_POSITION: Final[Json] = {**_TEXT, "description": "For `_since`."}
_RECOVERED: Final[Json] = {"type": "boolean", "description": "Nothing is missing since `_since`."}
_READY: Final[Json] = {
    "type": "object",
    "required": ["position", "recovered"],
    "properties": {"position": _POSITION, "recovered": _RECOVERED},
}
_RESUME: Final[Json] = {
    "type": "object",
    "required": ["recovered", "reason"],
    "properties": {"recovered": _RECOVERED, "reason": _TEXT},
}
_TICK: Final[Json] = {
    "anyOf": [
        _POSITION,
        {
            "type": "object",
            "additionalProperties": _POSITION,
            "description": "By subscription.",
        },
    ]
}
_PRESENCE: Final[Json] = {
    "type": "object",
    "properties": {
        "users": _users("Who is connected; replaces what the client knows."),
        "join": _users("Their first connections."),
        "change": _users("The number of their connections has changed."),
        "leave": _users("They have none any more."),
        "anonymous": {"type": "integer", "minimum": 0, "description": "Without a login."},
    },
}
_AUTH: Final[Json] = {"enum": ["required", "accepted", "expiring", "renewed"]}
_EXPIRES: Final[Json] = {"type": ["string", "null"], "description": "When the login ends, in UTC."}
_ERROR: Final[Json] = schemas.ERROR["properties"]["_error"]
_FRAMES: Final[dict[str, Json]] = {
    "Resume": _frame("_resume", _RESUME),
    "Ready": _frame("_ready", _READY),
    "Tick": _frame("_tick", _TICK),
    "Ack": _frame("_ack", _REF, **schemas.RECEIPT["properties"], sent={"const": True}),
    "Error": _frame("_error", _ERROR),
    "Auth": _frame("_auth", _AUTH, expires=_EXPIRES, ref=_REF),
    "Presence": _frame("_presence", _PRESENCE),
    "End": _frame("_end", {"const": True}, ref=_REF),
    "Subscribe": _frame(
        "_subscribe",
        _NUMBER,
        path={**_TEXT, "description": "Of an endpoint, or of a row below it."},
        query={**_TEXT, "description": "What follows `?` in a URL."},
        since=_POSITION,
        _ref=_REF,
    ),
    "Unsubscribe": _frame("_unsubscribe", _NUMBER, _ref=_REF),
    "Token": _frame("_auth", _TEXT, _ref=_REF),
}
"""The frames that do not depend on a table."""
_SENT_BY_CLIENTS: Final = ("Subscribe", "Unsubscribe", "Token")
