"""`columns:` of a MessageHandler."""

from dataclasses import replace

from eventhub.columns import BUILT_IN, TYPES, Column, Digits, Kind, digits_of, kind_of
from eventhub.config.handlers.entry import known_members
from eventhub.config.reading import read_value
from eventhub.config.tree import Findings, Node, joined, nearest
from eventhub.errors import EventHubError, Misconfigured

_KEYS = ("type", "nullable", "default")
_GRAMEX = frozenset(["autoincrement", "primary_key", "unique"])


def read(node: Node, path: str, findings: Findings) -> tuple[Column, ...]:
    """Return the declared columns, without the built-in ones."""
    columns = []
    names = {name: name for name in BUILT_IN}
    if not isinstance(node.value, dict):
        findings.unexpected(node, path, "a type for each column, as {body: TEXT, points: INTEGER}")
    for name, member in node.items.items():
        column = _column(name, member, joined(path, name), findings)
        if name in BUILT_IN:
            if column is not None and column.kind is not Kind.TEXT:
                findings.problem(member, path, f"{name} is always text; remove its type")
            continue
        other = names.setdefault(name.lower(), name)
        if not name or name.startswith("_"):
            findings.problem(
                member,
                path,
                f"{name!r} cannot name a column: a name is not empty and does not begin with _",
            )
        elif other != name:
            findings.problem(
                member, path, f"columns {other!r} and {name!r} differ only in case; rename one"
            )
        elif column is not None:
            columns.append(column)
    return tuple(columns)


def _column(name: str, node: Node, path: str, findings: Findings) -> Column | None:
    if not isinstance(node.value, dict):
        node = replace(node, value={"type": node})
    given = known_members(node, path, findings, _KEYS, _GRAMEX)
    kind, digits = _kind(given["type"], path, findings) if "type" in given else (Kind.TEXT, None)
    if kind is None:
        return None
    nullable = "nullable" not in given or read_value(
        bool, given["nullable"], joined(path, "nullable"), findings
    )
    column = Column(name, kind, nullable=bool(nullable), digits=digits)
    if "default" not in given:
        return column
    if kind is Kind.TEXT:
        findings.ambiguous(given["default"], joined(path, "default"))
    try:
        return replace(column, default=column.convert(given["default"].plain))
    except EventHubError as error:
        findings.problem(
            given["default"], joined(path, "default"), error.message.removeprefix(f"{name}: ")
        )
        return None


def _kind(node: Node, path: str, findings: Findings) -> tuple[Kind | None, Digits | None]:
    try:
        return kind_of(str(node.plain)), digits_of(str(node.plain))
    except Misconfigured as error:
        near = nearest(str(node.plain).partition("(")[0], TYPES)
        is_cut = "(" in str(node.plain) and ")" not in str(node.plain)
        hint = "; put a type with a comma in quotes, as 'DECIMAL(10,2)'" if is_cut else ""
        findings.misspelt(node, path, error.message + hint, None if hint else near)
        return None, None
