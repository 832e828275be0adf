"""What a provider says about itself is checked, kept, and asked for again."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from eventhub.config import OidcEndpoint
from eventhub.errors import Unavailable
from eventhub.identity import provider as provider_module
from eventhub.identity.provider import Metadata, Provider

PLAIN = OidcEndpoint(
    name="plain",
    pattern="/in",
    client_id="hub",
    authorize_url="https://h.example/a",
    token_url="https://h.example/t",
    user_url="https://h.example/u",
)


class Described:
    """A provider that says about itself what a test wants."""

    def __init__(self) -> None:
        self.asked = 0
        self.status = 200
        self.text: dict[str, Any] = {}
        self.issuer = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.asked += 1
        issuer = self.issuer
        usual = {
            "issuer": issuer,
            "authorization_endpoint": f"{issuer}/a",
            "token_endpoint": f"{issuer}/t",
            "jwks_uri": f"{issuer}/k",
        }
        return web.json_response(usual | self.text, status=self.status)

    def provider(self, **kwargs: Any) -> Provider:
        entry = OidcEndpoint(
            name="in", pattern="/in", client_id="hub", issuer=self.issuer, **kwargs
        )
        return Provider(entry)


@pytest.fixture
async def described(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Described]:
    monkeypatch.setattr(provider_module, "COOLDOWN_SECONDS", 0.0)
    found = Described()
    app = web.Application()
    app.router.add_get("/.well-known/openid-configuration", found.answer)
    async with TestServer(app) as server:
        found.issuer = str(server.make_url("")).rstrip("/")
        yield found


async def test_a_file_describes_a_provider_without_openid() -> None:
    found = await Provider(PLAIN).metadata()
    assert (found.user_url, found.keys, found.auth_method) == ("https://h.example/u", None, "none")
    secret = msgspec.structs.replace(PLAIN, client_secret="s")
    assert (await Provider(secret).metadata()).auth_method == "client_secret_post"


@pytest.mark.parametrize(
    ("offered", "method"),
    [
        ({}, "client_secret_basic"),
        ({"token_endpoint_auth_methods_supported": ["client_secret_post"]}, "client_secret_post"),
        (
            {
                "token_endpoint_auth_methods_supported": [
                    "client_secret_post",
                    "client_secret_basic",
                ]
            },
            "client_secret_basic",
        ),
    ],
)
async def test_the_hub_proves_who_it_is_in_a_way_that_the_provider_offers(
    described: Described, offered: dict[str, Any], method: str
) -> None:
    described.text = offered
    found = await described.provider(client_secret="s").metadata()
    assert found.auth_method == method
    assert (await described.provider().metadata()).auth_method == "none"


async def test_a_description_is_kept_and_the_last_one_stays_if_the_provider_is_down(
    described: Described, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = described.provider()
    first = await provider.metadata()
    assert await provider.metadata() is first
    assert described.asked == 1
    monkeypatch.setattr(provider_module, "FRESH_SECONDS", 0.0)
    described.status = 500
    assert await provider.metadata() is first
    described.status = 200
    described.text = {"end_session_endpoint": f"{described.issuer}/e"}
    found: Metadata = await provider.metadata()
    assert found.end_session_url == f"{described.issuer}/e"
    assert found.keys is first.keys  # what was fetched for them is kept, too


async def test_a_provider_that_is_down_is_asked_once_however_many_people_log_in(
    described: Described, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider_module, "COOLDOWN_SECONDS", 600.0)
    described.status = 500
    provider = described.provider()
    for _ in range(3):
        with pytest.raises(Unavailable):
            await provider.metadata()
    assert described.asked == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"issuer": "https://evil.example"},
        {"issuer": None},
        {"token_endpoint": "http://evil.example/t"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"end_session_endpoint": "ftp://127.0.0.1/"},
        {"jwks_uri": 5},
        {"id_token_signing_alg_values_supported": "RS256"},
    ],
)
async def test_a_wrong_description_is_none(described: Described, wrong: dict[str, Any]) -> None:
    provider = described.provider()
    described.text = wrong
    with pytest.raises(Unavailable, match="cannot be reached now"):
        await provider.metadata()
    described.text = {}
    assert (await provider.metadata()).authorize_url == f"{described.issuer}/a"
