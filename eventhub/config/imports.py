"""Imports: the entries of `import:`, and keys with a condition, as in Gramex."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from eventhub.config.tree import Findings, Node, joined
from eventhub.errors import Misconfigured
from eventhub.expressions import compile_expression

_CONDITION = re.compile(r"(?P<key>\S.*?)\s+if\s+(?P<condition>\S.*)", re.DOTALL)
_GRAMEX = re.compile(r"\$\{?(GRAMEX[A-Z]*)\b")
_SCALARS = (str, int, float, bool)


def import_entries(section: Node | None) -> Iterator[tuple[str, Node]]:
    """Yield the dotted keys and node of each entry; `import:` is a path, a list or a mapping."""
    if section is None or section.value is None:
        return
    if isinstance(section.value, list):
        yield from ((f"import[{i}]", node) for i, node in enumerate(section.value))
    elif isinstance(section.value, dict):
        yield from ((f"import.{name}", node) for name, node in section.value.items())
    else:
        yield "import", section


def missing_gramex_variable(target: Node, scope: Mapping[str, str]) -> str | None:
    """Return the first variable of Gramex in a path that is not set, such as `$GRAMEXAPPS`."""
    if not isinstance(target.value, str):
        return None
    names = (match[1] for match in _GRAMEX.finditer(target.value))
    return next((f"${name}" for name in names if name not in scope), None)


def variables_for_import(entry: Node, path: str, findings: Findings) -> dict[str, str]:
    """Return the variables that an entry passes to the file that it imports."""
    given = {}
    for name, node in entry.items.items():
        if name == "path" or node.value is None:
            continue
        if isinstance(node.value, _SCALARS):
            given[name] = str(node.value)
        else:
            text = "a variable must be text, a number, true or false; this one is ignored"
            findings.warn(node, joined(path, name), text)
    return given


def decide_conditions(
    node: Node, variables: Mapping[str, str], findings: Findings, path: str = ""
) -> Node:
    """Return a tree in which each `KEY if CONDITION` is `KEY`, or is left out if it does not hold.

    The condition is a Python expression over the variables, trusted like the file. If it cannot be
    evaluated, that is an error, because the key may be a restriction; under `import:` it is a
    warning, and nothing is imported.
    """
    if isinstance(node.value, list):
        items = [decide_conditions(item, variables, findings, path) for item in node.value]
        return replace(node, value=items)
    if not isinstance(node.value, dict):
        return node
    members: dict[str, Node] = {}
    for key, member in node.value.items():
        match = _CONDITION.fullmatch(key)
        if match is None:
            members[key] = decide_conditions(member, variables, findings, joined(path, key))
        elif _holds(match["condition"], member, variables, findings, joined(path, key)):
            members[match["key"]] = decide_conditions(member, variables, findings, path)
    return replace(node, value=members)


def _holds(
    condition: str, node: Node, variables: Mapping[str, str], findings: Findings, path: str
) -> bool:
    names = tuple(name for name in variables if name.isidentifier())
    if findings.pasted is not None:
        findings.left_out(node, path, "the condition is not evaluated here; the key is checked")
        return True
    try:
        expression = compile_expression(condition, names, folder=node.folder)
        return bool(expression.start(**{name: variables[name] for name in names}))
    except Misconfigured as error:
        problem = error.message
    except Exception as error:  # noqa: BLE001 - the operator's expression may raise anything
        problem = f"the condition raised {type(error).__name__}: {error}"
    if path.startswith("import."):
        findings.warn(node, path, f"{problem}; nothing is imported")
    else:
        findings.problem(node, path, problem)
    return False
