"""A token is read where clients put it, and its login ends when the token or the operator says."""

import math
from base64 import urlsafe_b64encode

import jwt
import pytest
from aiohttp import web

from eventhub.config import Jwt
from eventhub.errors import Rejected
from eventhub.identity.bearer import (
    ENCODED,
    LEEWAY,
    PLAIN,
    Tokens,
    hide_token,
    take_query_token,
    token_of,
)
from eventhub.identity.expiry import wall_clock
from tests.unit.identity.incoming import request

SECRET = "0123456789abcdef0123456789abcdef"  # 32 bytes


def tokens(max_age: int = 3600) -> Tokens:
    return Tokens(Jwt(secret=SECRET, max_age=max_age, require_exp=False))


def encoded(token: str) -> str:
    return ENCODED + urlsafe_b64encode(token.encode()).decode().rstrip("=")


async def seen(*subprotocols: str, header: str = "") -> tuple[str | None, str | None]:
    """Return the token that a handler finds, and the subprotocols that it sees."""
    found: list[tuple[str | None, str | None]] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        found.append((token_of(request), request.headers.get("Sec-WebSocket-Protocol")))
        return web.Response()

    sent = {"Sec-WebSocket-Protocol": ", ".join(subprotocols)} if subprotocols else {}
    if header:
        sent["Authorization"] = header
    await hide_token(request(headers=sent), handler)
    return found[0]


async def test_a_token_among_the_subprotocols_is_found_and_hidden() -> None:
    assert await seen("v1", "bearer.a.b.c") == ("a.b.c", "v1")
    assert await seen("bearer.a.b.c") == ("a.b.c", None)
    assert await seen("v1", "v2") == (None, "v1, v2")
    assert await seen() == (None, None)


@pytest.mark.parametrize("token", ["a.b.c", "a", "eh_é/+= \U0001f511", "ab", "abc"])
async def test_a_token_in_base64url_may_have_any_characters(token: str) -> None:
    assert await seen("v1", encoded(token)) == (token, "v1")


@pytest.mark.parametrize("text", ["", "YQ==", "YQ.", "a+b", "_w", "YWI€", "A"])
async def test_a_token_that_is_not_in_base64url_is_refused(text: str) -> None:
    with pytest.raises(Rejected, match="base64url") as caught:
        await seen("v1", ENCODED + text)
    assert caught.value.code == "unauthorized"


@pytest.mark.parametrize(
    ("subprotocols", "header"),
    [
        ((PLAIN + "a.b.c", PLAIN + "a.b.c"), ""),
        ((PLAIN + "a.b.c", encoded("a.b.c")), ""),
        ((PLAIN + "a.b.c",), "Bearer a.b.c"),
        ((encoded("a.b.c"),), "bearer x"),
    ],
)
async def test_several_tokens_are_refused_even_if_they_are_equal(
    subprotocols: tuple[str, ...], header: str
) -> None:
    with pytest.raises(Rejected, match="several tokens"):
        await seen("v1", *subprotocols, header=header)


def test_a_token_of_the_url_counts_like_any_other() -> None:
    by_query = request()
    take_query_token(by_query, ["a.b.c"])
    assert token_of(by_query) == "a.b.c"
    take_query_token(by_query, ["a.b.c"])
    with pytest.raises(Rejected, match="several tokens"):
        token_of(by_query)


@pytest.mark.parametrize(
    ("header", "token"),
    [("Bearer a.b.c", "a.b.c"), ("bearer  a ", "a"), ("Basic a", None), ("", None)],
)
def test_a_token_in_the_header_is_found_by_its_scheme(header: str, token: str | None) -> None:
    assert token_of(request(headers={"Authorization": header})) == token


async def test_a_token_of_another_key_or_form_is_refused_as_unauthorized() -> None:
    good = jwt.encode({"sub": "ann"}, SECRET, "HS256")
    assert (await tokens().claims(good))["sub"] == "ann"
    for bad in (jwt.encode({"sub": "ann"}, SECRET[::-1], "HS256"), good[:-4], "", "a.b", "é.é.é"):
        with pytest.raises(Rejected) as caught:
            await tokens().claims(bad)
        assert caught.value.code == "unauthorized"


def test_a_login_ends_with_its_token() -> None:
    now = int(wall_clock())
    assert tokens().end_of({"exp": now + 60}) == now + 60
    assert tokens().end_of({"exp": now - 1}) == now - 1 + LEEWAY  # clocks differ
    assert tokens().end_of({}) == pytest.approx(now + 3600, abs=2)


@pytest.mark.parametrize("iat", [None, "soon", float("nan"), 4_000_000_000, 10**400])
def test_a_token_that_lasts_longer_than_the_operator_allows_is_refused(iat: object) -> None:
    claims = {"exp": wall_clock() + 3600 + LEEWAY + 5, "iat": iat}
    with pytest.raises(Rejected, match=r"auth\.jwt\.max_age"):
        tokens().end_of(claims)
    assert tokens(7200).end_of(claims) == int(claims["exp"])  # type: ignore[call-overload]


def test_numbers_beyond_any_time_are_refused_or_old() -> None:
    with pytest.raises(Rejected, match=r"auth\.jwt\.max_age"):
        tokens().end_of({"exp": 10**400})
    assert tokens().began_of({"iat": 10**400}) == -math.inf
