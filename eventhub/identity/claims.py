"""Claims: who a user is, from what a provider says about the person who logged in."""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from eventhub.config import OidcEndpoint
from eventhub.errors import Rejected
from eventhub.identity.authenticator import user_of

MAX_ATTRIBUTES: Final = 1500
"""Characters of a user as JSON in ASCII: browsers keep cookies of 4 KB, encrypted ones."""
_WORD: Final = re.compile(r"[a-z_]{1,40}")
"""An error of OAuth, such as `invalid_client`; nothing else that a provider says is logged."""


class LoginError(Exception):
    """A login came back from its provider, and is refused.

    Args:
        reason: a word for the log.
        text: for the person.
        detail: the error that the provider names, for the log.
    """

    def __init__(self, reason: str, text: str = "", detail: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.text = text or "What the login service answered cannot be trusted."
        self.detail = detail if _WORD.fullmatch(detail) else ""


def merged(id_token: Mapping[str, Any], user_info: Mapping[str, Any]) -> dict[str, Any]:
    """Return the claims of both; those of the user endpoint are newer.

    An address is only verified by who names it: `email_verified` counts together with `email`.
    """
    found, newer = dict(id_token), dict(user_info)
    other = found if "email" in newer else newer
    other.pop("email_verified", None)
    return found | newer


def lacks(entry: OidcEndpoint, claims: Mapping[str, Any]) -> bool:
    """Return whether a claim that the entry uses is not there."""
    wanted = [entry.user_claim, *entry.attributes.values()]
    return any(_trusted(claims, name) is None for name in wanted)


def user_from(entry: OidcEndpoint, claims: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of the user, with `id`: those that the entry names, and no others.

    Raises:
        LoginError: there is no usable id, or the attributes do not fit into a cookie.
    """
    user_id = _trusted(claims, entry.user_claim)
    if user_id is None and _find(claims, entry.user_claim) is not None:
        raise LoginError("email_not_verified", "Your e-mail address is not verified there.")
    named = {name: _trusted(claims, claim) for name, claim in entry.attributes.items()}
    known = {name: value for name, value in named.items() if value is not None}
    try:
        user = dict(user_of(known, user_id, f"claim {entry.user_claim}"))
    except Rejected:
        text = f"Your account there has no usable {entry.user_claim}."
        raise LoginError("no_user_claim", text) from None
    if len(json.dumps(user)) > MAX_ATTRIBUTES:  # as the cookie has them
        text = (
            "What is known about you there does not fit into a cookie."
            " The operator of this site has to choose fewer attributes."
        )
        raise LoginError("attributes_too_large", text)
    return user


def _trusted(claims: Mapping[str, Any], name: str) -> Any:
    """Return a claim; None if it is missing, or is an e-mail address that nobody has verified."""
    verified = claims.get("email_verified")
    if name == "email" and verified is not True and verified != "true":  # some write it as text
        return None
    return _find(claims, name)


def _find(claims: Mapping[str, Any], name: str) -> Any:
    """Return the claim of this name, or the one at this path: `realm_access.roles`."""
    if name in claims:
        return claims[name]
    value: Any = claims
    for key in name.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value
