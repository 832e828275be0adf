"""A form is taken from its own page or from a program, and leads to this site only."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from eventhub.config import Session
from eventhub.errors import EventHubError
from eventhub.gateway import refusal
from eventhub.gateway.body import Bodies
from eventhub.gateway.form_page import Form, FormPage, html, next_of, see
from eventhub.identity.proxies import NO_PROXIES
from eventhub.identity.sessions import form_token, setup_sessions
from tests.builders import logins


class Wish(FormPage):
    """A page that answers with what it took."""

    example = '{"a": "b"}'

    def _show(self, request: web.Request, *, wrong: str = "", status: int = 200) -> web.Response:
        return html(f"<b>{form_token(request)}</b>{wrong}".encode(), status)

    async def _take(self, request: web.Request, form: Form) -> web.StreamResponse:
        if form.is_json:
            return web.json_response(form.fields)
        return see(next_of(request, "/otherwise"))


async def answer(request: web.Request) -> web.StreamResponse:
    try:
        return await Wish(Bodies(1000), NO_PROXIES).answer(request)
    except EventHubError as error:
        return refusal.answer(error)


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[aiohttp.ClientSession]:
    app = web.Application()
    setup_sessions(app, Session(secret="correct horse"), tmp_path, NO_PROXIES, logins())
    app.router.add_route("*", "/wish", answer)
    jar = aiohttp.CookieJar(unsafe=True)
    async with (
        TestServer(app) as server,
        aiohttp.ClientSession(server.make_url("/"), cookie_jar=jar) as client,
    ):
        yield client


async def token(client: aiohttp.ClientSession) -> str:
    async with client.get("/wish", headers={"Cookie": "theme=dark"}) as shown:
        found = re.match("<b>(.+)</b>", await shown.text())
        assert found
        assert shown.headers["Cache-Control"] == "no-store"
        return found[1]


@pytest.mark.parametrize(
    ("wanted", "place"), [("/a?b=c", "/a?b=c"), ("//evil.example", "/otherwise")]
)
async def test_a_form_with_its_token_leads_on_within_this_site(
    client: aiohttp.ClientSession, wanted: str, place: str
) -> None:
    fields = {"_xsrf": await token(client)}
    params = {"next": wanted}
    async with client.post("/wish", data=fields, params=params, allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (303, place)


async def test_a_form_without_its_token_is_shown_again(client: aiohttp.ClientSession) -> None:
    for sent in ({}, {"_xsrf": "forged"}):
        async with client.post("/wish", data=sent) as answer:
            assert answer.status == 403
            assert "this page was too old" in await answer.text()


async def test_a_program_needs_no_token_and_a_page_of_another_site_has_no_way(
    client: aiohttp.ClientSession,
) -> None:
    async with client.post("/wish", json={"a": "b"}) as answer:
        assert await answer.json() == {"a": "b"}
    fields = {"_xsrf": await token(client)}
    for headers in ({"Origin": "https://evil.example"}, {"Content-Type": "text/plain"}):
        async with client.post("/wish", data=fields, headers=headers) as answer:
            assert answer.status in (403, 415)


@pytest.mark.parametrize(
    ("kind", "body", "status", "text"),
    [
        ("application/json", b"[]", 400, 'such as {"a": "b"}'),
        ("text/plain", b"a=b", 415, 'such as {"a": "b"}'),
        ("application/x-www-form-urlencoded", b"a=\xff", 400, "a form in UTF-8"),
        ("application/x-www-form-urlencoded", b"a=b&" * 21, 400, "at most 20 fields"),
    ],
)
async def test_what_is_no_form_of_the_page_is_refused_by_what_it_takes(
    client: aiohttp.ClientSession, kind: str, body: bytes, status: int, text: str
) -> None:
    async with client.post("/wish", data=body, headers={"Content-Type": kind}) as answer:
        assert answer.status == status
        assert text in (await answer.json())["_error"]["message"]
