"""Requests to a login service have a deadline and a limit, and follow no redirect."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from eventhub.identity import fetching
from eventhub.identity.fetching import FetchError, fetch

Url = Callable[[str], str]


async def echo(request: web.Request) -> web.Response:
    return web.Response(text=f"{request.method} {await request.text()} {request.headers['X-A']}")


async def status(request: web.Request) -> web.Response:
    return web.Response(status=int(request.match_info["status"]), headers={"Location": "/slow"})


async def large(request: web.Request) -> web.Response:
    return web.Response(body=b" " * (fetching.MAX_BYTES + 1))


async def bomb(request: web.Request) -> web.Response:
    body = gzip.compress(b" " * (fetching.MAX_BYTES + 1))
    return web.Response(body=body, headers={"Content-Encoding": "gzip"})


async def slow(request: web.Request) -> web.Response:
    await asyncio.Event().wait()
    return web.Response()


@pytest.fixture
async def url() -> AsyncIterator[Url]:
    app = web.Application()
    app.router.add_route("*", "/echo", echo)
    app.router.add_route("*", "/status/{status}", status)
    app.router.add_get("/large", large)
    app.router.add_get("/bomb", bomb)
    app.router.add_get("/slow", slow)
    async with TestServer(app) as server:
        yield lambda path: str(server.make_url(path))


async def test_a_get_and_a_form_have_headers(url: Url) -> None:
    assert await fetch(url("/echo"), headers={"X-A": "b"}) == b"GET  b"
    assert await fetch(url("/echo"), "c=d", {"X-A": "b"}) == b"POST c=d b"


async def test_a_form_may_be_refused_and_nothing_leads_elsewhere(url: Url) -> None:
    assert await fetch(url("/status/400"), "a=b") == b""
    for path, form in [("302", None), ("307", "a=b"), ("400", None), ("500", "a=b")]:
        with pytest.raises(FetchError, match=f"the status {path}"):
            await fetch(url(f"/status/{path}"), form)


async def test_a_large_answer_is_not_read_and_a_small_one_stays_small(url: Url) -> None:
    with pytest.raises(FetchError, match="larger than"):
        await fetch(url("/large"))
    assert len(await fetch(url("/bomb"))) < 1000


async def test_a_service_that_is_slow_or_down_is_not_waited_for(
    url: Url, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FetchError, match="Cannot connect"):
        await fetch("http://127.0.0.1:1/")
    monkeypatch.setattr(fetching, "DEADLINE_SECONDS", 0.2)
    with pytest.raises(FetchError, match="no answer within"):
        await fetch(url("/slow"))
