"""A table over plain HTTP: rows in three formats, and messages with their receipts."""

import csv
import io
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.unit.gateway.serving import Running, running


async def post(hub: Running, *messages: dict[str, Any]) -> list[Any]:
    """Store messages; return their receipts."""
    async with hub.http.post(hub.url, json=list(messages)) as answer:
        assert answer.status == 200
        receipts: list[Any] = await answer.json()
    return receipts


async def read(hub: Running, query: str = "") -> tuple[str, bytes]:
    """Return the content type and the body of a GET."""
    async with hub.http.get(hub.url + query) as answer:
        assert answer.status == 200, await answer.text()
        return answer.content_type, await answer.read()


@pytest.mark.parametrize("count", [0, 1, 5])
async def test_every_format_holds_the_same_rows(tmp_path: Path, count: int) -> None:
    texts = ["plain", 'a "quote", a comma', "two\nlines", "", "NULL"][:count]
    async with running(tmp_path) as hub:
        if texts:
            await post(hub, *({"text": text, "votes": 7} for text in texts))
        kind, body = await read(hub)
        rows = msgspec.json.decode(body)
        assert (kind, [row["text"] for row in rows]) == ("application/json", texts)
        kind, body = await read(hub, "?_format=ndjson")
        assert kind == "application/x-ndjson"
        assert [msgspec.json.decode(line) for line in body.splitlines()] == rows
        kind, body = await read(hub, "?_format=csv&_c=text&_c=votes")
        table = list(csv.reader(io.StringIO(body.decode(), newline="")))
        assert (kind, table) == ("text/csv", [["text", "votes"], *([t, "7"] for t in texts)])


async def test_null_is_empty_in_csv_and_a_text_is_not(tmp_path: Path) -> None:
    async with running(tmp_path) as hub:
        await post(hub, {"text": "a"}, {"text": None, "votes": 1})
        _, body = await read(hub, "?_format=csv&_c=text&_c=votes")
        assert body == b"text,votes\r\na,\r\n,1\r\n"


async def test_head_has_the_headers_of_get_and_no_body(tmp_path: Path) -> None:
    async with running(tmp_path) as hub:
        await post(hub, {"text": "a"})
        async with hub.http.get(hub.url) as get, hub.http.head(hub.url) as head:
            for name in ("Content-Type", "EventHub-Position", "Cache-Control"):
                assert head.headers[name] == get.headers[name]
            assert await head.read() == b""


async def test_a_write_is_answered_by_its_receipt_and_its_status(tmp_path: Path) -> None:
    async with running(tmp_path) as hub:
        steps: list[tuple[str, dict[str, Any], int]] = [
            ("POST", {"id": "a", "text": "1", "_key": "k"}, 201),
            ("POST", {"id": "a", "text": "1", "_key": "k"}, 200),  # a retry
            ("PUT", {"id": "a", "text": "2"}, 200),
            ("POST", {"id": "a", "text": "3"}, 409),
            ("DELETE", {"id": "a"}, 200),
            ("PUT", {"id": "a", "text": "4"}, 404),
            ("PUT", {"id": "b", "text": "5", "_method": "POST"}, 201),
        ]
        for method, message, status in steps:
            async with hub.http.request(method, hub.url, json=message) as answer:
                assert answer.status == status, await answer.text()
        assert [row["text"] for row in hub.rows()] == ["1", "2", "5"]


async def test_an_array_is_answered_message_by_message(tmp_path: Path) -> None:
    async with running(tmp_path) as hub:
        first, second = await post(hub, {"text": "a"}, {"votes": "x"})
        assert first["_seq"] == 1
        assert second["_error"]["column"] == "votes"


@pytest.mark.parametrize("header", ["Idempotency-Key", "If-Match"])
async def test_headers_about_one_message_do_not_fit_an_array(tmp_path: Path, header: str) -> None:
    async with running(tmp_path) as hub:
        async with hub.http.post(hub.url, json=[{"text": "a"}], headers={header: "1"}) as answer:
            assert (answer.status, (await answer.json())["_error"]["code"]) == (400, "bad_control")
        assert hub.rows() == []


async def test_controls_belong_in_the_message_and_not_in_its_url(tmp_path: Path) -> None:
    async with running(tmp_path) as hub:
        async with hub.http.post(hub.url + "?_key=1", json={"text": "a"}) as answer:
            assert (await answer.json())["_error"]["column"] == "_key"
        assert hub.rows() == []


async def test_history_needs_a_start(tmp_path: Path) -> None:
    async with running(tmp_path) as hub, hub.http.get(hub.url + "?_replay=log") as answer:
        assert "_since=earliest" in (await answer.json())["_error"]["message"]
