"""Scope: which parts of two configurations of an endpoint can be compared by what the log holds.

The log knows the id of who sent a message, and nothing else of the client: no group, no address, no
arguments of its URL. A rule that asks for more is left out of both sides, and named if it differs.
"""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from eventhub.config import ColumnRule, MessageEndpoint, Rules
from eventhub.identity.decisions import CLIENT_NAMES, is_expression, names_in

HOOKS: Final = ("message_default", "prepare", "modify")
"""Keys of an endpoint with the hooks that change messages."""
ROWS: Final = ("read", "create", "update", "delete")
"""The rules about rows of which a rehearsal asks."""
_ATTRIBUTE: Final = re.compile(r"\$user\.([A-Za-z_][\w.]*)")


class Scope(NamedTuple):
    """An endpoint before and after, with what can be rehearsed of it."""

    old: MessageEndpoint
    new: MessageEndpoint
    left_out: tuple[str, ...]
    """What differs and is not rehearsed, each with the reason."""


def scope_of(old: MessageEndpoint, new: MessageEndpoint) -> Scope:
    """Return what can be compared of an endpoint."""
    unknown = {name for entry in (old, new) for name in _asking_more(entry.rules)}
    mine, its = _texts(old.rules), _texts(new.rules)
    left_out = [
        f"rules: {name}: it depends on more of a user than the id"
        for name in sorted(unknown)
        if mine.get(name) != its.get(name)
    ]
    if old.open != new.open:
        left_out.append("open: it depends on the client and its request")
    if old.auth != new.auth and (isinstance(old.auth, dict) or isinstance(new.auth, dict)):
        left_out.append("auth: of users with a login, because it depends on more than their id")
    if old.quota != new.quota:
        left_out.append("quota: it depends on all events of a day")
    return Scope(_without(old, unknown), _without(new, unknown), tuple(left_out))


def has_other_hooks(old: MessageEndpoint, new: MessageEndpoint) -> bool:
    """Return whether the hooks that change messages differ."""
    return any(getattr(old, name) != getattr(new, name) for name in HOOKS)


def without_hooks(entry: MessageEndpoint) -> MessageEndpoint:
    """Return an endpoint that stores messages as they are."""
    return msgspec.structs.replace(entry, message_default={}, prepare=None, modify=None)


def _texts(rules: Rules | None) -> Mapping[str, str]:
    """Return the rules by name; those of a column as `columns.NAME.read`."""
    if rules is None:
        return {}
    found = {name: getattr(rules, name) for name in ROWS}
    for column, rule in rules.columns.items():
        found |= {f"columns.{column}.read": rule.read, f"columns.{column}.write": rule.write}
    return {name: text for name, text in found.items() if text is not None}


def _asking_more(rules: Rules | None) -> list[str]:
    return [name for name, text in _texts(rules).items() if _asks_more(text)]


def _asks_more(text: str) -> bool:
    """Return whether a rule depends on a client in more than its user's id."""
    if is_expression(text):
        return not names_in(text).isdisjoint(CLIENT_NAMES)
    return any(name != "id" for name in _ATTRIBUTE.findall(text))


def _without(entry: MessageEndpoint, names: set[str]) -> MessageEndpoint:
    rules = entry.rules
    if rules is None or not names:
        return entry
    columns = {
        column: ColumnRule(
            read=None if f"columns.{column}.read" in names else rule.read,
            write=None if f"columns.{column}.write" in names else rule.write,
        )
        for column, rule in rules.columns.items()
    }
    of_rows = {name: None for name in ROWS if name in names}
    reduced = msgspec.structs.replace(rules, columns=columns, **of_rows)
    return msgspec.structs.replace(entry, rules=reduced)
