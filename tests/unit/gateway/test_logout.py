"""Whoever is logged out has no user, and the log says who it was."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from structlog.testing import capture_logs

from eventhub.config import LogoutEndpoint, Session
from eventhub.gateway import refusal
from eventhub.gateway.answering import answered
from eventhub.gateway.body import Bodies
from eventhub.gateway.logout import LogoutPage
from eventhub.identity.proxies import NO_PROXIES
from eventhub.identity.sessions import log_in, setup_sessions
from tests.builders import logins
from tests.integration.identity.logins import sealed

NAME = "eventhub"
ENTRY = LogoutEndpoint(name="leave", pattern="/leave", redirect="/bye")


async def enter(request: web.Request) -> web.Response:
    await log_in(request, {"id": "ann"})
    return web.Response()


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[aiohttp.ClientSession]:
    app = web.Application()
    setup_sessions(
        app, Session(secret="correct horse", cookie=NAME), tmp_path, NO_PROXIES, logins()
    )
    page = LogoutPage(ENTRY, Bodies(1000), NO_PROXIES)
    app.router.add_route("*", "/leave", answered("leave", page.answer, refusal.refuse))
    app.router.add_get("/enter", enter)
    jar = aiohttp.CookieJar(unsafe=True)
    async with (
        TestServer(app) as server,
        aiohttp.ClientSession(server.make_url("/"), cookie_jar=jar) as client,
    ):
        yield client


async def test_a_page_asks_and_a_program_is_logged_out_once(client: aiohttp.ClientSession) -> None:
    await client.get("/enter")
    async with client.get("/leave") as page:
        assert "<strong>ann</strong>" in await page.text()
    with capture_logs() as logs:
        for _ in range(2):
            async with client.post("/leave", json={}) as answer:
                assert await answer.json() == {"user": None}
    assert [(line["event"], line["user"]) for line in logs] == [("logged_out", "ann")]
    async with client.get("/leave") as page:
        assert "You are logged out" in await page.text()


async def test_a_logout_of_an_unknown_extent_is_refused(
    client: aiohttp.ClientSession,
) -> None:
    await client.get("/enter")
    async with client.post("/leave", json={"everywhere": "yes"}) as answer:
        assert (await answer.json())["_error"]["message"] == "everywhere must be true or false"
    async with client.get("/leave") as page:
        assert "<strong>ann</strong>" in await page.text()


async def test_a_login_of_another_program_ends_for_each_copy_of_its_cookie(
    client: aiohttp.ClientSession,
) -> None:
    """It has no record that could end; and a later login there begins again."""

    async def leave(cookie: str, **body: bool) -> str:
        headers = {"Cookie": f"{NAME}={cookie}"}
        async with (
            aiohttp.ClientSession(client._base_url, headers=headers) as other,
            other.get("/leave") as page,
        ):
            text = await page.text()
            if body:
                await other.post("/leave", json=body)
        return "in" if "<strong>ann</strong>" in text else "out"

    def foreign(name: str, age: int) -> str:
        session = {"id": name, "user": {"id": "ann"}}
        content = {"created": int(time.time()) - age, "session": session}
        return sealed(content, "correct horse", age=age)

    one, other = foreign("one", 20), foreign("other", 10)
    assert await leave(one, everywhere=False) == "in"
    assert [await leave(one), await leave(other)] == ["out", "in"]
    await leave(other, everywhere=True)
    assert [await leave(foreign("third", 5)), await leave(foreign("later", -5))] == ["out", "in"]
