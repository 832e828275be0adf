"""Credentials: the text of a `.creds` file, which lets a user in to servers that trust an operator.

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
    """Return it as nats-py takes it, which looks for its parts without end if they are not there.

    Raises:
        Misconfigured: it is something else.
    """
    seed, is_whole = _SEED.search(text), False
    if seed is not None and _JWT.search(text):
        with suppress(ValueError, nkeys.NkeysError):
            nkeys.from_seed(seed[1].encode())
            is_whole = True
    if not is_whole:
        raise Misconfigured("broker.credentials: not what is in a .creds file of a user")
    return RawCredentials(text.replace("\r\n", "\n"))
