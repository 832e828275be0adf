"""Access: checks of `auth:`. A blank rule is a mistake, and never opens an endpoint.

An endpoint is open only if `auth` is absent or `false`. A rule whose lines are commented out, or
whose variable is empty, was meant to restrict something.
"""

import ipaddress
import re
from collections.abc import Iterable, Iterator
from typing import Final

from eventhub.config.tree import Findings, Node, joined

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

ANY: Final = "any"
"""In `trusted:`, stands for every address."""
UNIX: Final = "unix"
"""In `trusted:` and as an address, whoever came over the Unix socket."""
_EVERY: Final[tuple[Network, ...]] = (
    ipaddress.ip_network("0.0.0.0/0"),
    ipaddress.ip_network("::/0"),
)
_NOT_PUBLIC: Final = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.168.0.0/16", "224.0.0.0/3"),
    )
)
"""Not used on the Internet (RFC 6890): to trust all other addresses is to trust all."""
_PUBLIC_V6: Final = ipaddress.IPv6Network("2000::/3")
_MAPPED: Final = ipaddress.IPv6Network("::ffff:0:0/96")
TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""The name of a header or a cookie (RFC 9110 section 5.6.2)."""
_SECTIONS: Final = {
    "jwt": "`secret`, `public_key` or `jwks`",
    "proxy": "`trusted`, and `header` if the proxy names the user",
    "session": "its settings",
}
_RULES: Final = (
    "`true` for every user, `membership:` or `condition:` for some users, `false` for everybody"
)


def is_blank(node: Node) -> bool:
    """Tell whether a value is blank: null, white space, 0, or an empty list or mapping."""
    value = node.value
    if isinstance(value, str):
        return not value.strip()
    return value is not False and not value


# --- `auth:` of an endpoint ----------------------------------------------------------------------


def check_rule(node: Node, path: str, findings: Findings) -> None:
    """Report an endpoint's `auth:` that is blank, or contains a blank rule."""
    if is_blank(node):
        findings.problem(node, path, f"auth is blank; write {_RULES}")
        return
    members = node.items
    for name, example in (
        ("membership", "an attribute with its values, such as `role: [admin]`"),
        ("condition", "a Python expression"),
    ):
        where = joined(path, name)
        if name in members and any(is_blank(each) for each in _with_members(members[name])):
            text = f"{name} is blank; write {example}, or remove it"
            findings.problem(members[name], where, text)


def _with_members(node: Node) -> Iterator[Node]:
    """Yield a rule and everything in it, except numbers and truth values: 0 is an attribute."""
    yield node
    members = node.value if isinstance(node.value, list) else node.items.values()
    for member in members:
        if not isinstance(member.value, int | float):
            yield from _with_members(member)


# --- `auth:` of the hub --------------------------------------------------------------------------


def check_sections(section: Node | None, findings: Findings) -> None:
    """Report a top-level `auth:`, or a section in it, that is present but blank."""
    if section is None:
        return
    if is_blank(section) or section.value is False:
        findings.problem(
            section, "auth", "auth is blank; write jwt, proxy or session, or remove it"
        )
    for name, content in _SECTIONS.items():
        member = section.items.get(name)
        if member is not None and (is_blank(member) or member.value is False):
            text = f"{name} is blank; write {content}, or remove it"
            findings.problem(member, f"auth.{name}", text)


def check_settings(section: Node, findings: Findings) -> None:
    """Report settings of a top-level `auth:` that are blank, or that trust too much."""
    query = section.items.get("query")
    if query is not None and query.value is True:
        text = "tokens in URLs end up in the logs of proxies and in the history of browsers"
        findings.warn(query, "auth.query", text)
    for name in _SECTIONS:
        member = section.items.get(name)
        for key, node in member.items.items() if member is not None else ():
            if is_blank(node) and node.value != 0:
                path = f"auth.{name}.{key}"
                findings.problem(node, path, f"{key} is blank; give a value, or remove it")
            elif (name, key) == ("session", "cookie") and not TOKEN.fullmatch(str(node.value)):
                text = "the name of a cookie has letters, digits, - and _"
                findings.problem(node, "auth.session.cookie", text)
            elif (name, key) == ("proxy", "trusted"):
                _check_trusted(node, findings)


def _check_trusted(node: Node, findings: Findings) -> None:
    path, given = "auth.proxy.trusted", node.plain
    trusted = given if isinstance(given, list) else [given]
    if given != ANY and not isinstance(given, list):
        return  # the settings report it
    if ANY in trusted:
        text = "with `any`, every client that reaches the hub can claim to be any user"
        findings.warn(node, path, text)
        return
    try:
        networks = networks_of(map(str, trusted))
    except ValueError as error:
        text = f"expected addresses and networks, such as 127.0.0.1 or 10.0.0.0/8: {error}"
        findings.problem(node, path, text)
        return
    if _cover_all(networks):
        text = "these networks are all addresses; to trust every client, write `trusted: any`"
        findings.problem(node, path, text)


def networks_of(trusted: Iterable[str]) -> tuple[Network, ...]:
    """Return the networks of `trusted:`; IPv4 networks that are mapped into IPv6 become IPv4.

    Raises:
        ValueError: an entry is neither an address, nor a network, nor `any` or `unix`.
    """
    trusted = [trusted] if isinstance(trusted, str) else list(trusted)
    if ANY in trusted:
        return _EVERY
    trusted = [text for text in trusted if text != UNIX]
    return tuple(_unmap(ipaddress.ip_network(text, strict=False)) for text in trusted)


def trusts_unix(trusted: Iterable[str]) -> bool:
    """Tell whether whoever uses the Unix socket is trusted."""
    return not {ANY, UNIX}.isdisjoint([trusted] if isinstance(trusted, str) else trusted)


def _unmap(network: Network) -> Network:
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        address = int(network.network_address) & 0xFFFF_FFFF
        return ipaddress.IPv4Network((address, network.prefixlen - 96))
    return network


def _cover_all(networks: Iterable[Network]) -> bool:
    """Tell whether networks cover all public addresses of IPv4 or of IPv6."""
    networks = list(networks)
    v4 = [each for each in networks if isinstance(each, ipaddress.IPv4Network)]
    v6 = [each for each in networks if isinstance(each, ipaddress.IPv6Network)]
    whole = ipaddress.collapse_addresses([*v4, *_NOT_PUBLIC])
    return any(each.prefixlen == 0 for each in whole) or any(
        _PUBLIC_V6.subnet_of(each) for each in ipaddress.collapse_addresses(v6)
    )
