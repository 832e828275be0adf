"""Access: what `auth:` says by saying nothing. A blank rule is a mistake, never an open door.

Only an absent `auth`, or `false`, is open: a rule whose lines are commented out, or whose variable
is empty, is one that somebody meant to have.
"""

import ipaddress
from collections.abc import Iterable, Iterator
from typing import Final

from eventhub.config.tree import Findings, Node, joined

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

ANY: Final = "any"
"""Of `trusted:`: every address."""
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
"""Nobody on the Internet has such an address (RFC 6890): whoever trusts all others trusts all."""
_PUBLIC_V6: Final = ipaddress.IPv6Network("2000::/3")
_MAPPED: Final = ipaddress.IPv6Network("::ffff:0:0/96")
_SECTIONS: Final = {
    "jwt": "one of `secret`, `public_key` and `jwks`",
    "proxy": "`header` and `trusted`",
    "session": "its settings",
}
_USER: Final = "`true` for any user, `membership:` or `condition:` for some, `false` for everybody"


def is_blank(node: Node) -> bool:
    """Tell whether a value says nothing: null, white space, 0, or nothing in it."""
    value = node.value
    if isinstance(value, str):
        return not value.strip()
    return value is not False and not value


# --- `auth:` of an endpoint ----------------------------------------------------------------------


def check_rule(node: Node, path: str, findings: Findings) -> None:
    """Tell of an endpoint's `auth:` that is blank, or has a blank rule."""
    if is_blank(node):
        findings.problem(node, path, f"it is blank, which is no rule: write {_USER}")
        return
    members = node.items
    for name, means in (
        ("membership", "an attribute with its values, as `role: [admin]`"),
        ("condition", "a Python expression"),
    ):
        where = joined(path, name)
        if name in members and any(is_blank(each) for each in _inside(members[name])):
            text = f"it is blank, which is no rule: write {means}, or leave it out"
            findings.problem(members[name], where, text)


def _inside(node: Node) -> Iterator[Node]:
    """Iterate over a rule and what is in it; an attribute may well be 0 or false."""
    yield node
    members = node.value if isinstance(node.value, list) else node.items.values()
    for member in members:
        if not isinstance(member.value, int | float):
            yield from _inside(member)


# --- `auth:` of the hub --------------------------------------------------------------------------


def check_sections(section: Node | None, findings: Findings) -> None:
    """Tell of a top-level `auth:`, `jwt:`, `proxy:` or `session:` that is there, and blank."""
    if section is None:
        return
    if is_blank(section) or section.value is False:
        findings.problem(
            section, "auth", "it is blank: write jwt, proxy or session, or leave it out"
        )
    for name, means in _SECTIONS.items():
        member = section.items.get(name)
        if member is not None and (is_blank(member) or member.value is False):
            text = f"it is blank: write {means}, or leave it out"
            findings.problem(member, f"auth.{name}", text)


def check_settings(section: Node, findings: Findings) -> None:
    """Tell of settings in a top-level `auth:` that are blank, and of whom it trusts."""
    for name in _SECTIONS:
        member = section.items.get(name)
        for key, node in member.items.items() if member is not None else ():
            if is_blank(node) and node.value != 0:
                path = f"auth.{name}.{key}"
                findings.problem(node, path, "it is blank: give a value, or leave it out")
            elif (name, key) == ("proxy", "trusted"):
                _check_trusted(node, findings)


def _check_trusted(node: Node, findings: Findings) -> None:
    path, given = "auth.proxy.trusted", node.plain
    trusted = given if isinstance(given, list) else [given]
    if ANY in trusted:
        text = "any: whoever reaches the hub can name any user in the header"
        findings.warn(node, path, text)
        return
    try:
        networks = networks_of(map(str, trusted))
    except ValueError as error:
        findings.problem(node, path, str(error))
        return
    if _is_everybody(networks):
        text = "together these are all addresses: write `trusted: any` if anybody may be believed"
        findings.problem(node, path, text)


def networks_of(trusted: Iterable[str]) -> tuple[Network, ...]:
    """Return the networks that `trusted:` means; those of IPv4 within IPv6 as of IPv4.

    Raises:
        ValueError: an entry is no address, no network, and not `any`.
    """
    trusted = [trusted] if isinstance(trusted, str) else list(trusted)
    if ANY in trusted:
        return _EVERY
    return tuple(_unmapped(ipaddress.ip_network(text, strict=False)) for text in trusted)


def _unmapped(network: Network) -> Network:
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        address = int(network.network_address) & 0xFFFF_FFFF
        return ipaddress.IPv4Network((address, network.prefixlen - 96))
    return network


def _is_everybody(networks: Iterable[Network]) -> bool:
    """Tell whether networks cover all public addresses of IPv4, or of IPv6."""
    networks = list(networks)
    v4 = [each for each in networks if isinstance(each, ipaddress.IPv4Network)]
    v6 = [each for each in networks if isinstance(each, ipaddress.IPv6Network)]
    whole = ipaddress.collapse_addresses([*v4, *_NOT_PUBLIC])
    return any(each.prefixlen == 0 for each in whole) or any(
        _PUBLIC_V6.subnet_of(each) for each in ipaddress.collapse_addresses(v6)
    )
