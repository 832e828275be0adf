"""Fragment: what one entry of the configuration adds to the document."""

from dataclasses import dataclass, field

from eventhub.gateway.file_answer import SUFFIXES
from eventhub.gateway.openapi.parameters import response_headers
from eventhub.gateway.openapi.schemas import errors
from eventhub.gateway.openapi.values import Json

COMMON = (400, 401, 403, 414, 429, 431, 500, 503)
"""The statuses of errors that any request may get."""


@dataclass(slots=True)
class Fragment:
    """Paths, and the components that they refer to."""

    paths: dict[str, Json] = field(default_factory=dict)
    parameters: dict[str, Json] = field(default_factory=dict)
    schemas: dict[str, Json] = field(default_factory=dict)


def content(*types: str, schema: Json | None = None) -> Json:
    """Return the content of an answer in one of some media types, each with the same schema."""
    return {each: {} if schema is None else {"schema": schema} for each in types}


def reference(name: str) -> Json:
    """Return a reference to a schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def error_page(status: int) -> Json:
    """Return the response of an error that a program gets as JSON, and a person as a page."""
    return {
        "description": "An error, or the page that shows it.",
        "headers": response_headers("Retry-After") if status in (429, 503) else {},
        "content": {**content("application/json", schema=reference("Error")), "text/html": {}},
    }


def file_responses(suffix: str, *headers: str) -> Json:
    """Return the responses with a file, whole or a part of it.

    Args:
        suffix: one of `SUFFIXES`.
        headers: of the file, besides its entity tag.
    """
    types = content(SUFFIXES[suffix][1].partition(";")[0])
    tagged = response_headers("ETag", *headers)
    ranged = response_headers("ETag", *headers, "Content-Range")
    return {
        "200": {"description": "The file.", "headers": tagged, "content": types},
        "206": {"description": "A part of it.", "headers": ranged, "content": types},
        "304": {"description": "The client has this file."},
        **errors((*COMMON, 412, 416)),
    }
