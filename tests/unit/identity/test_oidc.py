"""The browser is sent to the provider with what only it can bring back."""

import base64
import hashlib

import pytest
from yarl import URL

from eventhub.identity.claims import LoginError
from eventhub.identity.oidc import Oidc
from eventhub.identity.pending import Pending
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


async def test_a_provider_without_an_issuer_is_not_asked_for_its_name() -> None:
    await Oidc(PLAIN).check_issuer("https://any.example")
    assert await Oidc(PLAIN).end_session_url(None, "https://hub.example/") is None


async def test_a_code_without_text_is_refused_before_the_provider_is_asked() -> None:
    with pytest.raises(LoginError, match="no_code"):
        await Oidc(PLAIN).exchange(LOGIN, "", "https://hub.example/in")
