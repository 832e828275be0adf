"""Mail services: `email:`, the servers that send the mails of alerts."""

from dataclasses import replace

from eventhub.config.reading import read_struct
from eventhub.config.settings import EmailService
from eventhub.config.tree import Findings, Node, joined

_HOSTS = {
    "yahoo": "smtp.mail.yahoo.com",
    "live": "smtp.live.com",
    "mandrill": "smtp.mandrillapp.com",
    "office365": "smtp.office365.com",
    "outlook": "smtp-mail.outlook.com",
    "icloud": "smtp.mail.me.com",
    "mail.com": "smtp.mail.com",
}
"""Mail providers that Gramex knows by name; all of them are `type: smtp` with STARTTLS."""


def read(section: Node, findings: Findings) -> dict[str, EmailService | None]:
    """Return the services; None in place of one that has problems."""
    services: dict[str, EmailService | None] = {}
    for name, node in findings.mapping(section, "email").items():
        path = joined("email", name)
        if name in EmailService.__struct_encode_fields__ and not node.items:
            text = (
                f"{name} belongs to a service, and a service needs a name: `office: {{type: smtp}}`"
            )
            findings.problem(node, path, text)
            continue
        service = read_struct(EmailService, _as_smtp(node), path, findings)
        if service is not None and service.type in ("smtp", "smtps") and not service.host:
            findings.problem(node, path, f"host is missing; type {service.type} needs one")
            service = None
        services[name] = service
    return services


def _as_smtp(node: Node) -> Node:
    """Return a provider that Gramex knows by name as its SMTP server."""
    host = _HOSTS.get(str(node.items["type"].plain)) if "type" in node.items else None
    if host is None:
        return node
    members = {"host": host, "tls": True, **node.items, "type": "smtp"}
    return replace(
        node,
        value={k: v if isinstance(v, Node) else replace(node, value=v) for k, v in members.items()},
    )
