"""`handler: OIDCAuth`: a login at a provider of OpenID Connect, or of OAuth 2.0 alone."""

from collections.abc import Callable, Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

from eventhub.config.handlers.entry import Entry
from eventhub.config.handlers.login import own_path, title
from eventhub.config.reading import Struct, read_value
from eventhub.config.tree import Findings, Node, joined

_URLS = ("authorize_url", "token_url", "user_url")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_DISCOVERY = "/.well-known/openid-configuration"


class OidcEndpoint(Struct, frozen=True, tag_field="handler", tag="OIDCAuth"):
    """An entry with `handler: OIDCAuth`."""

    name: str
    pattern: str
    client_id: str
    issuer: str | None = None
    """The address of a provider of OpenID Connect, which describes itself below it."""
    authorize_url: str | None = None
    token_url: str | None = None
    user_url: str | None = None
    """With the two before it, in place of `issuer`: the addresses of a provider of OAuth 2.0."""
    client_secret: str | None = None
    """None for a client that is registered as public."""
    scope: str = "openid email profile"
    user_claim: str = "sub"
    """The claim that is the id of the user; `email` only counts if it is verified."""
    attributes: dict[str, str] = {}
    """Further attributes of the user, and the claims that they are taken from."""
    redirect: str = "/"
    """The path to go to if the page was opened without `?next=`."""
    redirect_uri: str | None = None
    """The address of this page as the provider knows it, if it is not that of the request."""
    title: str = "single sign-on"
    logout: Literal["local", "end_session"] = "local"
    """Whether a logout also ends the session at the provider."""

    @property
    def discovery_url(self) -> str:
        """Where the provider describes itself (OpenID Connect Discovery 1.0, section 4)."""
        return f"{(self.issuer or '').rstrip('/')}{_DISCOVERY}"


def read(entry: Entry) -> OidcEndpoint | None:
    """Return the endpoint, or None if a required key is missing; its problems are findings."""
    given = entry.members(KEYS)
    values = entry.read(given, _READERS)
    if "client_secret_file" in given:
        if "client_secret" in given:
            text = "give either client_secret or client_secret_file, not both"
            _problem(entry, "client_secret_file", text)
        values["client_secret"] = values.pop("client_secret_file", None)
    _check_provider(entry, given, values)
    _check_cookie(entry)
    url_path = entry.url_path(may_be_folder=False)
    if "client_id" not in given:
        text = "client_id is missing: the provider shows it where you register the hub there"
        entry.findings.problem(entry.kwargs, entry.kwargs_path, text)
    if "client_id" not in values:
        return None
    return OidcEndpoint(name=entry.name, pattern=url_path, **values)


def is_safe_url(text: str) -> bool:
    """Return whether an address keeps secrets: https, or http on this machine."""
    try:
        parts = urlsplit(text)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        return False
    is_plain = text.isascii() and text.isprintable() and not {*' "<>\\#'} & {*text}
    if not is_plain or not host or "@" in parts.netloc:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK)


def _check_provider(entry: Entry, given: Mapping[str, Node], values: dict[str, Any]) -> None:
    """Report keys that contradict each other."""
    urls = [key for key in _URLS if key in given]
    if "issuer" in given:
        for key in urls:
            _problem(entry, key, f"the issuer says where this is: leave out {key}, or issuer")
        if "openid" not in values.get("scope", "openid").split():
            _problem(entry, "scope", "a login with an issuer needs the scope openid")
        return
    if len(urls) < len(_URLS):
        text = f"name the issuer; or, if it only has OAuth 2.0, all of {', '.join(_URLS)}"
        entry.findings.problem(entry.kwargs, entry.kwargs_path, text)
        return
    values.setdefault("scope", "")
    if "user_claim" not in given:
        text = "user_claim is missing: what in the answer of user_url never changes, such as id"
        entry.findings.problem(entry.kwargs, entry.kwargs_path, text)
    if values.get("logout") == "end_session":
        _problem(entry, "logout", "only a provider with an issuer has end_session")


def _check_cookie(entry: Entry) -> None:
    """Report a cookie that a browser does not send when it comes back from the provider."""
    node = entry.findings.root
    for key in ("auth", "session", "samesite"):
        node = node.items.get(key, Node(None, "", node.folder))
    if node.value == "strict":
        text = "OIDCAuth needs `samesite: lax`: a browser comes back from the site of the provider"
        entry.findings.problem(node, "auth.session.samesite", text)


def _problem(entry: Entry, key: str, text: str) -> None:
    node = entry.kwargs.items.get(key, entry.kwargs)
    entry.findings.problem(node, joined(entry.kwargs_path, key), text)


def _text(node: Node, path: str, findings: Findings) -> str:
    text: str | None = read_value(str, node, path, findings)
    if text is not None and not text.strip():
        findings.problem(node, path, "expected text, not nothing")
    return text or ""


def _url(node: Node, path: str, findings: Findings) -> str:
    text = _text(node, path, findings)
    if text and not is_safe_url(text):
        findings.problem(node, path, "expected an https:// address, or http:// on this machine")
    return text


def _issuer(node: Node, path: str, findings: Findings) -> str:
    text = _url(node, path, findings).removesuffix(_DISCOVERY)
    if "?" in text:
        findings.problem(node, path, "an issuer has no query")
    return text


def _secret(node: Node, path: str, findings: Findings) -> str:
    secret = _text(node, path, findings)
    if secret and findings.is_sound(path):
        findings.masks.add_secret(secret)
        if secret not in findings.masks.texts:
            text = "whoever reads this file knows the secret: use client_secret_file, or a variable"
            findings.warn(node, path, text)
    return secret


def _secret_file(node: Node, path: str, findings: Findings) -> str:
    try:
        secret = findings.text_of(node.folder / _text(node, path, findings)).strip()
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        findings.problem(node, path, f"cannot read the file: {reason}")
        return ""
    if not secret:
        findings.problem(node, path, "the file is empty")
    findings.masks.add_secret(secret)
    return secret


def _scope(node: Node, path: str, findings: Findings) -> str:
    """Return scopes, written as text or as a list."""
    if isinstance(node.value, list):
        return " ".join(read_value(list[str], node, path, findings) or [])
    return _text(node, path, findings)


def _attributes(node: Node, path: str, findings: Findings) -> dict[str, str]:
    """Return claims by attribute, written as a list of names or as a mapping."""
    if isinstance(node.value, list):
        names: list[str] = read_value(list[str], node, path, findings) or []
        found = {name: name for name in names}
    else:
        found = read_value(dict[str, str], node, path, findings) or {}
    if "id" in found:
        findings.problem(node, path, "the id of a user is its user_claim, and no other attribute")
    return found


def _logout(node: Node, path: str, findings: Findings) -> str:
    kind: str = read_value(Literal["local", "end_session"], node, path, findings)
    return kind


_READERS: dict[str, Callable[[Node, str, Findings], Any]] = {
    "issuer": _issuer,
    "authorize_url": _url,
    "token_url": _url,
    "user_url": _url,
    "client_id": _text,
    "client_secret": _secret,
    "client_secret_file": _secret_file,
    "scope": _scope,
    "user_claim": _text,
    "attributes": _attributes,
    "redirect": own_path,
    "redirect_uri": _url,
    "title": title,
    "logout": _logout,
}
"""The reader of each key of `kwargs:`."""
KEYS = frozenset(_READERS)
"""The keys of `kwargs:`."""
