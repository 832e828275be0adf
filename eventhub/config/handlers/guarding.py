"""Guarding: who may use an entry of `url:`: its rule, the origins of its pages, its expressions."""

import ast
from dataclasses import replace
from typing import Any

from eventhub.config.access import is_blank
from eventhub.config.handlers.entry import known_members
from eventhub.config.reading import read_value
from eventhub.config.tree import Findings, Node, joined, nearest
from eventhub.errors import Misconfigured
from eventhub.expressions import (
    MESSAGE_NAMES,
    OPEN_NAMES,
    Placed,
    check_syntax,
    compile_expression,
)
from eventhub.handler import Handler, RequestInfo

_OF = {
    owner: tuple(name for name in dir(cls) if not name.startswith("_"))
    for owner, cls in (("handler", Handler), ("handler.request", RequestInfo))
}
"""The attributes of what expressions see of a connection."""
_STATEMENT = "; put statements in a function of a module next to the file, and call it here"
_AUTH_KEYS = ("membership", "condition")
_EXPECTED = "true, false, or a mapping with `membership` or `condition`"
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
    _check_attributes(source, path, node, findings)
    try:
        if findings.pasted is None:
            compile_expression(source, names, folder=node.folder)
        else:
            check_syntax(source)
    except Misconfigured as error:
        hint = _STATEMENT if _is_statement(source) and not hint else hint
        findings.problem(node, path, error.message + hint)
    return Placed(source, node.place)


def _check_attributes(source: str, path: str, node: Node, findings: Findings) -> None:
    """Report what `handler` and `handler.request` do not have: each message would be refused."""
    tree = _parsed(f"(\n{source}\n)")
    nodes = [] if tree is None else [*ast.walk(tree)]
    if any(isinstance(each, ast.arg) and each.arg == "handler" for each in nodes):
        return
    for each in nodes:
        owner = ast.unparse(each.value) if isinstance(each, ast.Attribute) else ""
        if isinstance(each, ast.Attribute) and each.attr not in (
            known := _OF.get(owner, (each.attr,))
        ):
            findings.misspelt(
                node, path, f"{owner} has no {each.attr!r}", nearest(each.attr, known)
            )


def _is_statement(source: str) -> bool:
    """Tell whether a text is Python, but not an expression."""
    indented = "\n".join(f"    {line}" for line in source.splitlines())
    as_function = _parsed(f"async def hook():\n{indented}")
    return as_function is not None and _parsed(f"(\n{source}\n)") is None


def _parsed(text: str) -> ast.Module | None:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


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
    value: bool = read_value(bool, node, path, findings, _EXPECTED)
    return value


def origins(node: Node, path: str, findings: Findings) -> list[str]:
    """Return `origins:`; a single one needs no list."""
    if isinstance(node.value, str):
        return [node.value]
    found: list[str] = read_value(list[str], node, path, findings)
    return found
