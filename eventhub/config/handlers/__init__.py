"""Handlers: the entries of `url:`. Each kind has a module with its struct, its keys and its reader.

A new handler is a module and a line in `HANDLERS`; its struct is added to `Endpoint`.
"""

from collections.abc import Callable
from typing import NamedTuple

from eventhub.config.handlers import files, login, message, oidc, sql
from eventhub.config.handlers.alert import Alert
from eventhub.config.handlers.entry import ENTRY_KEYS, Entry, UrlSection
from eventhub.config.handlers.files import FileEndpoint
from eventhub.config.handlers.login import Account, LogoutEndpoint, SimpleAuthEndpoint
from eventhub.config.handlers.message import MessageEndpoint
from eventhub.config.handlers.oidc import OidcEndpoint
from eventhub.config.handlers.quota import Quota
from eventhub.config.handlers.rules import ColumnRule, Rules
from eventhub.config.handlers.sql import SqlEndpoint, SqlLimits
from eventhub.config.tree import Findings, Node, joined, nearest

__all__ = [
    "Account",
    "Alert",
    "ColumnRule",
    "Endpoint",
    "FileEndpoint",
    "LogoutEndpoint",
    "MessageEndpoint",
    "OidcEndpoint",
    "Quota",
    "Rules",
    "SimpleAuthEndpoint",
    "SqlEndpoint",
    "SqlLimits",
    "UrlSection",
    "read",
]

Endpoint = (
    MessageEndpoint
    | FileEndpoint
    | SqlEndpoint
    | SimpleAuthEndpoint
    | OidcEndpoint
    | LogoutEndpoint
)
"""One entry of `url:`; the type tells its kind."""


class Handler(NamedTuple):
    """One kind of entry."""

    read: Callable[[Entry], Endpoint | None]
    """Returns None if an entry cannot be served."""
    keys: frozenset[str]
    """The keys of its `kwargs:`."""


HANDLERS: dict[str, Handler] = {
    "MessageHandler": Handler(message.read, message.KEYS),
    "FileHandler": Handler(files.read, files.KEYS),
    "SQLHandler": Handler(sql.read, sql.KEYS),
    "SimpleAuth": Handler(login.read_simple_auth, login.SIMPLE_AUTH_KEYS),
    "OIDCAuth": Handler(oidc.read, oidc.KEYS),
    "LogoutHandler": Handler(login.read_logout, login.LOGOUT_KEYS),
}
"""The kinds of entries, by their `handler:`."""
_EXAMPLE = "`chat: {pattern: /chat, handler: MessageHandler}`"
_GRAMEX = frozenset(
    f"{name}Handler"
    for name in (
        *("Capture", "Drive", "FacebookGraph", "Filter", "Form", "Function", "JSON"),
        *("ML", "Model", "OpenAPI", "PPTX", "Process", "Proxy", "TwitterREST", "Upload"),
        "WebSocket",
    )
)
"""Handlers of Gramex with names so like those of EventHub that they could be taken for mistakes."""


def read(node: Node, section: UrlSection) -> tuple[Endpoint, ...]:
    """Return the endpoints of `url:` in the order of the file.

    An entry with an unknown handler is skipped with a warning, so that files of Gramex work; a
    mistake in any other entry is a problem.
    """
    entries = []
    for name, entry in section.findings.mapping(node, "url").items():
        if name in ENTRY_KEYS and not entry.items:
            text = f"{name} belongs to an entry, and an entry needs a name: {_EXAMPLE}"
            section.findings.problem(entry, joined("url", name), text)
            continue
        # All handlers are known first: one that is skipped makes this a file of Gramex.
        path = joined("url", name)
        if (handler := _handler(entry, path, section.findings)) is not None:
            entries.append((name, entry, path, handler))
    endpoints = [_endpoint(*entry, section) for entry in entries]
    for check in section.checks:
        check()
    return tuple(endpoint for endpoint in endpoints if endpoint is not None)


def _handler(node: Node, path: str, findings: Findings) -> Handler | None:
    members = findings.mapping(node, path)
    named = members.get("handler")
    if not isinstance(node.value, dict | None):
        return None
    if named is None or named.value is None:
        for key in members.keys() - {*ENTRY_KEYS}:
            if nearest(key, ENTRY_KEYS) == "handler":
                findings.unknown(members[key], path, key, ENTRY_KEYS)
        findings.missing(node, path, "handler", f"; write one of {', '.join(HANDLERS)}")
        return None
    name = str(named.plain).removeprefix("gramex.handlers.")
    if name in HANDLERS:
        return HANDLERS[name]
    near = None if "." in name or name in _GRAMEX else nearest(name, HANDLERS, cutoff=0.8)
    if near is not None:
        findings.misspelt(named, joined(path, "handler"), f"unknown handler {name!r}", near)
    else:
        findings.skipped(named, path, f"handler {name} is not supported; the entry is skipped")
    return None


def _endpoint(
    name: str, node: Node, path: str, handler: Handler, section: UrlSection
) -> Endpoint | None:
    entry = Entry.of(name, node, path, section, handler.keys)
    return handler.read(entry) if entry is not None else None
