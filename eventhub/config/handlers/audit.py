"""The table `_audit`: what users and operators did to the hub itself. The hub alone writes it."""

from collections.abc import Mapping
from typing import Any, Final

from eventhub.columns import Column, Kind
from eventhub.config.handlers.entry import Entry
from eventhub.config.tree import Node, joined

TABLE: Final = "_audit"
COLUMNS: Final = (
    Column("action"),
    Column("target"),
    Column("address"),
    Column("outcome"),
    Column("count", Kind.INTEGER),
    Column("detail", Kind.JSON),
)
"""Of its table, in addition to `id`, `user` and `timestamp`."""
_OF_WRITERS: Final = ("columns", "url", "import", "message_default", "prepare", "modify", "send")
"""Keys that decide what is written."""


def check(entry: Entry, given: Mapping[str, Node], auth: object) -> dict[str, Any]:
    """Report what an entry that reads the audit trail may not have; return what it has.

    Args:
        entry: with `table: _audit`.
        given: the members of its `kwargs:`.
        auth: its rule.
    """
    path, findings = entry.kwargs_path, entry.findings
    entry.section.claim("table", TABLE, entry.name, given["table"], joined(path, "table"))
    for key in _OF_WRITERS:
        if key in given:
            text = f"{key} has no place here: the hub itself writes {TABLE}"
            findings.problem(given[key], joined(path, key), text)
    if auth in (None, False) and findings.is_sound(joined(path, "auth")):
        text = f"auth is missing: everybody could read {TABLE}; write who may, such as membership"
        findings.problem(entry.kwargs, path, text)
    return {"columns": COLUMNS}
