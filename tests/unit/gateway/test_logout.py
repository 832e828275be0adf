"""Whoever is logged out has no user, and the log says who it was."""

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from structlog.testing import capture_logs

from eventhub.config import LogoutEndpoint, Session
from eventhub.gateway.body import Bodies
from eventhub.gateway.logout import LogoutPage
from eventhub.identity.proxies import NO_PROXIES
from eventhub.identity.sessions import log_in, setup_sessions

ENTRY = LogoutEndpoint(name="leave", pattern="/leave", redirect="/bye")


async def enter(request: web.Request) -> web.Response:
    await log_in(request, {"id": "ann"})
    return web.Response()


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[aiohttp.ClientSession]:
    app = web.Application()
    setup_sessions(app, Session(secret="correct horse"), tmp_path)
    page = LogoutPage(ENTRY, Bodies(1000), NO_PROXIES)
    app.router.add_route("*", "/leave", page.answer)
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
