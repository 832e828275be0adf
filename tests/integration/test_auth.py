"""No client is taken for another: real requests and WebSockets, honest and forged."""

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import pytest
from aiohttp import web
from aiohttp.typedefs import Handler as HttpHandler
from aiohttp_session import SimpleCookieStorage, get_session
from aiohttp_session import setup as setup_foreign_sessions
from aiohttp_session.cookie_storage import EncryptedCookieStorage
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from structlog.testing import capture_logs

from eventhub.config import Auth, Jwt, Proxy, Session
from eventhub.errors import EventHubError
from eventhub.identity.authenticator import Authenticator, setup_auth
from eventhub.identity.origin import check_origin, cors_headers
from eventhub.identity.sessions import cookie_key

SECRET = "0123456789abcdef0123456789abcdef"  # 32 bytes
DEADLINE = 10.0  # seconds
V1 = "eventhub.v1.json"


# --- A small application that answers with its client ---------------------------------------------


class Site:
    """A running application, and how to ask it who the client is."""

    def __init__(self, port: int) -> None:
        self.host = f"127.0.0.1:{port}"
        self.url = f"http://{self.host}"
        # With a cookie of somebody else, as browsers have them.
        headers = {"Cookie": "theme=dark"}
        jar = aiohttp.CookieJar(unsafe=True)
        self.client = aiohttp.ClientSession(cookie_jar=jar, headers=headers)

    async def who(self, **headers: str) -> Any:
        """The user's attributes, None, or the code of the error."""
        async with self.client.get(self.url + "/who", headers=_dashed(headers)) as response:
            return (await response.json())["user"]

    async def session(self, path: str = "/who", client: aiohttp.ClientSession | None = None) -> str:
        async with (client or self.client).get(self.url + path) as response:
            found: str = json.loads(await response.text())["session"]
            return found

    async def websocket(self, *protocols: str, **headers: str) -> Any:
        """What the first frame of a WebSocket says, and the subprotocol that was chosen."""
        async with self.client.ws_connect(
            self.url + "/ws", protocols=protocols, headers=_dashed(headers)
        ) as ws:
            return await ws.receive_json(timeout=DEADLINE) | {"protocol": ws.protocol}

    async def raw(self, *lines: bytes, path: bytes = b"/who") -> bytes:
        """The answer to a request that no client library would send."""
        async with asyncio.timeout(DEADLINE):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.host.split(":")[1])
            head = (b"GET %s HTTP/1.1" % path, *lines, b"Connection: close", b"", b"")
            writer.write(b"\r\n".join(head))
            answer = await reader.read()
            writer.close()
            return answer


Serve = Callable[..., Awaitable[Site]]


