"""Pages: the paths of logins, and of the hub itself."""

from typing import Final

from eventhub.alert_control import MAX_RETRIED
from eventhub.config import LogoutEndpoint, OidcEndpoint, SimpleAuthEndpoint
from eventhub.gateway import (
    alert_routes,
    configuration,
    connection_list,
    snapshot_file,
    vitals,
)
from eventhub.gateway.login_page import EVERYWHERE, TOKEN_FIELD
from eventhub.gateway.openapi.fragment import COMMON, Fragment, content, error_page
from eventhub.gateway.openapi.parameters import response_headers
from eventhub.gateway.openapi.schemas import errors
from eventhub.gateway.openapi.values import Json
from eventhub.identity.pending import SENT_BACK

PATH: Final = "/openapi.json"
_TEXT: Final[Json] = {"type": "string"}
_NEXT: Final[Json] = {
    "name": "next",
    "in": "query",
    "description": "The path to go to afterwards.",
    "schema": _TEXT,
}
_PAGE_ERRORS: Final = (401, 403, 429)
"""The statuses of errors that a person gets as a page."""


def login_fragment(key: str, entry: SimpleAuthEndpoint | LogoutEndpoint) -> Fragment:
    """Return the path of a login or logout page."""
    is_login = isinstance(entry, SimpleAuthEndpoint)
    required = {"user": _TEXT, "password": _TEXT} if is_login else {}
    fields = required if is_login else {EVERYWHERE: {"type": "boolean"}}
    own = required if is_login else {EVERYWHERE: {"enum": ["true", "false"]}}
    form = {"type": "object", "properties": {TOKEN_FIELD: _TEXT, **own}}
    user = {"type": _TEXT["type"]} if is_login else {"type": "null"}
    answer = {"type": "object", "required": ["user"], "properties": {"user": user}}
    json = {"type": "object", "properties": fields, "required": list(required)}
    get = {
        "operationId": f"{key}.page",
        "summary": entry.title,
        "parameters": [_NEXT],
        "responses": {
            "200": {"description": "The form.", "content": content("text/html")},
            **errors(COMMON),
        },
    }
    post = {
        "operationId": f"{key}.post",
        "summary": entry.title,
        "description": f"A form needs the `{TOKEN_FIELD}` of the page; JSON does not.",
        "parameters": [_NEXT],
        "requestBody": {
            "required": is_login,
            "content": {
                "application/json": {"schema": json},
                "application/x-www-form-urlencoded": {"schema": form},
            },
        },
        "responses": {
            "200": {
                "description": "The answer to JSON, or a page that leads on to a provider.",
                "content": {**content("application/json", schema=answer), "text/html": {}},
            },
            "303": {
                "description": "The answer to a form.",
                "headers": response_headers("Location"),
            },
            **errors((*COMMON, 408, 413, 415)),
            **{f"{each}": error_page(each) for each in _PAGE_ERRORS},
        },
    }
    operations = {"get": get, "post": post}
    for operation in operations.values():
        operation |= {"tags": [entry.name], "security": []}
    return Fragment(paths={entry.pattern: operations})


def oidc_fragment(key: str, entry: OidcEndpoint) -> Fragment:
    """Return the path that sends a browser to a provider, and takes it back."""
    back = [{"name": name, "in": "query", "schema": _TEXT} for name in SENT_BACK]
    get = {
        "operationId": f"{key}.page",
        "summary": entry.title,
        "description": "For browsers: the provider sends them back to this path.",
        "tags": [entry.name],
        "security": [],
        "parameters": [_NEXT, *back],
        "responses": {
            "303": {"description": "Where to go on.", "headers": response_headers("Location")},
            **errors(COMMON),
            **{f"{each}": error_page(each) for each in (403, 503)},
        },
    }
    return Fragment(paths={entry.pattern: {"get": get}})


