"""Document: the fragments of what a client may use, as one OpenAPI document."""

import re
from collections.abc import Iterable
from typing import Final

from eventhub.delivery.frames import FORMS, SUBPROTOCOL
from eventhub.errors import CLOSE_MEANINGS
from eventhub.gateway.openapi import parameters, schemas
from eventhub.gateway.openapi.fragment import Fragment
from eventhub.gateway.openapi.values import Json

VERSION: Final = "3.1.0"
_ABOUT: Final = (
    "Endpoints of tables are also WebSockets and event streams, which follow their rows. This"
    " describes only what the client that asked for it may use."
)


def document_of(fragments: Iterable[Fragment], schemes: dict[str, Json]) -> Json:
    """Return the document.

    Args:
        fragments: of the entries, with distinct paths.
        schemes: how a client proves who it is, by name.
    """
    found: Json = {
        "openapi": VERSION,
        "info": {"title": "EventHub", "version": SUBPROTOCOL, "description": _ABOUT},
        "paths": {},
        "components": {
            "schemas": dict(schemas.SHARED),
            "parameters": parameters.shared(),
            "headers": parameters.headers(),
            "responses": schemas.error_responses(),
            "securitySchemes": schemes,
        },
        "x-websocket": {
            "subprotocols": [*FORMS],
            "closeCodes": {f"{code.value}": text for code, text in CLOSE_MEANINGS.items()},
        },
    }
    for fragment in fragments:
        found["paths"] |= fragment.paths
        found["components"]["parameters"] |= fragment.parameters
        found["components"]["schemas"] |= fragment.schemas
    return found


def key_of(name: str, number: int) -> str:
    """Return a name for an entry that fits into a reference, and that no other entry has.

    Args:
        name: of the entry.
        number: of the entry among all.
    """
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", name)
    return plain if plain == name else f"{plain}.{number}"
