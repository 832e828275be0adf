"""`alert:` of an endpoint: which mails its messages send."""

import re
from collections.abc import Collection
from dataclasses import replace
from typing import Annotated

import msgspec

from eventhub.config.reading import Struct, read_struct
from eventhub.config.tree import Findings, Node
from eventhub.methods import Method

_GRAMEX = frozenset(["data", "each", "notify", "schedule", "user"])


class Alert(Struct, frozen=True):
    """`alert:` of an endpoint (docs/alerts.md); texts are Jinja2 templates over the message."""

    methods: list[Method] = msgspec.field(default_factory=lambda: ["POST"])
    to: str | list[str] | None = None
    cc: str | list[str] | None = None
    bcc: str | list[str] | None = None
    from_: str | None = msgspec.field(name="from", default=None)
    reply_to: str | list[str] | None = None
    on_behalf_of: str | None = None
    subject: str | None = None
    body: str | None = None
    html: str | None = None
    markdown: str | None = None
    bodyfile: str | None = None
    htmlfile: str | None = None
    markdownfile: str | None = None
    images: dict[str, str] = {}
    attachments: list[str] | str = []
    attachments_from: str | None = None
    """Folder of the files that templates name; without it they name none."""
    max_recipients: Annotated[int, msgspec.Meta(ge=1)] = 100
    """Of one mail; one with more is a dead letter."""
    max_per_hour: Annotated[int, msgspec.Meta(ge=1)] = 60
    """Mails to one address; ten times as many to all."""
    service: str | None = None
    condition: str | None = None
    suppressible: bool = True


def read(node: Node, path: str, findings: Findings, services: Collection[str]) -> Alert | None:
    """Return what `alert:` says; None if it has problems.

    Args:
        node: the mapping.
        path: the dotted keys that lead to it.
        findings: where problems go.
        services: the names under `email:`.
    """
    members = {}
    for key, member in findings.mapping(node, path).items():
        if key in _GRAMEX:
            findings.warn(member, path, f"{key} has no effect here")
        elif key == "methods":
            members[key] = _methods(member)
        elif member.value is not None:
            members[key] = member
    alert: Alert | None = read_struct(Alert, replace(node, value=members), path, findings)
    if not services:
        findings.warn(
            node, path, "there is no service under email: its mails are only shown in the log"
        )
    elif alert and alert.service is not None and alert.service not in services:
        known = ", ".join(services)
        findings.problem(node, path, f"email has no service {alert.service!r}: {known}")
    return alert


def _methods(node: Node) -> Node:
    """Take `POST, PUT` for a list of two, in any case."""
    if isinstance(node.value, str):
        names = [name for name in re.split(r"[,\s]+", node.value) if name]
        return replace(node, value=[replace(node, value=name.upper()) for name in names])
    if isinstance(node.value, list):
        return replace(node, value=[replace(n, value=str(n.plain).upper()) for n in node.value])
    return node
