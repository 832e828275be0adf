"""The client says in one error what kept a message from being stored."""

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from eventhub.client import Tail, send
from eventhub.errors import EventHubError, Rejected, Unavailable

REFUSED = '{"_error": {"code": "bad_value", "message": "n is wrong", "retry": false}}'
BUSY = '{"_error": {"code": "unavailable", "message": "try later", "retry": true}}'


@pytest.fixture
async def server() -> AsyncIterator[TestServer]:
    """Answers with the body that a path names, or with what it got."""

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/echo":
            text = await request.text()
            return web.json_response({"got": text, "key": request.headers.get("Idempotency-Key")})
        body = {"/refused": REFUSED, "/busy": BUSY, "/page": "<html>"}.get(request.path, "[]")
        return web.Response(text=body, status=400)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    server = TestServer(app)
    await server.start_server()
    yield server
    await server.close()


async def test_a_message_is_sent_as_json_with_all_digits_of_its_numbers(server: TestServer) -> None:
    url, message = str(server.make_url("/echo")), {"n": Decimal("0.10000000000000000555"), "s": "é"}
    answer = await send(url, "PUT", message, {"Idempotency-Key": "k"})
    assert answer == {"got": '{"n":0.10000000000000000555,"s":"é"}', "key": "k"}


@pytest.mark.parametrize(
    ("path", "error", "text"),
    [
        ("/refused", Rejected, "bad_value: n is wrong"),
        ("/busy", Unavailable, "unavailable: try later"),
        ("/page", Rejected, "is not an EventHub endpoint"),
        ("/list", Rejected, "is not an EventHub endpoint"),
    ],
)
async def test_an_answer_that_is_no_receipt_is_an_error(
    server: TestServer, path: str, error: type[EventHubError], text: str
) -> None:
    with pytest.raises(error, match=text):
        await send(str(server.make_url(path)), "POST", {}, {})


@pytest.mark.parametrize("url", ["x", "http://", "http://[x"])
async def test_a_text_that_is_no_url_is_refused_by_name(url: str) -> None:
    with pytest.raises(Rejected) as caught:
        await send(url, "POST", {}, {})
    assert url in str(caught.value)


async def test_a_server_that_is_no_hub_ends_the_tail(server: TestServer) -> None:
    frames: list[Any] = []
    with pytest.raises(Rejected, match=r"is not an EventHub endpoint \(400\)"):
        await Tail(str(server.make_url("/page")), {}, frames.append).run()
    assert frames == []
