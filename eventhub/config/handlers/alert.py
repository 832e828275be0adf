"""`alert:` of a MessageHandler: the mails that its messages send."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated

import msgspec

from eventhub.config.reading import Struct, read_struct
from eventhub.config.tree import Findings, Node, nearest
from eventhub.expressions import Placed
from eventhub.methods import Method

GRAMEX_ALERT = frozenset(["data", "each", "notify", "schedule", "user"])
_AS_INGRAMEX_ALERT = "`_alert: false` suppresses this alert, because the file has a part of Gramex"
_SAY_SO = "write suppressible: false to prevent that, or suppressible: true to keep it"


class Alert(Struct, frozen=True):
    """`alert:` (docs/alerts.md); texts are Jinja2 templates that see the message."""

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
    """The folder of files that templates name; without it they cannot name any."""
    max_recipients: Annotated[int, msgspec.Meta(ge=1, le=10**6)] = 100
    """The limit of one mail; above it the mail becomes a dead letter."""
    max_per_hour: Annotated[int, msgspec.Meta(ge=1, le=10**6)] = 60
    """The limit for one address; for all addresses it is ten times as much."""
    service: str | None = None
    condition: str | None = None
    suppressible: bool = False
    """Whether a message may suppress its alert. Without the key it may in files of Gramex."""


def read(node: Node, path: str, findings: Findings, services: Mapping[str, object]) -> Alert | None:
    """Return the alert, or None if it has problems.

    Args:
        node: the mapping.
        path: the dotted keys that lead to it.
        findings: where problems are reported.
        services: what is under `email:`; None for a service that has problems.
    """
    members = {}
    for key, member in findings.mapping(node, path).items():
        if key in GRAMEX_ALERT:
            findings.warn(member, path, f"{key} has no effect in EventHub")
        elif key == "methods":
            members[key] = _methods(member)
        elif member.value is not None:
            members[key] = member
    alert: Alert | None = read_struct(Alert, replace(node, value=members), path, findings)
    if alert and alert.condition is not None:
        placed = Placed(alert.condition, members["condition"].place)
        alert = msgspec.structs.replace(alert, condition=placed)
    if not services:
        findings.warn(node, path, "no service is defined under email; mails are only logged")
    elif alert and alert.service is not None and alert.service not in services:
        known = ", ".join(services)
        findings.misspelt(
            node.items["service"],
            f"{path}.service",
            f"no service {alert.service!r} under email; known services: {known}",
            nearest(alert.service, services),
        )
    if alert and alert.service and services.get(alert.service) is None:
        alert = msgspec.structs.replace(alert, service=None)  # so that its templates are checked
    if alert and findings.gramex and "suppressible" not in members:
        findings.warn(node, path, f"{_AS_INGRAMEX_ALERT} ({findings.gramex}); {_SAY_SO}")
        return msgspec.structs.replace(alert, suppressible=True)
    return alert


def _methods(node: Node) -> Node:
    """Return methods in upper case, and `POST, PUT` as a list of two."""
    if isinstance(node.value, str):
        names = [name for name in re.split(r"[,\s]+", node.value) if name]
        return replace(node, value=[replace(node, value=name.upper()) for name in names])
    if isinstance(node.value, list):
        return replace(node, value=[replace(n, value=str(n.plain).upper()) for n in node.value])
    return node
