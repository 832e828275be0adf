"""Listening: whether the hub can listen as `server:` says, and which files it needs for that."""

import re
from collections.abc import Iterable
from typing import Final

import msgspec

from eventhub.config.handlers import Endpoint, SqlEndpoint
from eventhub.config.settings import UNIX_PREFIX, Server
from eventhub.config.tree import Findings, Node

MOST_SOCKET_PATH: Final = 107
"""Bytes of `sun_path` on Linux, without the zero at its end (unix(7))."""

_WITH_PORT: Final = re.compile(r"[^/:]*:\d+|\[.*\]:\d+")


def check(section: Node, endpoints: Iterable[Endpoint], findings: Findings) -> None:
    """Report what is wrong with `server:`, given the entries of `url:`."""
    _check_host(section, findings)
    _check_flight(section, endpoints, findings)


def with_files(section: Node, server: Server | None, findings: Findings) -> Server | None:
    """Return `server:` with the files of `tls:` as absolute paths."""
    if server is None or server.tls is None:
        return server
    members = section.items["tls"].items
    files = {
        name: findings.masks.in_folder(members[name].folder, getattr(server.tls, name))
        for name in ("cert_file", "key_file")
    }
    tls = msgspec.structs.replace(server.tls, **files)
    return msgspec.structs.replace(server, tls=tls)


def _check_host(section: Node, findings: Findings) -> None:
    """Report a path that cannot be a Unix socket."""
    node = section.items.get("host")
    if node is None or not isinstance(node.value, str):
        return
    if (text := _mistake(node.value)) is not None:
        findings.problem(node, "server.host", text)
        return
    path = node.value.removeprefix(UNIX_PREFIX)
    if path != node.value or path.startswith("/"):
        if path == node.value:
            text = f"to listen on a Unix socket, write {UNIX_PREFIX}{path}"
        elif not path.startswith("/"):
            text = f"the path of a Unix socket begins with /, as in {UNIX_PREFIX}$YAMLPATH/hub.sock"
        elif len(path.encode()) > MOST_SOCKET_PATH:
            text = f"the path of a Unix socket has at most {MOST_SOCKET_PATH} bytes"
        else:
            return
        findings.problem(node, "server.host", text)


def _mistake(host: str) -> str | None:
    """Return why a text is no host; None if it may be one, or the path of a Unix socket."""
    if not host.strip():
        return "host is blank; write 127.0.0.1, or 0.0.0.0 for every address of this machine"
    if "://" in host:
        return f"expected a name or an address, without {host.partition('://')[0]}://"
    if _WITH_PORT.fullmatch(host):
        return "expected a name or an address; the port belongs to server.port"
    return None


def _check_flight(section: Node, endpoints: Iterable[Endpoint], findings: Findings) -> None:
    """Report a `server.flight_port` that has nothing to serve, or is taken by `server.port`."""
    node = section.items.get("flight_port")
    if node is None or node.value is None:
        return
    if not any(isinstance(endpoint, SqlEndpoint) for endpoint in endpoints):
        text = "Arrow Flight SQL serves SQLHandlers, and this file has none: add one to url"
        findings.problem(node, "server.flight_port", text)
    host = section.items.get("host")
    if host is not None and str(host.value).startswith(UNIX_PREFIX):
        text = "server.host is a Unix socket, and a port needs an address"
        findings.problem(node, "server.flight_port", text)
    port = section.items["port"].plain if "port" in section.items else Server().port
    if str(node.plain) == str(port) != "0":
        findings.problem(node, "server.flight_port", "it is server.port already: take another one")