def hub_fragment(*, is_operator: bool, has_copies: bool) -> Fragment:
    """Return the paths of the hub's own pages.

    Args:
        is_operator: the client may see those for operators.
        has_copies: the hub makes files of all tables.
    """
    paths = {
        "/healthz": _page("Whether the hub is alive", "text/plain"),
        "/readyz": _page("Whether the hub takes traffic", "text/plain"),
        PATH: _page("This description", "application/json"),
    }
    paths["/readyz"]["get"]["responses"]["503"] = {
        "description": "It takes none.",
        "content": {**content("text/plain"), **content("application/json")},
    }
    answers = paths[PATH]["get"]["responses"]
    answers["200"] |= {"headers": response_headers("ETag")}
    answers["304"] = {"description": "The client has this description."}
    if is_operator:
        paths[connection_list.PATH] = _connections()
        paths[vitals.PATH] = _page("How this process is and was", "application/json")
        paths |= _configuration() | _alerts()
        paths["/metrics"] = _page("Measurements for Prometheus", "text/plain")
        if has_copies:
            paths[snapshot_file.PATH] = _page("All tables as one file", "application/vnd.duckdb")
    return Fragment(paths=paths)


def _connections() -> Json:
    page = _page("Open connections", "application/json")
    conditions = [
        {"name": name, "in": "query", "schema": {"type": "string"}}
        for name in connection_list.CONDITIONS
    ]
    get = {**page["get"], "parameters": conditions}
    closed = {"operationId": "hub.close-connections", "summary": "Close connections"}
    return {"get": get, "delete": {**get, **closed}}


def _configuration() -> dict[str, Json]:
    page = _page("Configuration", "application/json")
    body = {"required": True, "content": {"application/yaml": {"schema": {"type": "string"}}}}
    check = {
        "operationId": "hub.check-configuration",
        "summary": "Check a text",
        "requestBody": body,
    }
    wrong = errors((*COMMON, 408, 413, 415))
    checked = {**page["get"], **check}
    checked["responses"] = {**checked["responses"], **wrong}
    rehearsed = {**checked, "operationId": "hub.rehearse", "summary": "Rehearse a text"}
    rehearsed["parameters"] = [
        {"name": "events", "in": "query", "schema": {"type": "integer", "minimum": 1}}
    ]
    return {
        configuration.PATH: {**page, "post": checked},
        configuration.REHEARSAL_PATH: {"post": rehearsed},
    }


def _alerts() -> dict[str, Json]:
    paths: dict[str, Json] = {alert_routes.PATH: _page("Alerts", "application/json")}
    for path, summary, names in (
        (alert_routes.PREVIEW_PATH, "Preview of an alert", ("endpoint", "sequence")),
        (
            alert_routes.BACKTEST_PATH,
            "Back-test of an alert",
            ("endpoint", "days", "condition", "methods"),
        ),
    ):
        page = _page(summary, "application/json")
        page["get"]["parameters"] = [
            {
                "name": name,
                "in": "query",
                "required": name == "endpoint",
                "schema": {"type": "string"},
            }
            for name in names
        ]
        paths[path] = page
    ids = {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": MAX_RETRIED}
    sent = {"type": "object", "properties": {"ids": ids}, "required": ["ids"]}
    post = _page("Retry of dead letters", "application/json")["get"]
    post["requestBody"] = {"required": True, "content": content("application/json", schema=sent)}
    post["responses"] |= errors((408, 413, 415))
    paths[alert_routes.RETRY_PATH] = {"post": post}
    for methods in paths.values():
        for operation in methods.values():
            operation["responses"] |= errors((404,))
    return paths


def _page(summary: str, kind: str) -> Json:
    name = summary.lower().replace(" ", "-")
    operation: Json = {
        "operationId": f"hub.{name}",
        "summary": summary,
        "tags": ["hub"],
        "security": [],
        "responses": {
            "200": {"description": summary, "content": content(kind)},
            **errors(COMMON),
        },
    }
    return {"get": operation}
