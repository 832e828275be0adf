"""Bearer tokens: JWTs (RFC 7519) that an issuer signed: where requests carry them, what they claim.

`keys` holds what checks the signatures.
"""

import math
import re
from base64 import urlsafe_b64decode
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, Final

import jwt
from aiohttp import web
from aiohttp.typedefs import Handler as HttpHandler
from multidict import CIMultiDict

from eventhub.config import Jwt
from eventhub.errors import Rejected
from eventhub.identity.expiry import wall_clock
from eventhub.identity.keys import Key, keys_of

PLAIN: Final = "bearer."
"""Of a subprotocol that carries a token, the only header that a browser's WebSocket can set."""
ENCODED: Final = "base64url.bearer.eventhub."
"""The same for a token of any characters, in base64url without padding (RFC 4648 section 5)."""
QUERY: Final = "_token"
"""The argument of a URL that carries a token, with `auth: {query: true}`."""
MAX_BYTES: Final = 16 << 10
"""Of a token: as many as a header may have."""
LEEWAY = 10.0  # seconds by which the issuer's clock may differ from ours
_TOKENS: Final = web.RequestKey("tokens", list[str])
"""What was offered as subprotocols, and came in the URL."""
_BASE64URL = re.compile(r"[\w-]+", re.ASCII)
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
        if end > min(_number(claims.get("iat"), now), now) + longest + LEEWAY:
            text = f"the bearer token is valid for longer than {longest} s (auth.jwt.max_age)"
            raise Rejected("unauthorized", text)
        return end if end > now else end + LEEWAY

    def began_of(self, claims: Mapping[str, Any]) -> float:
        """Return the Unix time at which a token was issued; one that does not say it is old."""
        return _number(claims.get("iat"), -math.inf)


def _number(value: object, other: float) -> float:
    """Return a number that a token claims; the other one if it is none, or is out of range."""
    try:
        number = float(value) if isinstance(value, int | float) else other
    except OverflowError:
        return other
    return other if math.isnan(number) or number == math.inf else number


def token_of(request: web.Request) -> str | None:
    """Return the bearer token of a request, unchecked; None if there is none.

    Raises:
        Rejected: `unauthorized`: there are several, of which a proxy may have checked another, or
            it is not in base64url although it says so.
    """
    tokens = list(request.get(_TOKENS, ()))
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        tokens.append(PLAIN + token.strip())
    if len(tokens) > 1:
        raise Rejected("unauthorized", "the request has several tokens: send one, in one way")
    return _token(tokens[0]) if tokens else None


def _token(name: str) -> str:
    """Return the token in a subprotocol."""
    if not name.startswith(ENCODED):
        return name.removeprefix(PLAIN)
    text = name.removeprefix(ENCODED)
    with suppress(ValueError):  # also for bytes that are not UTF-8
        if _BASE64URL.fullmatch(text):
            return urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    message = f"the subprotocol {ENCODED}TOKEN needs the token in base64url, without padding"
    raise Rejected("unauthorized", message)


def take_query_token(request: web.Request, values: Iterable[str]) -> None:
    """Take the values of `_token` in the URL, to where `token_of` finds them."""
    request[_TOKENS] = [*request.get(_TOKENS, ()), *(PLAIN + value for value in values)]


@web.middleware
async def hide_token(request: web.Request, handler: HttpHandler) -> web.StreamResponse:
    """Move tokens out of `Sec-WebSocket-Protocol`, to where `token_of` finds them.

    Otherwise aiohttp would log it as an unknown subprotocol.
    """
    offered = ",".join(request.headers.getall("Sec-WebSocket-Protocol", [])).split(",")
    names = [name.strip() for name in offered]
    tokens = [name for name in names if name.startswith((PLAIN, ENCODED))]
    if not tokens:
        return await handler(request)
    request[_TOKENS] = tokens
    others = ", ".join(name for name in names if name not in tokens)
    return await handler(request.clone(headers=_with_subprotocols(request.headers, others)))


def _with_subprotocols(headers: Mapping[str, str], subprotocols: str) -> CIMultiDict[str]:
    """Return headers with other subprotocols, and without bytes that aiohttp cannot clone."""
    clean = CIMultiDict((k, v.encode(errors="replace").decode()) for k, v in headers.items())
    clean.popall("Sec-WebSocket-Protocol")
    if subprotocols:
        clean["Sec-WebSocket-Protocol"] = subprotocols
    return clean
