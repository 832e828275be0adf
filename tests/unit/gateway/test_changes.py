"""A poll answers with the events since a position, as soon as there are some."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from eventhub.gateway import changes
from tests.subscribing import append, eventually
from tests.unit.gateway.serving import Running, running


class Poller:
    """A client that polls from where it is."""

    def __init__(self, hub: Running) -> None:
        self._hub = hub
        self.position = ""

    async def start(self) -> None:
        async with self._hub.http.get(self._hub.url) as answer:
            self.position = answer.headers["EventHub-Position"]

    async def poll(self, query: str = "") -> tuple[int, Any]:
        url = f"{self._hub.url}?_since={self.position}{query}"
        async with self._hub.http.get(url) as answer:
            self.position = answer.headers.get("EventHub-Position", self.position)
            return answer.status, msgspec.json.decode(await answer.read())

    async def texts(self, query: str = "") -> list[str]:
        status, frames = await self.poll(query)
        assert status == 200, frames
        return [frame["text"] for frame in frames]


async def test_each_event_is_in_one_answer(tmp_path: Path) -> None:
    async with running(tmp_path) as hub:
        poller = Poller(hub)
        await poller.start()
        assert await poller.texts() == []
        for number in range(3):
            await append(hub.stream, _method="POST", id=f"{number}", text=f"{number}")
        assert await poller.texts() == ["0", "1", "2"]
        assert await poller.texts() == []


async def test_a_poll_waits_for_the_first_event_that_matches(tmp_path: Path) -> None:
    async with running(tmp_path) as hub, asyncio.TaskGroup() as group:
        poller = Poller(hub)
        await poller.start()
        waiting = group.create_task(poller.texts("&_wait=60&text=b"))
        await eventually(lambda: len(hub.gateway._live.changes._waiting) == 1)
        await append(hub.stream, _method="POST", id="1", text="a")
        await append(hub.stream, _method="POST", id="2", text="b")
        assert await waiting == ["b"]
        assert not hub.gateway._live.changes._waiting


async def test_a_full_answer_ends_and_the_next_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "MAX_EVENTS", 2)
    async with running(tmp_path) as hub:
        poller = Poller(hub)
        await poller.start()
        for number in range(5):
            await append(hub.stream, _method="POST", id=f"{number}", text=f"{number}")
        found: list[str] = []
        while len(found) < 5:
            more = await poller.texts()
            assert more
            found += more
        assert found == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize(
    ("since", "status", "code"),
    [("another.1", 410, "gone"), ("yesterday", 400, "bad_position")],
)
async def test_a_position_that_cannot_be_resumed_is_an_error(
    tmp_path: Path, since: str, status: int, code: str
) -> None:
    async with running(tmp_path) as hub:
        poller = Poller(hub)
        poller.position = since
        found, body = await poller.poll()
        assert (found, body["_error"]["code"]) == (status, code)


async def test_a_stop_answers_a_waiting_poll_with_what_there_is(tmp_path: Path) -> None:
    async with asyncio.TaskGroup() as group, running(tmp_path) as hub:
        poller = Poller(hub)
        await poller.start()
        waiting = group.create_task(poller.poll("&_wait=60"))
        await eventually(lambda: len(hub.gateway._live.changes._waiting) == 1)
        await hub.gateway._live.stop()
        assert await waiting == (200, [])


async def test_ndjson_has_one_event_a_line(tmp_path: Path) -> None:
    async with running(tmp_path) as hub:
        await append(hub.stream, _method="POST", id="1", text="a")
        await append(hub.stream, _method="DELETE", id="1")
        async with hub.http.get(hub.url + "?_since=earliest&_format=ndjson") as answer:
            assert answer.content_type == "application/x-ndjson"
            lines = (await answer.text()).splitlines()
        assert [msgspec.json.decode(line)["_method"] for line in lines] == ["POST", "DELETE"]
