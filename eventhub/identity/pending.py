"""Pending logins: those for which the provider has not sent the browser back yet.

They are in the session cookie, so that only the browser that began a login can end it, whichever
gateway it comes to. A login is taken out when it comes back, however it ends.
"""

import hmac
import json
import secrets
from collections.abc import Mapping, MutableMapping
from typing import Any, Final, NamedTuple

import msgspec

from eventhub.identity.expiry import wall_clock

MAX_SECONDS: Final = 600.0
"""For a person to log in at the provider."""
MAX_PENDING: Final = 4
"""Tabs in which a browser logs in at the same time; the oldest login is forgotten first."""
MAX_NEXT: Final = 300
"""Characters of the path to go on to."""
MAX_SESSION: Final = 2800
"""Characters of a session as JSON in ASCII: encrypted, it fits into the 4 KB of a cookie."""
SENT_BACK: Final = ("code", "state", "error", "iss")
"""What a provider adds to the address to which it sends a browser back."""
_KEY: Final = "_oidc"
_FROM: Final = "_oidc_from"


class Pending(NamedTuple):
    """A login that has begun."""

    entry: str
    """The name of the entry of `url:`."""
    state: str
    """Comes back with the browser."""
    nonce: str
    """Comes back in the token."""
    verifier: str
    """Proves to the provider that the code is from here (RFC 7636)."""
    next: str
    """The path to go on to; empty for the usual one."""
    began: int
    """Unix time."""


def begin(session: MutableMapping[str, Any], entry: str, path: str) -> Pending:
    """Add a login to a session, and return it.

    Args:
        session: of the browser.
        entry: the name of the entry of `url:`.
        path: to go on to; a long one is left out.
    """
    state, nonce = (secrets.token_urlsafe(16) for _ in range(2))
    path = path if len(path) <= MAX_NEXT else ""
    new = Pending(entry, state, nonce, secrets.token_urlsafe(32), path, int(wall_clock()))
    put(session, [*pending(session), new])
    return new


def take(session: MutableMapping[str, Any], entry: str, state: str) -> Pending | None:
    """Remove a login from a session, and return it; None if it did not begin there, or long ago."""
    found = None
    others = []
    for each in pending(session):
        if hmac.compare_digest(each.state.encode(), state.encode(errors="replace")):
            found = each
        else:
            others.append(each)
    if found is None:
        return None
    put(session, others)
    return found if found.entry == entry else None


def pending(session: Mapping[str, Any]) -> list[Pending]:
    """Return the logins of a session that are not too old."""
    try:
        known = msgspec.convert(session.get(_KEY, []), list[Pending])
    except msgspec.ValidationError:  # of another version of the hub
        return []
    now = wall_clock()
    return [each for each in known if now - each.began <= MAX_SECONDS]


def put(session: MutableMapping[str, Any], logins: list[Pending]) -> None:
    """Replace the logins of a session; the oldest ones are left out if there is no room."""
    logins = logins[-MAX_PENDING:]
    session[_KEY] = [list(each) for each in logins]
    while _size(session) > MAX_SESSION and (len(logins) > 1 or session.get(_FROM, ["", ""])[1]):
        if len(logins) > 1:
            logins = logins[1:]
            session[_KEY] = [list(each) for each in logins]
        else:
            session[_FROM] = [session[_FROM][0], ""]
    if not logins:
        del session[_KEY]


def keep_provider(session: MutableMapping[str, Any], entry: str, id_token: str | None) -> None:
    """Note in a new session which entry its login is of, and its token if there is room for it."""
    session[_FROM] = [entry, id_token or ""]
    put(session, pending(session))


def provider_of(session: Mapping[str, Any]) -> tuple[str, str | None]:
    """Return the entry that the login of a session is of, and its token; an empty name if none."""
    match session.get(_FROM):
        case [str() as entry, str() as id_token]:
            return entry, id_token or None
        case _:
            return "", None


def _size(session: MutableMapping[str, Any]) -> int:
    return len(json.dumps(dict(session)))
