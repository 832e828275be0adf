"""Broker: whether a hub can connect as `broker:` says, and the files that it needs for that."""

from typing import Final
from urllib.parse import urlsplit

import msgspec

from eventhub.config.settings import Broker
from eventhub.config.tree import Findings, Node

_SCHEMES: Final = ("nats", "tls", "ws", "wss")
_BY_TLS: Final = ("tls", "wss")
_FILES: Final = ("ca_file", "cert_file", "key_file")


def checked(section: Node, broker: Broker | None, findings: Findings) -> Broker | None:
    """Report what is wrong with `broker:`; return it with its files as absolute paths."""
    _check_urls(section, findings)
    if broker is None:
        return None
    if (broker.cert_file is None) != (broker.key_file is None):
        name = "cert_file" if broker.key_file is None else "key_file"
        findings.problem(
            section.items[name], f"broker.{name}", "cert_file and key_file need each other"
        )
    given = [name for name in _FILES if getattr(broker, name) is not None]
    files = {
        name: findings.masks.in_folder(section.items[name].folder, getattr(broker, name))
        for name in given
    }
    return msgspec.structs.replace(broker, **files)


def _has_host(url: str) -> bool:
    try:
        split = urlsplit(url)
        return bool(split.hostname) and split.port != 0
    except ValueError:
        return False


def _check_urls(section: Node, findings: Findings) -> None:
    """Report URLs that no NATS server can have, or that do without the TLS that was set up."""
    node = section.items.get("url")
    files = [name for name in _FILES if name in section.items]
    if node is None:
        if files:
            first = section.items[files[0]]
            text = "url is missing: which servers is it for?"
            findings.problem(first, f"broker.{files[0]}", text)
        return
    for url in node.plain if isinstance(node.plain, list) else [node.plain]:
        scheme, separator, _ = str(url).partition("://")
        if separator and scheme not in _SCHEMES:
            known = ", ".join(f"{scheme}://" for scheme in _SCHEMES)
            text = f"{scheme}:// is not the URL of a NATS server; it begins with one of {known}"
            findings.problem(node, "broker.url", text)
        elif not _has_host(url if separator else f"nats://{url}"):
            text = "expected nats://HOST:PORT, with a port from 1 to 65535"
            findings.problem(node, "broker.url", text)
        elif files and not (separator and scheme in _BY_TLS):
            text = f"{files[0]} is for connections by TLS: begin the URL with tls://"
            findings.problem(node, "broker.url", text)
