"""Bearer tokens: JWTs (RFC 7519) that an issuer signed: where requests carry them, what they claim.

`keys` holds what checks the signatures.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

import jwt
from aiohttp import web
from aiohttp.typedefs import Handler as HttpHandler
from multidict import CIMultiDict

from eventhub.config import Jwt
from eventhub.errors import Rejected
from eventhub.identity.expiry import wall_clock
from eventhub.identity.keys import Key, keys_of

PREFIX = "bearer."
"""Of the subprotocol that carries a token, the only header that a browser's WebSocket can set."""
LEEWAY = 10.0  # seconds by which the issuer's clock may differ from ours
_TOKEN = web.RequestKey("token", str)
_COMPACT = re.compile(r"[\w-]+\.[\w-]+\.[\w-]*", re.ASCII)


class Tokens:
    """Checks bearer tokens as `auth: jwt:` says."""

    def __init__(self, config: Jwt) -> None:
        self._config = config
        self._keys = keys_of(config)

    async def claims(self, token: str) -> dict[str, Any]:
        """Return the claims of a token.

        Raises:
            Rejected: `unauthorized`: not a token, not signed by the issuer, expired, or meant
                for another audience.
            Unavailable: the issuer's keys cannot be fetched now.
        """
        if not _COMPACT.fullmatch(token):
            raise Rejected("unauthorized", "the bearer token is not a JWT")
        try:
            key = await self._keys.get(jwt.get_unverified_header(token).get("kid"))
            if key is None:
                raise Rejected("unauthorized", "the bearer token is signed by an unknown key")
            return self._decode(token, key)
        except (jwt.PyJWTError, OverflowError, TypeError) as error:  # the last two: an odd `exp`
            raise Rejected("unauthorized", f"the bearer token is not valid: {error}") from None

    def _decode(self, token: str, key: Key) -> dict[str, Any]:
        # RFC 7519 does not forbid an `iat` in the future, or a `sub` that is a number.
        return jwt.decode(
            token,
            key.material,
            algorithms=key.algorithms,
            audience=self._config.audience,
            issuer=self._config.issuer,
            leeway=LEEWAY,
            options={
                "verify_iat": False,
                "verify_sub": False,
                "verify_jti": False,
                "require": ["exp"] if self._config.require_exp else [],
            },
        )

    def end_of(self, claims: Mapping[str, Any]) -> float:
        """Return the Unix time at which the login of a token ends.

        A token that has just expired is accepted for `LEEWAY` seconds, because clocks differ.

        Raises:
            Rejected: `unauthorized`: it is valid for longer than `auth.jwt.max_age`.
        """
        now, longest = wall_clock(), self._config.max_age
        if claims.get("exp") is None:
            return now + longest
        end = int(claims["exp"])
        if end - min(_number(claims.get("iat"), now), now) > longest + LEEWAY:
            text = f"the bearer token is valid for longer than {longest} s (auth.jwt.max_age)"
            raise Rejected("unauthorized", text)
        return end if end > now else end + LEEWAY


def _number(value: object, other: float) -> float:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else other


def token_of(request: web.Request) -> str | None:
    """Return the bearer token of a request, unchecked; None if there is none."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    return request.get(_TOKEN)


@web.middleware
async def hide_token(request: web.Request, handler: HttpHandler) -> web.StreamResponse:
    """Move the token out of `Sec-WebSocket-Protocol`, to where `token_of` finds it.

    Otherwise aiohttp would log it as an unknown subprotocol.
    """
    offered = ",".join(request.headers.getall("Sec-WebSocket-Protocol", [])).split(",")
    names = [name.strip() for name in offered]
    tokens = [name.removeprefix(PREFIX) for name in names if name.startswith(PREFIX)]
    if not tokens:
        return await handler(request)
    request[_TOKEN] = tokens[0]
    others = ", ".join(name for name in names if not name.startswith(PREFIX))
    return await handler(request.clone(headers=_with_subprotocols(request.headers, others)))


def _with_subprotocols(headers: Mapping[str, str], subprotocols: str) -> CIMultiDict[str]:
    """Return headers with other subprotocols, and without bytes that aiohttp cannot clone."""
    clean = CIMultiDict((k, v.encode(errors="replace").decode()) for k, v in headers.items())
    clean.popall("Sec-WebSocket-Protocol")
    if subprotocols:
        clean["Sec-WebSocket-Protocol"] = subprotocols
    return clean
