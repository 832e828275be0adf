"""`rules:` of a MessageHandler: which rows a user may see and change."""

from eventhub.config.access import is_blank
from eventhub.config.reading import Struct
from eventhub.config.tree import Findings, Node, joined

BLANK = "rules is blank; write read, create, update or delete, or remove it"


class Rules(Struct, frozen=True):
    """Each is `any`, `own`, `none`, a filter with `$user.…`, or an expression about `row`."""

    read: str | None = None
    """Not an expression: a database has to understand it."""
    create: str | None = None
    update: str | None = None
    delete: str | None = None


def read(node: Node, path: str, findings: Findings) -> Rules | None:
    """Return `rules:`; what the rules mean is checked once the columns are known."""
    members = findings.mapping(node, path)
    if not members:
        findings.problem(node, path, BLANK)
    values = {}
    for key, member in members.items():
        where = joined(path, key)
        if key not in Rules.__struct_fields__:
            findings.unknown(member, path, key, Rules.__struct_fields__)
        elif is_blank(member):
            text = f"{key} is blank; write any, own, none, a filter or an expression"
            findings.problem(member, where, text)
        elif not isinstance(member.value, str):
            findings.unexpected(member, where, "any, own, none, a filter or an expression")
        else:
            values[key] = member.value.strip()
    return Rules(**values)
