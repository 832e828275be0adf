"""Connections open with what their client asked for, or its error, and close when they must."""

import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from eventhub import deadlines, metrics
from eventhub.errors import Close
from tests.subscribing import append, eventually
from tests.unit.gateway.serving import V1, connected, running


def open_connections(form: str) -> float:
    gauge = metrics.CONNECTIONS.labels("chat", form)
    return float(gauge._value.get())


async def test_a_websocket_gets_the_rows_and_then_what_is_written(tmp_path: Path) -> None:
    async with running(tmp_path) as hub, connected(hub.port) as client:
        await append(hub.stream, _method="POST", id="a", text="before")
        await client.upgrade(V1)
        assert (await client.json())["text"] == "before"
        assert "_ready" in await client.json()
        await append(hub.stream, _method="POST", id="b", text="after")
        assert (await client.json())["text"] == "after"


@pytest.mark.parametrize(
    ("endpoint", "query", "code", "close"),
    [
        ({"auth": True}, b"", "unauthorized", Close.UNAUTHORIZED),
        ({"open": "1 / 0"}, b"", "internal", Close.INTERNAL),
        ({}, b"?votes=x", "bad_filter", Close.BAD_REQUEST),
        ({}, b"?_since=yesterday", "bad_position", Close.BAD_REQUEST),
        ({}, b"?_wait=5", "bad_filter", Close.BAD_REQUEST),
        ({}, b"?_format=csv", "bad_request", Close.BAD_REQUEST),
    ],
)
async def test_a_websocket_that_cannot_be_opened_gets_the_error_and_its_close_code(
    tmp_path: Path, endpoint: dict[str, Any], query: bytes, code: str, close: Close
) -> None:
    async with running(tmp_path, **endpoint) as hub, connected(hub.port) as client:
        head = await client.upgrade(V1, query)
        assert b" 101 " in head
        assert (await client.json())["_error"]["code"] == code
        assert await client.close_code() == close
        client.send(close.to_bytes(2, "big"), 0x88)
        assert await client.rest() == b""
        assert open_connections("v1") == 0


async def test_an_open_connection_is_counted_until_it_ends(tmp_path: Path) -> None:
    async with running(tmp_path) as hub:
        before = open_connections("v1"), open_connections("sse")
        async with connected(hub.port) as client:
            await client.upgrade(V1)
            headers = {"Accept": "text/event-stream"}
            async with hub.http.get(hub.url, headers=headers) as stream:
                assert stream.status == 200
                await eventually(lambda: open_connections("sse") == before[1] + 1)
                assert open_connections("v1") == before[0] + 1
        await eventually(lambda: (open_connections("v1"), open_connections("sse")) == before)


async def test_an_event_stream_resumes_after_its_last_event_id(tmp_path: Path) -> None:
    async with running(tmp_path) as hub:
        for number in range(3):
            await append(hub.stream, _method="POST", id=f"{number}", text=f"{number}")
        headers = {"Accept": "text/event-stream", "Last-Event-ID": f"{hub.stream.epoch}.2"}
        async with hub.http.get(hub.url, headers=headers) as stream:
            text = ""
            while "_ready" not in text:
                text += (await stream.content.readany()).decode()
        assert '"recovered":true' in text
        assert '"text":"2"' in text
        assert '"text":"1"' not in text


async def test_head_of_a_stream_has_its_type_and_ends(tmp_path: Path) -> None:
    headers = {"Accept": "text/event-stream"}
    async with running(tmp_path) as hub, hub.http.head(hub.url, headers=headers) as answer:
        assert (answer.status, answer.content_type) == (200, "text/event-stream")


async def test_a_client_that_reads_nothing_delays_no_other_at_a_stop(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(deadlines, "CONNECTION_SECONDS", 0.3)
    monkeypatch.setattr(deadlines, "REQUESTS_SECONDS", 0.3)
    async with running(tmp_path) as hub, connected(hub.port, limit=1024) as stalled:
        await stalled.upgrade()
        async with hub.http.ws_connect(hub.url, max_msg_size=0) as good:
            for number in range(20):  # more than the kernel's buffers take
                await append(hub.stream, _method="POST", id=f"{number}", text="x" * 1_000_000)
                await good.receive(timeout=10)
            before = time.monotonic()
            hub.stop.set()
            closed = await good.receive(timeout=10)
            assert (closed.type, closed.data) == (aiohttp.WSMsgType.CLOSE, 1012)
            assert time.monotonic() - before < 2
