"""The browser is sent to the provider with what only it can bring back."""

import base64
import hashlib
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from yarl import URL

from eventhub.identity.claims import LoginError
from eventhub.identity.oidc import Oidc
from eventhub.identity.pending import Pending
from eventhub.identity.provider import Metadata
from tests.unit.identity.test_provider import PLAIN

LOGIN = Pending("plain", "state", "nonce", "v" * 43, "/", 0)


async def test_a_login_is_bound_by_a_state_and_the_hash_of_a_verifier() -> None:
    url = URL(await Oidc(PLAIN).authorize_url(LOGIN, "https://hub.example/in"))
    digest = hashlib.sha256(LOGIN.verifier.encode()).digest()
    assert str(url.with_query(None)) == "https://h.example/a"
    assert dict(url.query) == {
        "response_type": "code",
        "client_id": "hub",
        "redirect_uri": "https://hub.example/in",
        "scope": PLAIN.scope,
        "state": "state",
        "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
    }


@pytest.mark.parametrize(
    ("secret", "method", "sent"),
    [
        ("a:b/c d", "client_secret_post", {"client_id": "hub", "client_secret": "a:b/c d"}),
        (None, "none", {"client_id": "hub"}),
        ("a:b/c d", "client_secret_basic", {"Authorization": "hub:a%3Ab%2Fc+d"}),
    ],
)
async def test_the_hub_proves_who_it_is_with_its_secret_or_the_verifier(
    secret: str | None, method: str, sent: dict[str, str]
) -> None:
    asked: list[dict[str, Any]] = []

    async def answer(request: web.Request) -> web.Response:
        found = {key: str(value) for key, value in (await request.post()).items()}
        if basic := request.headers.get("Authorization", "").removeprefix("Basic "):
            found["Authorization"] = base64.b64decode(basic).decode()
        asked.append(found)
        return web.json_response({"error": "invalid_grant"}, status=400)

    app = web.Application()
    app.router.add_post("/", answer)
    async with TestServer(app) as server:
        url = str(server.make_url("/"))
        entry = msgspec.structs.replace(PLAIN, token_url=url, client_secret=secret)
        oidc = Oidc(entry)
        if method == "client_secret_basic":
            metadata = Metadata(url, url, url, auth_method=method)
            oidc._provider._metadata = metadata
        with pytest.raises(LoginError) as caught:
            await oidc.exchange(LOGIN, "c d", "https://hub.example/in")
    assert (caught.value.reason, caught.value.detail) == ("code_refused", "invalid_grant")
    usual = {
        "grant_type": "authorization_code",
        "code": "c d",
        "redirect_uri": "https://hub.example/in",
        "code_verifier": LOGIN.verifier,
    }
    assert asked == [usual | sent]


async def test_a_provider_without_an_issuer_is_not_asked_for_its_name() -> None:
    await Oidc(PLAIN).check_issuer("https://any.example")
    assert await Oidc(PLAIN).end_session_url(None, "https://hub.example/") is None


async def test_a_code_without_text_is_refused_before_the_provider_is_asked() -> None:
    with pytest.raises(LoginError, match="no_code"):
        await Oidc(PLAIN).exchange(LOGIN, "", "https://hub.example/in")
