"""`rules:` of a MessageHandler: which rows and columns a user may see and change."""

from collections.abc import Mapping

from eventhub.config.access import is_blank
from eventhub.config.reading import Struct
from eventhub.config.tree import Findings, Node, joined
from eventhub.expressions import Placed

BLANK = "rules is blank; write read, create, update, delete, send or columns, or remove it"
_EXPECTED = "any, own, none, a filter or an expression"
_OF_COLUMN = {"read": "any, none or an expression about handler", "write": _EXPECTED}


class ColumnRule(Struct, frozen=True):
    """Who may read and write one column."""

    read: str | None = None
    """`any`, `none`, or an expression about `handler`; any without it."""
    write: str | None = None
    """As a rule of rows; without it, whoever may read."""


class Rules(Struct, frozen=True):
    """Each is `any`, `own`, `none`, a filter with `$user.…`, or an expression about `row`."""

    read: str | None = None
    """Not an expression: a database has to understand it."""
    create: str | None = None
    update: str | None = None
    delete: str | None = None
    send: str | None = None
    """Of messages that are not stored; without it, that of `create`."""
    columns: Mapping[str, ColumnRule] = {}

    @property
    def hideable(self) -> frozenset[str]:
        """The columns that some client may not read."""
        return frozenset(k for k, rule in self.columns.items() if rule.read not in (None, "any"))


def read(node: Node, path: str, findings: Findings) -> Rules | None:
    """Return `rules:`; what the rules mean is checked once the columns are known."""
    members = findings.mapping(node, path)
    if is_blank(node):
        findings.problem(node, path, BLANK)
    texts, columns = {}, {}
    for key, member in members.items():
        where = joined(path, key)
        if key == "columns":
            columns = _columns(member, where, findings)
        elif key not in Rules.__struct_fields__:
            findings.unknown(member, path, key, Rules.__struct_fields__)
        elif (text := _text(member, where, key, _EXPECTED, findings)) is not None:
            texts[key] = text
    return Rules(columns=columns, **texts)


def _columns(node: Node, path: str, findings: Findings) -> dict[str, ColumnRule]:
    rules = findings.mapping(node, path)
    if is_blank(node):
        text = "columns is blank; write the rules of some columns, or remove it"
        findings.problem(node, path, text)
    return {name: _column(rule, joined(path, name), findings) for name, rule in rules.items()}


def _column(node: Node, path: str, findings: Findings) -> ColumnRule:
    members = findings.mapping(node, path)
    if is_blank(node):
        findings.problem(node, path, "the rule is blank; write read or write, or remove it")
    texts = {}
    for key, member in members.items():
        where = joined(path, key)
        if key not in _OF_COLUMN:
            findings.unknown(member, path, key, _OF_COLUMN)
        elif (text := _text(member, where, key, _OF_COLUMN[key], findings)) is not None:
            texts[key] = text
    return ColumnRule(**texts)


def _text(node: Node, path: str, key: str, expected: str, findings: Findings) -> str | None:
    if is_blank(node):
        findings.problem(node, path, f"{key} is blank; write {expected}")
    elif not isinstance(node.value, str):
        findings.unexpected(node, path, expected)
    else:
        return Placed(node.value, node.place).stripped()
    return None
