"""A token is accepted if its issuer signed it for this hub, and by no other way."""

import base64
import hashlib
import hmac
import json
import logging
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from eventhub.config import Auth, Jwt
from tests.integration.identity.logins import OURS, RSA, SECRET, claims, login, sealed
from tests.integration.identity.site import V1, Serve

EC = ec.generate_private_key(ec.SECP256R1())
RSA_PEM = (
    RSA.public_key()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    .decode()
)
BY_SECRET = Auth(jwt=Jwt(secret=SECRET, audience="hub", issuer="https://login.example"))
BY_RSA = Auth(jwt=Jwt(public_key=RSA_PEM, audience="hub", issuer="https://login.example"))


def token(key: Any = SECRET, algorithm: str | None = "HS256", **changed: Any) -> str:
    return jwt.encode(claims(**changed), key, algorithm)


def segment(content: object) -> str:
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def signed_by_public_key() -> str:
    """The confusion attack: the public key, which everybody has, as the HMAC secret."""
    text = segment({"alg": "HS256", "typ": "JWT"}) + "." + segment(claims())
    return text + "." + segment(hmac.digest(RSA_PEM.encode(), text.encode(), hashlib.sha256))


def with_other_claims(honest: str) -> str:
    head, _, signature = honest.split(".")
    return f"{head}.{segment(claims(sub='root'))}.{signature}"


async def test_a_good_token_names_the_user_and_its_attributes(serve: Serve) -> None:
    site = await serve(BY_SECRET)
    seen = await site.who(Authorization=f"bEaReR {token()}")
    assert (seen["id"], seen["role"]) == ("ann", "admin")


async def test_a_token_may_name_the_user_in_another_claim(serve: Serve) -> None:
    site = await serve(Auth(jwt=Jwt(secret=SECRET, user_claim="email")))
    names = {"sub": 7, "id": "spoof", "email": "ann@x.example"}
    good = jwt.encode({**names, "exp": int(time.time()) + 36_000}, SECRET, "HS256")
    assert (await site.who(Authorization=f"Bearer {good}"))["id"] == "ann@x.example"


async def test_a_public_key_checks_tokens_of_its_private_key(serve: Serve) -> None:
    site = await serve(BY_RSA)
    assert (await site.who(Authorization=f"Bearer {token(RSA, 'RS256')}"))["id"] == "ann"


async def test_a_token_without_expiry_is_accepted_where_the_operator_allows_it(
    serve: Serve,
) -> None:
    site = await serve(Auth(jwt=Jwt(secret=SECRET, audience="hub", require_exp=False)))
    assert (await site.who(Authorization=f"Bearer {token(exp=None)}"))["id"] == "ann"
    assert await site.who(Authorization=f"Bearer {token(exp=[1])}") == "unauthorized"


async def test_the_operator_limits_the_lifetime_of_tokens(serve: Serve) -> None:
    site = await serve(Auth(jwt=Jwt(secret=SECRET, audience="hub", max_age=3600)))
    now = int(time.time())
    for seconds, seen in ((3600, "ann"), (3700, None)):
        who = await site.who(Authorization=f"Bearer {token(exp=now + seconds)}")
        assert who == "unauthorized" if seen is None else who["id"] == seen


