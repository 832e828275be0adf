"""`handler: FileHandler`: static files."""

from pathlib import Path
from typing import Any

from eventhub.config.access import check_rule
from eventhub.config.handlers import guarding
from eventhub.config.handlers.entry import Entry, headers
from eventhub.config.reading import Struct, read_value
from eventhub.config.tree import joined

_TEXTS = ("path", "default_filename")
KEYS = frozenset((*_TEXTS, "auth", "headers"))
"""The keys of `kwargs:`."""


class FileEndpoint(Struct, frozen=True, tag_field="handler", tag="FileHandler"):
    """An entry with `handler: FileHandler`."""

    name: str
    pattern: str
    path: Path
    default_filename: str = "index.html"
    headers: dict[str, str] = {}
    auth: bool | dict[str, Any] | None = None


def read(entry: Entry) -> FileEndpoint | None:
    """Return the endpoint, or None if it cannot be served."""
    path, findings = entry.kwargs_path, entry.findings
    kwargs = entry.members(KEYS)
    if "auth" in entry.kwargs.items:
        check_rule(entry.kwargs.items["auth"], joined(path, "auth"), findings)
    if "path" not in kwargs:
        findings.missing(entry.kwargs, path, "path")
        return None
    values: dict[str, Any] = {
        key: read_value(str, kwargs[key], joined(path, key), findings)
        for key in _TEXTS
        if key in kwargs
    }
    findings.remote(kwargs["path"], joined(path, "path"))
    values["path"] = entry.kwargs.folder / (values["path"] or "")
    if findings.pasted is None and values["path"] and not values["path"].exists():
        text = "there is no such file or folder: until there is, the answer is 404"
        findings.warn(kwargs["path"], joined(path, "path"), text)
    if "auth" in kwargs:
        values["auth"] = guarding.auth(kwargs["auth"], joined(path, "auth"), findings)
    if "headers" in kwargs:
        values["headers"] = headers(kwargs["headers"], joined(path, "headers"), findings)
    url_path = entry.url_path(may_be_folder=True)
    return FileEndpoint(name=entry.name, pattern=url_path, **values)
