"""Passwords: hashes of passwords, and whose password a text is.

A hash is Argon2id (RFC 9106) with the second recommended parameters of its section 4, in the PHC
string format, so that other tools can make and check it. Checking one takes 64 MiB and some tenths
of a second, also for an unknown name: the time does not reveal which names there are.
"""

import asyncio
import hmac
import secrets
import threading
import unicodedata
from collections.abc import Mapping
from typing import Any, Final

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from eventhub.config import Account, is_hash
from eventhub.errors import Unavailable

MAX_CHARACTERS: Final = 1000
"""Of a password; a longer one fits no account."""
WAITING: Final = 50
"""Logins that wait for their turn; further ones are asked to come back."""
_ITERATIONS, _LANES, _MEMORY_KIB = 3, 4, 64 << 10
_ALONE: Final = threading.Lock()
"""Held while a hash is computed. With OpenSSL 4.0.3, two hashes that several threads compute at the
same time wait for each other forever."""


def hash_password(password: str) -> str:
    """Return a new hash of a password, in 64 MiB and some tenths of a second."""
    derivation = Argon2id(
        salt=secrets.token_bytes(16),
        length=32,
        iterations=_ITERATIONS,
        lanes=_LANES,
        memory_cost=_MEMORY_KIB,
    )
    with _ALONE:
        return derivation.derive_phc_encoded(_bytes(password))


class Passwords:
    """The accounts of one login page.

    Args:
        accounts: by name. A password that is not a hash is compared as it is.
    """

    def __init__(self, accounts: Mapping[str, Account]) -> None:
        self._accounts = accounts
        self._turn = asyncio.Lock()
        self._waiting = 0
        stored = (account.password for account in accounts.values())
        self._decoy = next(filter(is_hash, stored), None)
        """A hash that is checked where there is none; it has to cost as much as the others."""

    async def user_of(self, name: str, password: str) -> Mapping[str, Any] | None:
        """Return the attributes of the account that has this name and this password, or None.

        Raises:
            Unavailable: `busy`: too many logins wait for their turn.
        """
        if self._waiting >= WAITING:
            raise Unavailable("too many people are logging in: try again", code="busy")
        self._waiting += 1
        try:
            async with self._turn:
                fits = await asyncio.to_thread(self._fits, name, password[: MAX_CHARACTERS + 1])
        finally:
            self._waiting -= 1
        return {**self._accounts[name].attributes, "id": name} if fits else None

    def _fits(self, name: str, password: str) -> bool:
        account = self._accounts.get(name)
        stored = "" if account is None else account.password
        if is_hash(stored):
            return _is_password_of(password, stored) and len(password) <= MAX_CHARACTERS
        if self._decoy is None:
            self._decoy = hash_password(secrets.token_urlsafe())
        _is_password_of(password, self._decoy)
        is_same = hmac.compare_digest(_bytes(password), _bytes(stored))
        return account is not None and stored != "" and is_same


def _is_password_of(password: str, stored: str) -> bool:
    try:
        with _ALONE:
            Argon2id.verify_phc_encoded(_bytes(password), stored)
    except InvalidKey:
        return False
    return True


def _bytes(password: str) -> bytes:
    """Return a password as bytes; keyboards compose letters differently (RFC 8265 section 4.2)."""
    return unicodedata.normalize("NFC", password).encode(errors="surrogatepass")
