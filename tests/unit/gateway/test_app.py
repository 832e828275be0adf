"""Requests are dispatched by method and headers, and the hub's own pages say how it is."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from eventhub.gateway import answering
from eventhub.gateway.admin import Condition
from eventhub.snapshots import Snapshots
from tests.unit.gateway.serving import V1, connected, running

FORWARDED = {"X-Forwarded-For": "203.0.113.9"}


async def test_readyz_lists_problems_and_notes_for_operators_only(tmp_path: Path) -> None:
    condition = Condition([], ["a note"])
    async with running(tmp_path, health=lambda: condition) as hub:
        url = hub.front.url + "/readyz"

        async def read(headers: dict[str, str] | None = None) -> tuple[int, str]:
            async with hub.http.get(url, headers=headers) as answer:
                return answer.status, await answer.text()

        assert await read() == (200, "ready\na note\n")
        assert await read(FORWARDED) == (200, "ready\n")
        condition = Condition(["the disk is full"], ["a note"])
        assert await read() == (503, "the disk is full\na note\n")
        assert await read(FORWARDED) == (503, "not ready\n")
        async with hub.http.get(hub.front.url + "/healthz") as answer:
            assert (answer.status, await answer.text()) == (200, "alive\n")


async def test_metrics_count_what_readyz_says(tmp_path: Path) -> None:
    condition = Condition(["the disk is full"], ["a note", "another"])
    async with running(tmp_path, health=lambda: condition) as hub:
        for problems, notes in ((1, 2), (0, 0)):
            async with hub.http.get(hub.front.url + "/metrics") as answer:
                text = await answer.text()
            assert f"eventhub_problems {problems}.0" in text
            assert f"eventhub_notes {notes}.0" in text
            condition = Condition([], [])


async def test_metrics_are_for_operators(tmp_path: Path) -> None:
    async with running(tmp_path) as hub:
        for headers, status in (({}, 200), (FORWARDED, 403)):
            async with hub.http.get(hub.front.url + "/metrics", headers=headers) as answer:
                assert answer.status == status
                assert ("# TYPE" in await answer.text()) is (status == 200)


async def test_one_url_is_websocket_stream_rows_and_writes(tmp_path: Path) -> None:
    async with running(tmp_path) as hub:
        async with connected(hub.port) as client:
            assert b" 101 " in await client.upgrade(V1)
        headers = {"Accept": "text/event-stream"}
        async with hub.http.get(hub.url, headers=headers) as answer:
            assert answer.content_type == "text/event-stream"
        async with hub.http.post(hub.url, json={"text": "a"}) as answer:
            assert answer.status == 201
        async with hub.http.get(hub.url) as answer:
            assert [row["text"] for row in await answer.json()] == ["a"]


async def test_options_and_other_methods_list_what_is_allowed(tmp_path: Path) -> None:
    async with running(tmp_path) as hub:
        for method, status in (("OPTIONS", 204), ("TRACE", 405)):
            async with hub.http.request(method, hub.url) as answer:
                assert answer.status == status
                assert "DELETE" in answer.headers["Allow"]


async def test_a_failure_is_logged_and_shows_the_client_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path) as hub:
        snapshots: Snapshots = hub.gateway._sources.snapshots
        monkeypatch.setattr(snapshots, "error", ValueError("a secret"))
        with capture_logs() as logs:
            async with hub.http.get(hub.url) as answer:
                assert (answer.status, "secret" in await answer.text()) == (500, False)
    assert [each["event"] for each in logs if each["log_level"] == "error"] == ["request_failed"]


async def test_an_answer_to_a_client_that_is_refused_too_often_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "BUSY_SECONDS", 0.2)
    async with running(tmp_path, auth=True) as hub:
        assert hub.front._arrivals is not None
        key = hub.front._arrivals.refused.key("127.0.0.1", b"GET /chat HTTP/1.1")
        async with connected(hub.port) as client:
            for attempt in range(2):
                client.writer.write(b"GET /chat HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                assert b" 401 " in await client.head()
                await client._reader.readuntil(b"}")
                await client._reader.readuntil(b"}")
                if attempt == 0:
                    while not hub.front._arrivals.refused.note(key):
                        pass