EVIL_BY_SECRET = {
    "alg none": token(None, "none"),
    "alg none unsigned": segment({"alg": "none"}) + "." + segment(claims()) + ".",
    "other secret": token("another-secret-of-32-bytes-length"),
    "other algorithm": token(SECRET + SECRET, "HS512"),
    "other claims": with_other_claims(token()),
    "no signature": token().rpartition(".")[0] + ".",
    "expired": token(exp=int(time.time()) - 60),
    "without an end": token(exp=None),
    "for a hundred years": token(exp=int(time.time()) + 100 * 365 * 86400),
    "for a hundred years, made later": token(exp=4_900_000_000, iat=4_899_999_999),
    "for a day of 31 days' life": token(
        exp=int(time.time()) + 86400, iat=int(time.time()) - 30 * 86400
    ),
    "without an end in number": token(exp=float("inf")),
    "no number": token(exp=float("nan")),
    "expiry is a list": token(exp=[1]),
    "not yet": token(nbf=int(time.time()) + 36_000),
    "wrong audience": token(aud="other"),
    "no audience": token(aud=None),
    "wrong issuer": token(iss="https://evil.example"),
    "no issuer": token(iss=None),
    "no user": token(sub=None),
    "empty user": token(sub=""),
    "user is a list": token(sub=["ann"]),
    "user is true": token(sub=True),
    "long user": token(sub="a" * 201),
    "line break in user": token(sub="ann\nroot"),
    "surrogate in user": token(sub="\ud800"),
    "expiry is text": segment({"alg": "HS256"}) + "." + segment({"exp": "soon"}) + ".AAAA",
    "deep json": segment(b"[" * 2800) + "." + segment(b"[" * 2800) + ".AAAA",
    "kid is a list": segment({"alg": "HS256", "kid": []}) + "." + segment(claims()) + ".AAAA",
    "empty": "",
    "not a token": "a.b",
    "not ascii": "é.é.é",
}


@pytest.mark.parametrize("name", EVIL_BY_SECRET)
async def test_a_bad_token_is_refused(serve: Serve, name: str) -> None:
    site = await serve(BY_SECRET)
    async with site.client.get(
        site.url + "/who", headers={"Authorization": f"Bearer {EVIL_BY_SECRET[name]}"}
    ) as response:
        assert response.status == 401


@pytest.mark.parametrize(
    "bad",
    [
        signed_by_public_key(),
        token(rsa.generate_private_key(65537, 2048), "RS256"),
        token(RSA, "PS256"),
        token(EC, "ES256"),
        token(None, "none"),
    ],
    ids=["key confusion", "other key", "other padding", "other kind", "alg none"],
)
async def test_a_token_does_not_choose_how_it_is_checked(serve: Serve, bad: str) -> None:
    site = await serve(BY_RSA)
    assert await site.who(Authorization=f"Bearer {bad}") == "unauthorized"


async def test_a_bad_token_does_not_fall_back_to_the_cookie(serve: Serve) -> None:
    site = await serve(Auth(jwt=BY_SECRET.jwt, session=OURS.session))
    cookie = "eventhub=" + sealed(login(), "correct horse battery staple")
    assert (await site.who(Cookie=cookie))["id"] == "ann"
    assert await site.who(Cookie=cookie, Authorization="Bearer a.b.c") == "unauthorized"


async def test_a_browser_sends_its_token_as_a_subprotocol(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    """It is not echoed, nor shown to hooks, nor logged, whatever else is offered with it."""
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "aiohttp.websocket")  # a hub that was set up hides its warnings
    site = await serve(BY_SECRET)
    secret = token()
    seen = await site.websocket(V1, f"bearer.{secret}")
    assert (seen["user"]["id"], seen["protocol"], seen["protocols"]) == ("ann", V1, V1)
    seen = await site.websocket(f"bearer.{secret}")
    assert (seen["user"]["id"], seen["protocol"], seen["protocols"]) == ("ann", None, None)
    seen = await site.websocket("unknown", f"bearer.{secret}")
    assert (seen["user"]["id"], seen["protocols"]) == ("ann", "unknown")
    assert "unknown" in caplog.text
    assert secret not in caplog.text


async def test_a_token_in_a_subprotocol_is_read_next_to_broken_headers(serve: Serve) -> None:
    site = await serve(BY_SECRET)
    answer = await site.raw(
        b"Host: h", b"X-Odd: \xff", b"Sec-WebSocket-Protocol: bearer." + token().encode()
    )
    assert b'"id": "ann"' in answer
