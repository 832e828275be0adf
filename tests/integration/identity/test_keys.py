"""The keys of an issuer are fetched when they are needed, and not more often."""

import asyncio
from collections.abc import AsyncIterator

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa

from eventhub.config import Auth, Jwt
from tests.integration.identity.logins import RSA, claims
from tests.integration.identity.site import Serve, started


class Issuer:
    """Serves a JWK set, which may change, be slow, or break."""

    def __init__(self) -> None:
        self.keys: dict[str, rsa.RSAPrivateKey] = {}
        self.is_broken = False
        self.fetches = 0
        self.url = ""

    async def answer(self, _: web.Request) -> web.Response:
        self.fetches += 1
        if self.is_broken:
            return web.Response(status=500)
        to_jwk = jwt.algorithms.RSAAlgorithm.to_jwk
        keys = [
            {**to_jwk(key.public_key(), as_dict=True), "kid": kid} for kid, key in self.keys.items()
        ]
        return web.json_response({"keys": keys})


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    issuer = Issuer()
    app = web.Application()
    app.router.add_get("/keys", issuer.answer)
    runner = web.AppRunner(app)
    site = await started(runner, [])
    await site.client.close()
    issuer.url = site.url + "/keys"
    yield issuer
    await runner.cleanup()


def named(kid: str, key: rsa.RSAPrivateKey) -> str:
    return "Bearer " + jwt.encode(claims(aud=None), key, "RS256", headers={"kid": kid})


async def test_keys_are_fetched_once_for_concurrent_requests(serve: Serve, issuer: Issuer) -> None:
    issuer.keys = {"a": RSA}
    site = await serve(Auth(jwt=Jwt(jwks=issuer.url)))
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(site.who(Authorization=named("a", RSA))) for _ in range(20)]
    assert {task.result()["id"] for task in asked} == {"ann"}
    assert issuer.fetches == 1


async def test_unknown_keys_are_refused_and_do_not_flood_the_issuer(
    serve: Serve, issuer: Issuer
) -> None:
    issuer.keys = {"a": RSA}
    site = await serve(Auth(jwt=Jwt(jwks=issuer.url)))
    other = rsa.generate_private_key(65537, 2048)
    for number in range(20):
        assert await site.who(Authorization=named(f"k{number}", other)) == "unauthorized"
    assert await site.who(Authorization=named("a", other)) == "unauthorized"
    assert issuer.fetches == 1


async def test_a_key_that_is_new_a_moment_after_a_fetch_is_fetched_at_once(
    serve: Serve, issuer: Issuer
) -> None:
    issuer.keys = {"a": RSA}
    site = await serve(Auth(jwt=Jwt(jwks=issuer.url)))
    assert (await site.who(Authorization=named("a", RSA)))["id"] == "ann"
    issuer.keys = {"b": RSA}
    assert (await site.who(Authorization=named("b", RSA)))["id"] == "ann"
    for number in range(20):
        assert await site.who(Authorization=named(f"k{number}", RSA)) == "unauthorized"
    assert issuer.fetches == 3


async def test_an_issuer_that_is_down_is_not_reported_as_a_bad_token(
    serve: Serve, issuer: Issuer
) -> None:
    issuer.is_broken = True
    site = await serve(Auth(jwt=Jwt(jwks=issuer.url)))
    assert await site.who(Authorization=named("a", RSA)) == "unavailable"
    assert await site.who() is None


async def test_a_new_key_of_the_issuer_is_fetched(
    serve: Serve, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And while the issuer is down, the keys that were fetched before continue to work."""
    monkeypatch.setattr("eventhub.identity.keys.COOLDOWN", 0.0)
    issuer.keys = {"a": RSA}
    site = await serve(Auth(jwt=Jwt(jwks=issuer.url)))
    assert (await site.who(Authorization=named("a", RSA)))["id"] == "ann"
    new = rsa.generate_private_key(65537, 2048)
    issuer.keys = {"b": new}
    assert (await site.who(Authorization=named("b", new)))["id"] == "ann"
    assert await site.who(Authorization=named("a", RSA)) == "unauthorized"
    issuer.is_broken = True
    assert await site.who(Authorization=named("c", new)) == "unauthorized"
    assert (await site.who(Authorization=named("b", new)))["id"] == "ann"
