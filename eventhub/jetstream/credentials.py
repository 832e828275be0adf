"""Credentials: the text of a `.creds` file, for servers that trust an operator.

It holds a JWT, which says who the user is, and the seed of the key that proves it.
"""

import json
import re
from base64 import urlsafe_b64decode
from contextlib import suppress

import nkeys  # type: ignore[import-untyped]
from nats.aio.client import RawCredentials

from eventhub.errors import Misconfigured

_JWT = re.compile(r"-BEGIN NATS USER JWT-+\s+\S")
_SEED = re.compile(r"-BEGIN USER NKEY SEED-+\s+(\S+)")


def name_of(text: str) -> str | None:
    """Return the name of the user of a `.creds` file, if it has one."""
    with suppress(ValueError, IndexError, AttributeError):
        body = _JWT.split(text, maxsplit=1)[1].split()[0].split(".")[1]
        claims = json.loads(urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        name = claims.get("name")
        return name if isinstance(name, str) and name else None
    return None


def read_credentials(text: str) -> RawCredentials:
    """Return the text in the form that nats-py takes.

    It is checked first: nats-py would look for a missing part forever.

    Raises:
        Misconfigured: the JWT or the seed is missing, or damaged.
    """
    seed, is_whole = _SEED.search(text), False
    if seed is not None and _JWT.search(text):
        with suppress(ValueError, nkeys.NkeysError):
            nkeys.from_seed(seed[1].encode())
            is_whole = True
    if not is_whole:
        raise Misconfigured("broker.credentials: not the text of a user's .creds file")
    return RawCredentials(text.replace("\r\n", "\n"))
