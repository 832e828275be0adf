"""Bearer tokens: JWTs (RFC 7519) that an issuer signed; where requests carry them, what they say.

What checks them is in keys.py.
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
"""Of the subprotocol that carries a token: a browser's WebSocket cannot set other headers."""
LEEWAY = 10.0  # seconds that the issuer's clock and ours may differ
_TOKEN = web.RequestKey("token", str)
_COMPACT = re.compile(r"[\w-]+\.[\w-]+\.[\w-]*", re.ASCII)


class Tokens:
    """Checks bearer tokens as `auth: jwt:` says."""

    def __init__(self, config: Jwt) -> None:
        self._config = config
        self._keys = keys_of(config)

    async def claims(self, token: str) -> dict[str, Any]:
        """Return what a token says.

        Raises:
            Rejected: `unauthorized`: not a token, not signed by the issuer, expired, or meant
                for somebody else.
            Unavailable: the issuer's keys cannot be had now.
        """
        if not _COMPACT.fullmatch(token):
            raise Rejected("unauthorized", "the bearer token is not a JWT")
        try:
            key = await self._keys.get(jwt.get_unverified_header(token).get("kid"))
            if key is None:
                raise Rejected("unauthorized", "the bearer token is signed by an unknown key")
            return self._decoded(token, key)
        except (jwt.PyJWTError, OverflowError, TypeError) as error:  # the latter: an odd `exp`
            raise Rejected("unauthorized", f"the bearer token is not valid: {error}") from None

    def _decoded(self, token: str, key: Key) -> dict[str, Any]:
        # `iat` in the future and a `sub` that is a number are no reasons to refuse (RFC 7519).
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
        """Return the Unix time at which a token's user has to come with another one.

        A token that has just expired is let in, for clocks differ; not for long.

        Raises:
            Rejected: `unauthorized`: it is valid for longer than a token may be.
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
    """Take the token out of `Sec-WebSocket-Protocol`, for `token_of`.

    Left there, aiohttp would log it as a subprotocol that it does not know.
    """
    offered = ",".join(request.headers.getall("Sec-WebSocket-Protocol", [])).split(",")
    names = [name.strip() for name in offered]
    tokens = [name.removeprefix(PREFIX) for name in names if name.startswith(PREFIX)]
    if not tokens:
        return await handler(request)
    request[_TOKEN] = tokens[0]
    others = ", ".join(name for name in names if not name.startswith(PREFIX))
    return await handler(request.clone(headers=_replaced(request.headers, others)))


def _replaced(headers: Mapping[str, str], subprotocols: str) -> CIMultiDict[str]:
    """Return headers with other subprotocols; bytes that are not UTF-8 cannot be cloned."""
    clean = CIMultiDict((k, v.encode(errors="replace").decode()) for k, v in headers.items())
    clean.popall("Sec-WebSocket-Protocol")
    if subprotocols:
        clean["Sec-WebSocket-Protocol"] = subprotocols
    return clean
