"""`quota:` of a MessageHandler: what one user may write to the table in a day."""

from typing import Annotated

import msgspec

from eventhub.config.access import is_blank
from eventhub.config.reading import Struct, read_struct
from eventhub.config.tree import Findings, Node

BLANK = "quota is blank; write rows, events or bytes, or remove it"
Most = Annotated[int, msgspec.Meta(ge=1, le=10**15)]


class Quota(Struct, frozen=True):
    """What each user may write in a day of UTC; all clients without a login count as one user."""

    rows: Most | None = None
    """Rows that the user creates, deleted or not."""
    events: Most | None = None
    """Changes of any kind: rows created, changed and deleted."""
    bytes: Most | None = None
    """Bytes of the events in the log, which hold the whole row; the last event may exceed it."""


def read(node: Node, path: str, findings: Findings) -> Quota | None:
    """Return the quota; a blank one is a mistake, because it would limit nothing."""
    members = node.items.values() if isinstance(node.value, dict) else [node]
    if all(is_blank(each) for each in members):
        findings.problem(node, path, BLANK)
        return None
    quota: Quota | None = read_struct(Quota, node, path, findings)
    return quota
