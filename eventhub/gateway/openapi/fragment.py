"""Fragment: what one entry of the configuration adds to the document."""

from dataclasses import dataclass, field

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
    refused: Json = {"$ref": "#/components/headers/Retry-After"}
    return {
        "description": "An error, or the page that shows it.",
        "headers": {"Retry-After": refused} if status in (429, 503) else {},
        "content": {**content("application/json", schema=reference("Error")), "text/html": {}},
    }
