"""Guarding: who may use an entry of `url:`: its rule, the origins of its pages, its expressions."""

from dataclasses import replace
from typing import Any

from eventhub.config.access import is_blank
from eventhub.config.handlers.entry import known_members
from eventhub.config.reading import read_value
from eventhub.config.tree import Findings, Node, joined
from eventhub.errors import Misconfigured
from eventhub.expressions import MESSAGE_NAMES, OPEN_NAMES, Placed, check_syntax, compile_expression

_AUTH_KEYS = ("membership", "condition")
_GRAMEX_AUTH = frozenset(["action", "login_url", "query", "template"])


def expression(
    node: Node,
    path: str,
    findings: Findings,
    names: tuple[str, ...] = MESSAGE_NAMES,
    hint: str = "",
) -> str:
    """Return the text of a Python expression, after compiling it; a hint is added to errors."""
    source = node.value
    if not isinstance(source, str):
        findings.unexpected(node, path, "a Python expression")
        return ""
    try:
        if findings.pasted is None:
            compile_expression(source, names, folder=node.folder)
        else:
            check_syntax(source)
    except Misconfigured as error:
        findings.problem(node, path, error.message + hint)
    return Placed(source, node.place)


def auth(node: Node, path: str, findings: Findings) -> bool | dict[str, Any]:
    """Return `auth:`; `access.check_rule` reports a blank one."""
    if isinstance(node.value, dict):
        members = known_members(node, path, findings, _AUTH_KEYS, _GRAMEX_AUTH)
        if "membership" in members:
            findings.ambiguous(members["membership"], joined(path, "membership"))
        condition = members.get("condition")
        if condition is not None and not is_blank(condition):
            source = condition.items.get("function", condition)
            placed = expression(source, joined(path, "condition"), findings, OPEN_NAMES)
            found = replace(source, value=placed)
            is_long = source is not condition  # Gramex's long form
            members["condition"] = (
                replace(condition, value={"function": found}) if is_long else found
            )
        return {key: member.plain for key, member in members.items()}
    value: bool = read_value(bool, node, path, findings)
    return value


def origins(node: Node, path: str, findings: Findings) -> list[str]:
    """Return `origins:`; a single one needs no list."""
    if isinstance(node.value, str):
        return [node.value]
    found: list[str] = read_value(list[str], node, path, findings)
    return found
