"""Entry: what the entries of `url:` have in common, whatever their handler."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from eventhub.columns import Column
from eventhub.config.access import TOKEN
from eventhub.config.tree import Findings, Node, joined

ENTRY_KEYS = ("pattern", "handler", "kwargs")

# Further keys of Gramex 1.94: skipped with a warning, so that its files work unchanged.
GRAMEX_ENTRY = frozenset(["cache", "log", "priority", "redirect", "service"])
GRAMEX_KWARGS = frozenset(
    [
        "allow",
        "cache",
        "cors",
        "error",
        "function",
        "handler",
        "ignore",
        "index",
        "log",
        "methods",
        "ratelimit",
        "redirect",
        "session",
        "set_xsrf",
        "template",
        "transform",
        "xsrf_cookies",
    ]
)

_REGULAR_EXPRESSION = re.compile(r"[][()*+?\\^$|{}]")
_OF_THE_HUB = ("/healthz", "/readyz", "/metrics")
"""Paths at which the hub itself answers, besides those below `/-/`."""
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_FRAMING = frozenset(("connection", "content-length", "transfer-encoding", "upgrade"))
"""Headers that say how an answer is sent, which the hub alone knows."""
_FOLDER = re.compile(r"(?:\(\.[*+]\)|\.[*+])\$?$")


@dataclass(slots=True)
class UrlSection:
    """What the entries of `url:` share while they are read."""

    findings: Findings
    services: Mapping[str, object] = field(default_factory=dict)
    """What is under `email:`, for alerts; None for a service that has problems."""
    projections: list[tuple[Node, str, Path]] = field(default_factory=list)
    """The files that `duckdb:` URLs name for the projection, with their nodes and dotted keys."""
    columns: dict[str, dict[str, Column]] = field(default_factory=dict)
    """The columns of all entries that were read, by table and name."""
    restricted: dict[str, str] = field(default_factory=dict)
    """Tables of which some entry does not show every row to everybody: the name of that entry."""
    checks: list[Callable[[], None]] = field(default_factory=list)
    """Checks that are possible only after every entry was read."""
    _owners: dict[tuple[str, str], str] = field(default_factory=dict)

    def claim(self, what: str, value: str, name: str, node: Node, path: str) -> None:
        """Report a value that another entry uses already."""
        owner = self._owners.setdefault((what, value), name)
        if owner != name:
            self.findings.problem(node, path, f"{what} {value} is already used by {owner!r}")


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of `url:` that has a pattern and a known handler."""

    name: str
    path: str
    """Dotted keys that lead to the entry."""
    pattern: Node
    kwargs: Node
    section: UrlSection

    @classmethod
    def of(
        cls, name: str, node: Node, path: str, section: UrlSection, keys: Collection[str]
    ) -> Self | None:
        """Return the entry at a node, or None if it has no pattern, which is a problem.

        Args:
            name: its key in `url:`.
            node: the mapping.
            path: the dotted keys that lead to it.
            section: what the entries share.
            keys: the keys of its `kwargs:`, which are often written at the wrong depth.
        """
        for key in node.items.keys() & {*keys} - {*ENTRY_KEYS}:
            hint = " here; it belongs below `kwargs:`, indented by two more spaces"
            section.findings.unknown(node.items[key], path, key, (), hint)
        node = replace(
            node, value={k: v for k, v in node.items.items() if k in ENTRY_KEYS or k not in keys}
        )
        members = known_members(node, path, section.findings, ENTRY_KEYS, GRAMEX_ENTRY)
        if "pattern" not in members:
            section.findings.missing(node, path, "pattern")
            return None
        kwargs = members.get("kwargs", replace(node, value=None))
        return cls(name, path, members["pattern"], kwargs, section)

    @property
    def findings(self) -> Findings:
        """Where problems and warnings are reported."""
        return self.section.findings

    @property
    def kwargs_path(self) -> str:
        """Dotted keys that lead to `kwargs:`."""
        return joined(self.path, "kwargs")

    def members(self, keys: Iterable[str], gramex: frozenset[str] = frozenset()) -> dict[str, Node]:
        """Return the members of `kwargs:` with one of these keys that have a value.

        Args:
            keys: the known keys.
            gramex: keys that only this handler of Gramex has; each is a warning.
        """
        gramex |= GRAMEX_KWARGS
        return known_members(self.kwargs, self.kwargs_path, self.findings, keys, gramex)

    def read(
        self, given: dict[str, Node], readers: Mapping[str, Callable[[Node, str, Findings], Any]]
    ) -> dict[str, Any]:
        """Return the values of keys of `kwargs:`, without those that have problems."""
        values = {}
        for key in readers.keys() & given.keys():
            path = joined(self.kwargs_path, key)
            value = readers[key](given[key], path, self.findings)
            if self.findings.is_sound(path):
                values[key] = value
        return values

    def url_path(self, *, may_be_folder: bool) -> str:
        """Return the pattern as a path that no other entry has; repeated slashes count as one."""
        path = joined(self.path, "pattern")
        if isinstance(self.pattern.value, dict | list):
            self.findings.unexpected(self.pattern, path, "a path, such as /chat")
            return ""
        pattern = re.sub("/+", "/", str(self.pattern.value))
        if may_be_folder:
            pattern = _FOLDER.sub("", pattern)
        if not pattern.startswith("/"):
            self.findings.problem(self.pattern, path, f"{pattern!r} must begin with /")
        elif _REGULAR_EXPRESSION.search(pattern):
            text = f"{pattern!r} is a regular expression, or has a query; write a plain path"
            self.findings.problem(self.pattern, path, text)
        elif pattern in _OF_THE_HUB or pattern.startswith("/-/"):
            text = f"at {pattern} the hub itself answers; choose another path"
            self.findings.problem(self.pattern, path, text)
        self.section.claim("pattern", pattern, self.name, self.pattern, path)
        return pattern


def known_members(
    node: Node, path: str, findings: Findings, keys: Iterable[str], gramex: frozenset[str]
) -> dict[str, Node]:
    """Return the members with a known key that have a value.

    Args:
        node: a mapping.
        path: the dotted keys that lead to it.
        findings: where unknown keys are reported.
        keys: the known keys.
        gramex: keys that only Gramex knows; each is a warning.
    """
    members = {}
    for key, member in findings.mapping(node, path).items():
        if key in keys:
            members[key] = member
        elif key in gramex:
            findings.warn(member, path, f"{key} has no effect in EventHub")
        else:
            findings.unknown(member, path, key, keys)
    return {key: member for key, member in members.items() if member.value is not None}


def headers(node: Node, path: str, findings: Findings) -> dict[str, str]:
    """Return `headers:` as text."""
    found = {}
    for key, member in findings.mapping(node, path).items():
        found[key] = text(member, joined(path, key), findings)
        if not TOKEN.fullmatch(key):
            problem = "the name of a header has letters, digits and -, and no space"
            findings.problem(member, joined(path, key), problem)
        elif key.lower() in _FRAMING:
            findings.problem(member, joined(path, key), "the hub itself sets it; remove it")
        elif _CONTROL.search(found[key]):
            problem = "the value has a line break or another control character"
            findings.problem(member, joined(path, key), problem)
    return found


def text(node: Node, path: str, findings: Findings) -> str:
    """Return a scalar as text; null is empty text."""
    findings.ambiguous(node, path)
    match node.value:
        case None:
            return ""
        case bool():
            return str(node.value).lower()
        case str() | int() | float():
            return str(node.value)
        case _:
            findings.unexpected(node, path, "text")
            return ""