def _dashed(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def _application(auth: Auth, folder: Path, origins: Sequence[str]) -> web.Application:
    @web.middleware
    async def answer_errors(request: web.Request, handler: HttpHandler) -> web.StreamResponse:
        try:
            return await handler(request)
        except EventHubError as error:
            return web.json_response({"user": error.code}, status=error.http_status)

    async def who(request: web.Request) -> web.StreamResponse:
        check_origin(request, origins, authenticator.proxies)
        headers = cors_headers(request, origins, authenticator.proxies)
        return web.json_response(await _seen(authenticator, request), headers=headers)

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(json.dumps(await _seen(authenticator, request)).encode())
        return response

    async def websocket(request: web.Request) -> web.StreamResponse:
        check_origin(request, origins, authenticator.proxies)
        ws = web.WebSocketResponse(protocols=(V1,))
        await ws.prepare(request)
        await ws.send_json(await _seen(authenticator, request))
        await ws.close()
        return ws

    app = web.Application(middlewares=[answer_errors])
    authenticator = setup_auth(app, auth, folder)
    app.router.add_get("/who", who)
    app.router.add_route("OPTIONS", "/who", who)
    app.router.add_get("/stream", stream)
    app.router.add_get("/ws", websocket)
    return app


async def _seen(authenticator: Authenticator, request: web.Request) -> dict[str, Any]:
    handler = await authenticator.handler_of(request, {}, {})
    return {
        "user": None if handler.current_user is None else dict(handler.current_user),
        "session": handler.session["id"],
        "protocols": handler.request.headers.get("Sec-WebSocket-Protocol"),
    }


@pytest.fixture
async def serve(tmp_path: Path) -> AsyncIterator[Serve]:
    runners: list[web.AppRunner] = []
    sites: list[Site] = []

    async def start(auth: Auth | None = None, origins: Sequence[str] = ()) -> Site:
        runner = web.AppRunner(_application(auth or Auth(), tmp_path, origins))
        sites.append(await _started(runner, runners))
        return sites[-1]

    yield start
    for site in sites:
        await site.client.close()
    for runner in runners:
        await runner.cleanup()


async def _started(runner: web.AppRunner, runners: list[web.AppRunner]) -> Site:
    runners.append(runner)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return Site(runner.addresses[0][1])


# --- Sessions ------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["/who", "/stream", "/ws", "/no/such/page"])
async def test_every_first_answer_sets_the_cookie(serve: Serve, first: str) -> None:
    site = await serve()
    if first == "/ws":
        await site.websocket()
    else:
        async with site.client.get(site.url + first) as response:
            assert len(response.headers.getall("Set-Cookie")) == 1
    async with site.client.get(site.url + "/who") as response:
        assert "Set-Cookie" not in response.headers


async def test_a_program_that_keeps_no_cookies_is_sent_none(serve: Serve) -> None:
    site = await serve()
    assert b"Set-Cookie" not in await site.raw(b"Host: h")
    origin = f"Origin: {site.url}".encode()
    assert b"Set-Cookie" in await site.raw(f"Host: {site.host}".encode(), origin)
    framed = await serve(Auth(session=Session(samesite="none")))
    assert b"Set-Cookie" in await framed.raw(b"Host: h")


async def test_websockets_and_pages_of_one_browser_share_the_session(serve: Serve) -> None:
    site = await serve()
    seen = {
        (await site.websocket())["session"],
        (await site.websocket())["session"],
        await site.session("/who"),
        await site.session("/stream"),
    }
    assert len(seen) == 1


async def test_a_client_without_cookies_gets_a_new_session_each_time(serve: Serve) -> None:
    site = await serve()
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as client:
        seen = {await site.session(client=client) for _ in range(3)}
    assert len(seen) == 3


async def test_a_session_outlives_a_restart(serve: Serve) -> None:
    site, again = await serve(), await serve()
    assert await site.session() == await again.session(client=site.client)


@pytest.mark.parametrize(
    ("trusted", "protocol", "secure"),
    [
        ("127.0.0.1", "https", True),
        ("127.0.0.1", "http, https", True),
        ("127.0.0.1", "https, http", False),
        ("10.0.0.1", "https", False),
    ],
)
async def test_the_cookie_is_secure_where_the_request_came_by_tls(
    serve: Serve, trusted: str, protocol: str, secure: bool
) -> None:
    site = await serve(behind(trusted))
    headers = {"X-Forwarded-Proto": protocol}
    async with site.client.get(site.url + "/who", headers=headers) as response:
        sent = response.headers["Set-Cookie"]
        first = (await response.json())["session"]
    assert sent.startswith("__Host-eventhub-" if secure else "eventhub-")
    assert ("Secure" in sent) is secure
    assert "Path=/" in sent
    assert "Domain" not in sent
    headers["Cookie"] = sent.partition(";")[0]
    async with site.client.get(site.url + "/who", headers=headers) as response:
        assert (await response.json())["session"] == first


async def test_a_session_ends_even_if_it_is_in_use(serve: Serve) -> None:
    site = await serve(Auth(session=Session(max_life=1, secret="of all")))
    first = await site.session()
    assert await site.session() == first
    async with asyncio.timeout(DEADLINE):
        while await site.session() == first:
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("secure", [False, True])
async def test_scripts_and_other_sites_do_not_get_the_cookie(serve: Serve, secure: bool) -> None:
    site = await serve(Auth(session=Session(secure=secure, max_age=3600)))
    async with site.client.get(site.url + "/who") as response:
        attributes = response.headers["Set-Cookie"].split("; ")
    assert {"HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=3600"} < set(attributes)
    assert ("Secure" in attributes) is secure


@pytest.mark.parametrize(
    ("session", "expected"),
    [
        (Session(samesite="strict"), "Path=/; SameSite=Strict"),
        (Session(samesite="none"), "Path=/; SameSite=None; Secure; Partitioned"),
        (Session(samesite="none", partitioned=False), "Path=/; SameSite=None; Secure"),
        (Session(partitioned=True), "Path=/; SameSite=Lax; Secure; Partitioned"),
    ],
)
async def test_pages_in_frames_of_other_sites_get_the_cookie_if_configured(
    serve: Serve, session: Session, expected: str
) -> None:
    site = await serve(Auth(session=session))
    async with site.client.get(site.url + "/who") as response:
        _, *sent = response.headers["Set-Cookie"].split("; ")
    kept = [each for each in sent if not each.lower().startswith(("expires", "max-age"))]
    assert sorted(kept) == sorted(["HttpOnly", *expected.split("; ")])


def sealed(content: object, secret: str, *, age: int = 0) -> str:
    """A cookie as a program that knows the secret makes it."""
    key = base64.urlsafe_b64encode(cookie_key(secret))
    text = json.dumps(content).encode()
    return Fernet(key).encrypt_at_time(text, int(time.time()) - age).decode()


def login(age: int = 0) -> dict[str, Any]:
    user = {"id": "ann", "role": "admin"}
    return {"created": int(time.time()) - age, "session": {"id": "s1", "user": user}}


OURS = Auth(session=Session(secret="correct horse battery staple", cookie="eventhub", max_age=3600))


async def test_a_login_in_the_cookie_is_accepted(serve: Serve) -> None:
    site = await serve(OURS)
    cookie = sealed(login(), "correct horse battery staple")
    assert await site.who(Cookie=f"eventhub={cookie}") == {"id": "ann", "role": "admin"}


async def test_a_session_in_use_is_renewed_and_keeps_its_id(serve: Serve) -> None:
    site = await serve(OURS)
    old = sealed(login(2000), "correct horse battery staple", age=2000)
    headers = {"Cookie": f"eventhub={old}"}
    async with site.client.get(site.url + "/who", headers=headers) as response:
        assert (await response.json())["session"] == "s1"
        assert "Set-Cookie" in response.headers


@pytest.mark.parametrize(
    "cookie",
    [
        sealed(login(), "another secret"),
        sealed(login(), "correct horse battery staple", age=4000),
        sealed(login(4000), "correct horse battery staple"),
        sealed(login(), "correct horse battery staple")[:-4] + "AAA=",
        json.dumps(login()),
        base64.urlsafe_b64encode(json.dumps(login()).encode()).decode(),
        "",
        "x" * 4000,
        "gAAAAA==",
    ],
    ids=["other key", "old", "old inside", "bits", "json", "base64", "empty", "long", "stub"],
)
async def test_a_forged_or_expired_cookie_starts_a_new_session(serve: Serve, cookie: str) -> None:
    site = await serve(OURS)
    async with site.client.get(
        site.url + "/who", headers={"Cookie": f"eventhub={cookie}"}
    ) as response:
        seen = await response.json()
        assert response.status == 200
        assert "Set-Cookie" in response.headers
    assert seen["user"] is None
    assert seen["session"] != "s1"


async def test_a_cookie_that_is_not_text_starts_a_new_session(serve: Serve) -> None:
    site = await serve(OURS)
    answer = await site.raw(b"Host: h", b"Cookie: eventhub=\xff\xfe\x80")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"Set-Cookie: eventhub=" in answer


@pytest.mark.filterwarnings("ignore:It is recommended:UserWarning")  # aiohttp-session's own
async def test_a_login_page_of_another_program_can_share_the_session(
    serve: Serve, tmp_path: Path
) -> None:
    """As docs/identity.md shows it: any aiohttp program that knows the secret."""
    site = await serve(OURS)

    async def log_in(request: web.Request) -> web.Response:
        (await get_session(request))["user"] = {"id": "ann"}
        return web.Response()

    app = web.Application()
    key = cookie_key("correct horse battery staple")
    setup_foreign_sessions(app, EncryptedCookieStorage(key, cookie_name="eventhub"))
    app.router.add_get("/login", log_in)
    runner = web.AppRunner(app)
    runners: list[web.AppRunner] = []
    other = await _started(runner, runners)
    await other.client.close()
    try:
        first = await site.session()
        async with site.client.get(other.url + "/login"):
            pass
        assert (await site.who())["id"] == "ann"
        assert await site.session() == first
    finally:
        await runner.cleanup()


async def test_an_unsigned_session_of_the_same_name_is_not_accepted(serve: Serve) -> None:
    plain = SimpleCookieStorage(cookie_name="eventhub")
    site = await serve(OURS)
    assert await site.who(Cookie=f"{plain.cookie_name}={json.dumps(login())}") is None


# --- Bearer tokens -------------------------------------------------------------------------------

RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
RSA_PEM = (
    RSA.public_key()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    .decode()
)
BY_SECRET = Auth(jwt=Jwt(secret=SECRET, audience="hub", issuer="https://login.example"))
BY_RSA = Auth(jwt=Jwt(public_key=RSA_PEM, audience="hub", issuer="https://login.example"))


def claims(**changed: Any) -> dict[str, Any]:
    usual = {"sub": "ann", "aud": "hub", "iss": "https://login.example", "role": "admin"}
    all_claims = usual | {"exp": int(time.time()) + 600} | changed
    return {name: value for name, value in all_claims.items() if value is not None}


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
    good = jwt.encode({**names, "exp": int(time.time()) + 600}, SECRET, "HS256")
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
    "not yet": token(nbf=int(time.time()) + 600),
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


# --- Keys that the issuer serves -----------------------------------------------------------------


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
    site = await _started(runner, [])
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


# --- A proxy's header ----------------------------------------------------------------------------


def behind(*trusted: str) -> Auth:
    return Auth(proxy=Proxy(header="X-Forwarded-User", trusted=list(trusted)))


@pytest.mark.parametrize("trusted", ["127.0.0.1", "127.0.0.0/8", "127.0.0.9/8"])
async def test_a_trusted_proxy_names_the_user(serve: Serve, trusted: str) -> None:
    site = await serve(behind("10.0.0.0/8", trusted))
    assert await site.who(X_Forwarded_User=" ann@x.example ") == {"id": "ann@x.example"}


@pytest.mark.parametrize("trusted", ["127.0.0.2", "10.0.0.0/8", "::1"])
async def test_the_header_of_other_peers_is_ignored(serve: Serve, trusted: str) -> None:
    site = await serve(behind(trusted))
    assert await site.who(X_Forwarded_User="root", X_Forwarded_For=trusted) is None


async def test_an_ignored_header_is_logged_once(serve: Serve) -> None:
    """Clients decide how often it happens: they must not fill the log."""
    site = await serve(behind("10.0.0.1"))
    with capture_logs() as logs:
        for _ in range(3):
            await site.who(X_Forwarded_User="root")
    assert [entry["event"] for entry in logs] == ["proxy_header_ignored"]


async def test_an_empty_header_is_not_a_login(serve: Serve) -> None:
    site = await serve(behind("127.0.0.1"))
    assert await site.who(X_Forwarded_User=" ") is None
    assert await site.who() is None


async def test_a_header_that_the_client_also_sent_is_refused(serve: Serve) -> None:
    """A proxy that adds its header, instead of setting it, lets the client's stand before it."""
    site = await serve(behind("127.0.0.1"))
    answer = await site.raw(b"Host: h", b"X-Forwarded-User: root", b"X-Forwarded-User: ann")
    assert b'"unauthorized"' in answer


async def test_a_header_that_is_not_text_is_refused(serve: Serve) -> None:
    site = await serve(behind("127.0.0.1"))
    assert b'"unauthorized"' in await site.raw(b"Host: h", b"X-Forwarded-User: \xff\xfe")


# --- Origins -------------------------------------------------------------------------------------


async def opened(site: Site, **headers: str) -> bool:
    """Return whether a WebSocket and a GET with such headers are admitted; both must agree."""
    is_open = bool(await site.who(**headers) != "forbidden")
    if is_open:
        await site.websocket(**headers)
    else:
        with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
            await site.websocket(**headers)
    return is_open


async def test_own_pages_and_programs_are_admitted(serve: Serve) -> None:
    site = await serve()
    assert await opened(site)
    assert await opened(site, Origin=site.url)
    assert await opened(site, Origin=site.url.upper())
    assert await opened(site, Origin="http://Chat.Example", Host="chat.example")
    assert await opened(site, Origin="http://chat.example", Host="CHAT.EXAMPLE:80")
    assert await opened(site, Origin="https://chat.example", Host="chat.example")


async def test_pages_of_other_origins_are_refused(serve: Serve) -> None:
    site = await serve()
    for origin in (
        "null",
        "",
        "https://evil.example",
        "http://127.0.0.1",
        "http://127.0.0.1:1",
        f"http://localhost:{site.host.split(':')[1]}",
        f"{site.url}.evil.example",
        f"http://evil@{site.host}",
        f"{site.url}/",
        f"chrome-extension://{site.host}",
    ):
        assert not await opened(site, Origin=origin), origin


async def test_two_origins_are_refused(serve: Serve) -> None:
    site = await serve(origins=["https://good.example"])
    own, good, evil = (
        b"Origin: " + origin.encode()
        for origin in (site.url, "https://good.example", "https://evil.example")
    )
    for sent, status in (
        ([own], b" 200 "),
        ([good], b" 200 "),
        ([own, good], b" 403 "),
        ([good, evil], b" 403 "),
    ):
        answer = await site.raw(b"Host: " + site.host.encode(), *sent)
        assert status in answer.partition(b"\r\n")[0], sent


@pytest.mark.parametrize(
    ("origins", "good", "bad"),
    [
        (["https://a.example"], "https://a.example", "http://a.example"),
        (["https://a.example"], "https://A.example:443", "https://a.example:8443"),
        (["https://a.example:8443"], "https://a.example:8443", "https://a.example"),
        (["https://*.a.example"], "https://x.y.a.example", "https://a.example"),
        (["https://*.a.example"], "https://x.a.example", "https://evil-a.example"),
        (["https://*.a.example"], "https://b.a.example", "https://*.a.example"),
        (["capacitor://localhost"], "capacitor://localhost", "http://localhost"),
        (["ionic://localhost"], "ionic://localhost", "capacitor://localhost"),
        (["tauri://localhost"], "tauri://localhost", "https://tauri.localhost"),
        (["null"], "null", "https://a.example"),
        (["null"], "null", "file://"),
        (["file://"], "file://", "null"),
        (["file://"], "file://", "file://a.example"),
        (["https://a.example"], "https://a.example", "null"),
    ],
)
async def test_only_listed_origins_are_admitted(
    serve: Serve, origins: list[str], good: str, bad: str
) -> None:
    site = await serve(origins=origins)
    assert await opened(site, Origin=good)
    assert not await opened(site, Origin=bad)


async def test_a_star_admits_every_page_without_cookies(serve: Serve) -> None:
    site = await serve(origins=["*"])
    for origin in ("https://evil.example", "null", "nonsense"):
        assert await opened(site, Origin=origin)
        headers = await cors(site, origin)
        assert headers["Access-Control-Allow-Origin"] == "*"
        assert "Access-Control-Allow-Credentials" not in headers


async def cors(site: Site, origin: str, method: str = "GET") -> dict[str, str]:
    headers = {"Origin": origin}
    async with site.client.request(method, site.url + "/who", headers=headers) as response:
        return dict(response.headers)


async def test_a_listed_page_may_read_answers_and_preflight_writes(serve: Serve) -> None:
    site = await serve(origins=["https://a.example"])
    plain = await cors(site, "https://a.example")
    assert plain["Access-Control-Allow-Origin"] == "https://a.example"
    assert plain["Access-Control-Allow-Credentials"] == "true"
    assert plain["Access-Control-Expose-Headers"].startswith("EventHub-Position, ETag, Retry-After")
    assert plain["Vary"] == "Origin"
    asked = await cors(site, "https://a.example", "OPTIONS")
    assert asked["Access-Control-Allow-Methods"] == "GET, HEAD, POST, PUT, PATCH, DELETE"
    allowed = asked["Access-Control-Allow-Headers"].split(", ")
    own = {"idempotency-key", "if-match", "if-none-match", "last-event-id"}
    assert {"content-type", "authorization", *own} <= set(allowed)
    # EventSource and fetch libraries send these by themselves.
    assert {"cache-control", "pragma", "x-requested-with"} <= set(allowed)


async def test_other_pages_get_no_cors_headers(serve: Serve) -> None:
    site = await serve(origins=["https://a.example"])
    for method in ("GET", "OPTIONS"):
        headers = await cors(site, "https://evil.example", method)
        assert not [name for name in headers if name.startswith("Access-Control")]


async def test_the_forwarded_host_counts_from_a_trusted_proxy_only(serve: Serve) -> None:
    trusted, other = await serve(behind("127.0.0.1")), await serve(behind("10.0.0.1"))
    page = {"Origin": "https://chat.example", "X_Forwarded_Host": "evil.example, chat.example"}
    assert await opened(trusted, **page)
    assert not await opened(other, **page)
    spoofed = {"Origin": "https://evil.example", "X_Forwarded_Host": "evil.example, chat.example"}
    assert not await opened(trusted, **spoofed)
