"""`handler: SimpleAuth` and `handler: LogoutHandler`: the pages where users log in and out."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from eventhub.config.handlers.entry import Entry
from eventhub.config.parser import Parser
from eventhub.config.reading import Struct, read_value
from eventhub.config.tree import Findings, Node, joined

_GRAMEX_LOGIN = frozenset(
    ("action", "delay", "next", "password", "recaptcha", "session_expiry", "template", "user")
)
_HASH: Final = re.compile(
    r"\$argon2id\$v=19\$m=(?P<memory>\d{1,7}),t=(?P<passes>\d{1,2}),p=(?P<lanes>\d{1,2})"
    r"\$[A-Za-z0-9+/]{11,}\$[A-Za-z0-9+/]{22,}"
)
_MOST_MEMORY_KIB, _MOST_PASSES = 1 << 20, 20
"""Of a hash that another tool made: with more, one login could stop the hub."""
MAX_NAME = 200
"""Characters of a user's name, as of any user's id."""


class Account(Struct, frozen=True):
    """A user who logs in with a password."""

    password: str
    """An Argon2id hash, or the password itself."""
    attributes: dict[str, Any] = {}
    """Further attributes of the user: `role: admin`."""


class SimpleAuthEndpoint(Struct, frozen=True, tag_field="handler", tag="SimpleAuth"):
    """An entry with `handler: SimpleAuth`."""

    name: str
    pattern: str
    credentials: Mapping[str, Account] = {}
    """The accounts of the file and of `users_file`, by name."""
    redirect: str = "/"
    """The path to go to if the page was opened without `?next=`."""
    title: str = "Log in"


class LogoutEndpoint(Struct, frozen=True, tag_field="handler", tag="LogoutHandler"):
    """An entry with `handler: LogoutHandler`."""

    name: str
    pattern: str
    redirect: str = "/"
    title: str = "Log out"


def read_simple_auth(entry: Entry) -> SimpleAuthEndpoint:
    """Return the endpoint; its problems are in the findings."""
    given = entry.members(SIMPLE_AUTH_KEYS, _GRAMEX_LOGIN)
    values = entry.read(given, _READERS)
    accounts = {**values.pop("users_file", {}), **values.pop("credentials", {})}
    if not accounts and entry.findings.is_sound(entry.kwargs_path):
        text = "nobody can log in: list users under credentials, or name a users_file"
        entry.findings.problem(entry.kwargs, entry.kwargs_path, text)
    url_path = entry.url_path(may_be_folder=False)
    return SimpleAuthEndpoint(name=entry.name, pattern=url_path, credentials=accounts, **values)


def read_logout(entry: Entry) -> LogoutEndpoint:
    """Return the endpoint; its problems are in the findings."""
    values = entry.read(entry.members(LOGOUT_KEYS, _GRAMEX_LOGIN), _READERS)
    return LogoutEndpoint(name=entry.name, pattern=entry.url_path(may_be_folder=False), **values)


def _accounts(node: Node, path: str, findings: Findings) -> dict[str, Account]:
    members = findings.mapping(node, path).items()
    found = {name: _account(name, each, joined(path, name), findings) for name, each in members}
    return {name: account for name, account in found.items() if account is not None}


def _account(name: str, node: Node, path: str, findings: Findings) -> Account | None:
    """Return an account, written as `name: password` or `name: {password: …, role: …}`."""
    if not 1 <= len(name) <= MAX_NAME or not name.isprintable():
        text = f"a user's name has 1 to {MAX_NAME} printable characters"
        findings.problem(node, path, text)
        return None
    attributes = dict(node.items)
    password = attributes.pop("password", None) if node.items else node
    if password is None:
        findings.problem(node, path, "password is missing")
        return None
    findings.ambiguous(password, path)
    if not isinstance(password.value, str) or not password.value:
        findings.problem(password, path, "expected a password: make one with `eventhub password`")
        return None
    findings.masks.add_secret(password.value)
    if "id" in attributes:
        findings.problem(attributes["id"], path, f"the id of this user is its name, {name!r}")
    if not is_hash(password.value):
        if (reason := _unusable(password.value)) is not None:
            findings.problem(password, path, reason)
            return None
        text = "whoever reads this file knows the password: make a hash with `eventhub password`"
        findings.warn(password, path, text)
    return Account(
        password=password.value, attributes={key: each.plain for key, each in attributes.items()}
    )


def is_hash(text: str) -> bool:
    """Return whether a text is an Argon2id hash that can be checked at a bearable cost."""
    found = _HASH.fullmatch(text)
    if found is None:
        return False
    memory, passes, lanes = (int(found[name]) for name in ("memory", "passes", "lanes"))
    return lanes >= 1 and 8 * lanes <= memory <= _MOST_MEMORY_KIB and 1 <= passes <= _MOST_PASSES


def _unusable(text: str) -> str | None:
    """Return what is wrong with a hash that cannot be checked; None if the text is a password."""
    if text.startswith("$argon2id$"):
        return (
            "the hash is not whole, or costs too much to check: quote it, because it has commas,"
            " or make one with `eventhub password`"
        )
    if text.startswith(("$2", "$argon2", "$5$", "$6$", "$y$", "{")):
        return "hashes of this kind cannot be checked: make one with `eventhub password`"
    return None


def _users_file(node: Node, path: str, findings: Findings) -> dict[str, Account]:
    """Return the accounts of a YAML file that holds nothing else, and no variables."""
    name: str = read_value(str, node, path, findings) or ""
    file = node.folder / name
    try:
        root = Parser(Path(file), findings).parse()
    except OSError as error:
        findings.problem(node, path, f"cannot read the file: {error.strerror or error}")
        return {}
    return {} if root is None else _accounts(root, path, findings)


def own_path(node: Node, path: str, findings: Findings) -> str:
    """Return a path of this site."""
    value = node.value
    if isinstance(value, str) and is_own_path(value):
        return value
    findings.problem(node, path, "expected a path of this hub that begins with one slash")
    return "/"


def is_own_path(text: str) -> bool:
    r"""Return whether a browser that is sent to this address stays on this site.

    Browsers take `\` for `/`, drop tabs and line breaks, and read `//name` as another host (WHATWG
    URL, section 4.4).
    """
    is_path = text.startswith("/") and not text.startswith(("//", "/\\"))
    return is_path and "\\" not in text and text.isprintable() and text.isascii()


def title(node: Node, path: str, findings: Findings) -> str:
    """Return the heading of a page."""
    text: str = read_value(str, node, path, findings)
    return text


_Reader = Callable[[Node, str, Findings], Any]
_READERS: dict[str, _Reader] = {
    "credentials": _accounts,
    "users_file": _users_file,
    "redirect": own_path,
    "title": title,
}
"""The reader of each key of `kwargs:`."""
SIMPLE_AUTH_KEYS = frozenset(_READERS)
"""The keys of `kwargs:` of a SimpleAuth."""
LOGOUT_KEYS = frozenset(("redirect", "title"))
"""The keys of `kwargs:` of a LogoutHandler."""
