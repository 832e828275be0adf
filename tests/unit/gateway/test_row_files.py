"""Requests for the file of an endpoint's rows share it, and its parts fit together."""

import asyncio
from pathlib import Path

import pytest

from eventhub.gateway import kept_file, kept_files
from tests.unit.gateway.serving import Running, running


async def post(hub: Running, *texts: str) -> None:
    async with hub.http.post(hub.url, json=[{"text": text} for text in texts]) as answer:
        assert answer.status == 200


async def read(hub: Running, method: str = "GET", **headers: str) -> tuple[int, str, bytes]:
    """Return status, entity tag and body of `/chat.ndjson`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with hub.http.request(method, f"{hub.url}.ndjson?_c=text", headers=named) as answer:
        return answer.status, answer.headers.get("ETag", ""), await answer.read()


async def test_requests_at_the_same_time_get_one_file(tmp_path: Path) -> None:
    async with running(tmp_path) as hub:
        await post(hub, "a", "b")
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(read(hub, method)) for method in ["HEAD", "GET"] * 10]
        tags = {tag for _, tag, _ in (task.result() for task in tasks)}
        assert len(tags) == 1
        assert {task.result()[2] for task in tasks} == {b"", b'{"text":"a"}\n{"text":"b"}\n'}


async def test_a_footer_is_of_the_current_rows_and_other_parts_go_on_in_its_file(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as hub:
        await post(hub, "a")
        _, first, _ = await read(hub, "HEAD")
        await post(hub, "b")
        assert await read(hub, Range="bytes=0-3") == (206, first, b'{"te')
        status, second, body = await read(hub, Range="bytes=-4")
        assert (status, body) == (206, b'b"}\n')
        assert second != first
        assert await read(hub, Range="bytes=21-") == (206, second, b'"b"}\n')


async def test_a_file_that_is_gone_is_made_again_for_a_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_files, "KEPT_SECONDS", 0.0)
    async with running(tmp_path) as hub:
        await post(hub, "a")
        _, first, _ = await read(hub)
        async with asyncio.timeout(40):
            while (await read(hub, Range="bytes=0-3", If_Range=first))[0] == 206:
                await asyncio.sleep(0.01)
        status, again, body = await read(hub, Range="bytes=0-3")
        assert (status, body) == (206, b'{"te')
        assert again != first
        assert (await read(hub, If_Match=first))[0] == 412
        # The rows are the same: a client that has them need not get them again.
        assert (await read(hub, If_None_Match=first))[0] == 304


async def test_a_full_disk_is_an_error_that_a_client_may_retry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path) as hub:
        await post(hub, "a")
        with monkeypatch.context() as patch:
            patch.setattr(kept_file, "RESERVED_BYTES", 1 << 62)
            status, _, body = await read(hub)
            assert (status, b'"retry":true' in body) == (503, True)
        assert (await read(hub))[0] == 200
