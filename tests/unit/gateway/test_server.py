"""Every failure is answered with an error object, and no answer shows the HTTP library."""

import asyncio
from functools import partial

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from eventhub.errors import Rejected, Unavailable
from eventhub.gateway import refusal, server
from eventhub.gateway.server import FREE_BODY_BYTES, HttpConnection, has_to_wait
from tests.subscribing import eventually
from tests.unit.gateway.serving import connected, handling

GET = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


async def answer_of(error: BaseException, request: bytes = GET) -> bytes:
    """Return the answer when a handler raises."""

    async def handle(_: web.Request) -> web.StreamResponse:
        raise error

    async with handling(handle) as port, connected(port) as client:
        client.writer.write(request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
        return await client.rest()


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Rejected("bad_filter", "why"), 400, "bad_filter"),
        (Unavailable("later"), 503, "unavailable"),
        (web.HTTPNotFound(), 404, "unknown_path"),
        (ValueError("a secret"), 500, "internal"),
    ],
)
async def test_what_a_handler_raises_is_an_error_object(
    error: Exception, status: int, code: str
) -> None:
    with capture_logs():
        answer = await answer_of(error)
    assert answer.startswith(b"HTTP/1.1 %d" % status)
    assert b'"code":"%s"' % code.encode() in answer
    assert b"secret" not in answer


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/3.7\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * (refusal.MAX_HEADER + 1) + b"\r\n\r\n",
    ],
    ids=["line", "version", "header", "long"],
)
async def test_bytes_that_are_not_a_request_get_an_error_object(request_bytes: bytes) -> None:
    async def handle(_: web.Request) -> web.StreamResponse:
        raise AssertionError("the handler must not be called")

    async with handling(handle) as port, connected(port) as client:
        client.writer.write(request_bytes)
        answer = await client.rest()
    assert answer.split(b" ", 2)[1][:1] == b"4"
    assert b'"_error"' in answer
    assert b"aiohttp" not in answer.lower()


async def test_an_answer_that_fails_midway_is_cut_off() -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(b"half")
        raise ValueError("broken")

    with capture_logs() as logs:
        async with handling(handle) as port, connected(port) as client:
            client.writer.write(GET)
            answer = await client.rest()
    assert b"half" in answer
    assert not answer.endswith(b"0\r\n\r\n")
    assert [each["event"] for each in logs if each["log_level"] == "error"] == ["request_failed"]


async def test_the_end_of_a_connection_is_reported_once_by_its_last_owner() -> None:
    ends: list[str] = []
    served: list[HttpConnection] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        assert isinstance(request.protocol, HttpConnection)
        request.protocol.on_closed = lambda: ends.append("http")
        served.append(request.protocol)
        return web.Response()

    async with handling(handle) as port:
        async with connected(port) as client:
            client.writer.write(GET)
            await client.head()
            assert served[0].has_had_request
        await eventually(lambda: ends == ["http"])
        async with connected(port) as client:
            client.writer.write(GET)
            await client.head()
            on_closed = served[1].hand_on()
        await eventually(lambda: served[1].transport is None)
        assert ends == ["http"]
        assert on_closed is not None


async def test_refusals_that_cost_work_are_reported() -> None:
    seen: list[str] = []

    def report(what: str) -> bool:
        seen.append(what)
        return True  # this happens too often

    async def handle(request: web.Request) -> web.StreamResponse:
        assert isinstance(request.protocol, HttpConnection)
        request.protocol.on_refused = partial(report, "refused")
        request.protocol.on_wasted = partial(report, "wasted")
        await request.read()
        code = request.headers["Code"]
        return web.Response(text=f"{has_to_wait(request, Rejected(code, ''))}")

    large = b"x" * (FREE_BODY_BYTES + 1)
    async with handling(handle) as port, connected(port) as client:
        for code, body, waits in [
            (b"unauthorized", b"", False),  # the first request of a connection
            (b"unauthorized", b"", True),
            (b"bad_json", b"{", False),
            (b"bad_json", large, True),
            (b"not_found", large, False),
        ]:
            client.writer.write(
                b"POST / HTTP/1.1\r\nHost: x\r\nCode: %s\r\nContent-Length: %d\r\n\r\n%s"
                % (code, len(body), body)
            )
            head = await client.head()
            size = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            async with asyncio.timeout(40):
                text = await client._reader.readexactly(size)
            assert text == f"{waits}".encode(), (code, len(body))
    assert seen == ["refused", "refused", "wasted"]


async def test_an_idle_connection_is_closed_after_its_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "IDLE_SECONDS", 0.1)

    async def handle(_: web.Request) -> web.StreamResponse:
        return web.Response(text="answered")

    async with handling(handle) as port, connected(port) as client:
        client.writer.write(GET)
        assert b" 200 " in await client.head()
        assert await client.rest() == b"answered"
