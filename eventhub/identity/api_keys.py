"""API keys: bearer tokens that the hub makes itself, for programs. They can be listed and revoked.

A key is `eventhub_ID_SECRET`, with a checksum at its end: programs that look for secrets in code
recognize it without asking anybody, as they do GitHub's tokens
(https://github.blog/engineering/platform-security/behind-githubs-new-authentication-token-formats/).

Only the SHA-256 of the secret is stored. Slow hashes are for what people choose: a secret of 256
random bits cannot be guessed, however fast the hash is. NIST SP 800-63B-3 section 5.1.2.2 asks for
a slow one where a secret has less than 112 bits.
"""

import hashlib
import hmac
import re
import secrets
import string
import zlib
from typing import Final, NamedTuple

from aiohttp import web

from eventhub.errors import Rejected, Revoked
from eventhub.handler import User
from eventhub.identity.access import KEY, Key
from eventhub.identity.expiry import LoginValidity, wall_clock
from eventhub.identity.logins import Logins

PREFIX: Final = "eventhub_"
ADMIN: Final = "admin"
"""The scope of keys that are accepted where `server.admin` is."""
ID_CHARACTERS: Final = 10
SECRET_CHARACTERS: Final = 43
"""Each of them has 5.95 bits: 256 in all."""
CHECK_CHARACTERS: Final = 6
_ALPHABET: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_FORM: Final = re.compile(
    rf"{PREFIX}(?P<id>[0-9A-Za-z]{{{ID_CHARACTERS}}})"
    rf"_(?P<secret>[0-9A-Za-z]{{{SECRET_CHARACTERS}}})(?P<check>[0-9A-Za-z]{{{CHECK_CHARACTERS}}})"
)
_WRONG: Final = "the API key is not one of this hub, or was revoked"


class NewKey(NamedTuple):
    """A key as it is shown once."""

    id: str
    """Names it in lists."""
    text: str
    """What a program sends."""
    digest: str
    """What is stored."""


def new_key() -> NewKey:
    """Return a new key."""
    key_id, secret = _random(ID_CHARACTERS), _random(SECRET_CHARACTERS)
    text = f"{PREFIX}{key_id}_{secret}{_checksum(key_id + secret)}"
    return NewKey(key_id, text, _digest(secret))


def is_api_key(token: str) -> bool:
    """Return whether a bearer token means to be an API key."""
    return token.startswith(PREFIX)


class ApiKeys:
    """Checks API keys.

    Args:
        logins: knows them.
    """

    def __init__(self, logins: Logins) -> None:
        self._logins = logins

    def login_of(self, token: str) -> tuple[User, LoginValidity]:
        """Return the user of a key, with its `scopes`, and how long it holds.

        Raises:
            Rejected: `unauthorized`: it is incomplete or unknown, was revoked, or has expired.
        """
        found = _FORM.fullmatch(token)
        if found is None or _checksum(found["id"] + found["secret"]) != found["check"]:
            raise Rejected("unauthorized", "the API key is incomplete or mistyped")
        mark = f"{KEY}.{found['id']}"
        key = self._logins.state.get(mark)
        digest = key.digest if isinstance(key, Key) else ""
        is_right = hmac.compare_digest(_digest(found["secret"]), digest)
        if not isinstance(key, Key) or not is_right:
            raise Rejected("unauthorized", _WRONG)
        validity = LoginValidity(key.expires, frozenset((mark,)), key.created, self._logins.state)
        try:
            validity.check(wall_clock())
        except Revoked:
            raise Rejected("unauthorized", _WRONG) from None
        self._logins.note_use(found["id"])
        return User({**key.attributes, "scopes": list(key.scopes), "id": key.user}), validity

    def has_scope(self, token: str, scope: str) -> bool:
        """Return whether a token is a key that holds, and has a scope."""
        try:
            user, _ = self.login_of(token)
        except Rejected:
            return False
        return scope in user["scopes"]


API_KEYS: Final = web.AppKey("api_keys", ApiKeys)
"""Checks the keys that are sent to an application."""


def _random(characters: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(characters))


def _checksum(text: str) -> str:
    """Return the CRC-32 of a text in base 62."""
    number, digits = zlib.crc32(text.encode()), ""
    for _ in range(CHECK_CHARACTERS):
        number, digit = divmod(number, len(_ALPHABET))
        digits = _ALPHABET[digit] + digits
    return digits


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
