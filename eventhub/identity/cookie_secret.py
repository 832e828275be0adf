"""Cookie secret: the key of the session cookies, which all gateways of a hub derive or share."""

import os
import secrets
from pathlib import Path

from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from eventhub.errors import Misconfigured

KEY_FILE = "session.key"
_SALT = b"eventhub session cookie"
"""Fixed, so that all gateways with the same secret read each other's cookies."""


def cookie_key(secret: str) -> bytes:
    """Derive the 32-byte key of the cookies from a secret, which may be any text.

    The derivation is scrypt, which takes 40 ms once, because every client holds a ciphertext on
    which it can try guesses.

    Raises:
        Misconfigured: the secret is empty, for example because a variable is not set.
    """
    if not secret.strip():
        raise Misconfigured("auth: session: secret is empty: set it, or leave it out")
    return Scrypt(salt=_SALT, length=32, n=2**14, r=8, p=1).derive(secret.encode())


def load_secret(path: Path) -> str:
    """Return the secret in a file; the first process that finds no file makes it.

    Raises:
        Misconfigured: the file cannot be read or made, or is empty.
    """
    try:
        if not path.exists():
            _make_secret(path)
        text = path.read_text("ascii")
    except (OSError, UnicodeError) as error:
        raise Misconfigured(f"the key of the session cookies, {path}: {error}") from error
    if not text.strip():
        raise Misconfigured(f"the key of the session cookies, {path}, is empty: delete the file")
    return text


def _make_secret(path: Path) -> None:
    """Write a random secret that only this user can read, completely or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(32))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)  # unlike rename, it never replaces what another process made
        except FileExistsError:
            return
    finally:
        draft.unlink()
