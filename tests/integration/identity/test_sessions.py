"""A browser keeps one session, which only this hub can make, and which ends."""

import asyncio
import base64
import json
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp_session import SimpleCookieStorage, get_session
from aiohttp_session import setup as setup_foreign_sessions
from aiohttp_session.cookie_storage import EncryptedCookieStorage

from eventhub.config import Auth, Session
from eventhub.identity.cookie_secret import cookie_key
from tests.integration.identity.logins import OURS, behind, login, sealed
from tests.integration.identity.site import DEADLINE, Serve, started


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


async def test_a_page_without_cookies_gets_a_new_session_each_time(serve: Serve) -> None:
    site = await serve()
    page = {"Origin": site.url}
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), headers=page) as client:
        seen = {await site.session(client=client) for _ in range(3)}
    assert len(seen - {None}) == 3


async def test_a_program_gets_no_session_that_nobody_asks_for(serve: Serve) -> None:
    site = await serve()
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as client:
        assert await site.session(client=client) is None


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
    site = await serve(Auth(session=Session(max_life=2, secret="of all")))
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
    other = await started(runner, runners)
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
