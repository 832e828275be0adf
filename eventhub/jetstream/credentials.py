"""Credentials: the text of a `.creds` file, for servers that trust an operator.

It holds a JWT, which says who the user is, and the seed of the key that proves it.
"""

import re
from contextlib import suppress

import nkeys  # type: ignore[import-untyped]
from nats.aio.client import RawCredentials

from eventhub.errors import Misconfigured

_JWT = re.compile(r"-BEGIN NATS USER JWT-+\s+\S")
_SEED = re.compile(r"-BEGIN USER NKEY SEED-+\s+(\S+)")


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
