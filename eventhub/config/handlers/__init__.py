"""The entries of `url:`, by `handler:`: one module for each kind, with its keys and its reader.

A new handler is a module and a line in `HANDLERS`; its struct is added to `Endpoint`.
"""

from collections.abc import Callable

from eventhub.config.handlers import files, message
from eventhub.config.handlers.alert import Alert
from eventhub.config.handlers.entry import Entry, UrlSection
from eventhub.config.handlers.files import FileEndpoint
from eventhub.config.handlers.message import MessageEndpoint
from eventhub.config.tree import Node, joined

__all__ = ["Alert", "Endpoint", "FileEndpoint", "MessageEndpoint", "UrlSection", "read"]

Endpoint = MessageEndpoint | FileEndpoint
"""One entry of `url:`; its type is its kind."""

HANDLERS: dict[str, Callable[[Entry], Endpoint | None]] = {
    "MessageHandler": message.read,
    "FileHandler": files.read,
}
"""What reads an entry, by the name of its handler."""


def read(node: Node, section: UrlSection) -> tuple[Endpoint, ...]:
    """Return the endpoints of `url:` in the order of the file.

    An entry of Gramex that EventHub does not serve costs a warning; a mistake in one that it does
    serve is a problem.
    """
    entries = section.findings.mapping(node, "url").items()
    endpoints = [_endpoint(name, entry, joined("url", name), section) for name, entry in entries]
    for check in section.checks:
        check()
    return tuple(endpoint for endpoint in endpoints if endpoint is not None)


def _endpoint(name: str, node: Node, path: str, section: UrlSection) -> Endpoint | None:
    findings = section.findings
    named = findings.mapping(node, path).get("handler")
    if named is None:
        findings.problem(node, path, "handler is missing")
        return None
    handler = str(named.plain).removeprefix("gramex.handlers.")
    if handler not in HANDLERS:
        findings.warn(named, path, f"handler {handler} is not served")
        return None
    entry = Entry.of(name, node, path, section)
    return HANDLERS[handler](entry) if entry is not None else None
