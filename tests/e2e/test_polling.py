"""A client that polls holds exactly the filtered table, with nothing missing and nothing twice."""

import asyncio
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import aiohttp
import msgspec
import pytest

from tests.e2e.client import Frame, apply_change, request
from tests.e2e.hub import Hub, HubFactory, running_hub

CONFIG = """
server: {heartbeat: 0.1}
url:
  notes:
    pattern: /notes
    handler: MessageHandler
    kwargs:
      columns: {run: TEXT, topic: TEXT, n: INTEGER}
"""
DEADLINE_SECONDS = 40.0


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """One hub for all tests of this file; `run` keeps their rows apart."""
    with running_hub(tmp_path_factory.mktemp("hub"), CONFIG) as hub:
        yield hub


class Poller:
    """A client that knows nothing but GET: rows first, then changes, applied."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._session = session
        self.position = ""
        self.table: dict[str, Frame] = {}
        self.sequence = 0

    async def get(self, **params: str) -> Any:
        async with self._session.get(self._url, params=params) as answer:
            body = msgspec.json.decode(await answer.read())
            assert answer.status == 200, body
            self.position = answer.headers["EventHub-Position"]
        return body

    async def begin(self) -> None:
        self.table = {row["id"]: row for row in await self.get()}
        self.sequence = int(self.position.rpartition(".")[2])

    async def poll(self, wait: str = "0", **params: str) -> list[Frame]:
        """Apply what has happened since the last answer."""
        frames: list[Frame] = await self.get(_since=self.position, _wait=wait, **params)
        for frame in frames:
            assert frame["_seq"] > self.sequence, "told twice, or out of order"
            self.sequence = frame["_seq"]
            assert "_method" in frame
            apply_change(self.table, frame)
        return frames


@pytest.fixture
def run() -> str:
    return uuid4().hex


async def write(hub: Hub, method: str = "POST", **message: Any) -> dict[str, Any]:
    status, receipt = await request(method, f"{hub.url}/notes", json=message)
    assert status < 300, receipt
    return dict(receipt)


async def test_a_poller_holds_the_filtered_table_while_others_write(hub: Hub, run: str) -> None:
    async def change(number: int) -> None:
        for count in range(30):
            row_id = f"{run}{number}.{count}"
            await write(hub, id=row_id, run=run, topic="ab"[count % 2], n=count)
            await write(hub, "PUT", id=row_id, topic="ab"[count // 2 % 2])
            if count % 5 == 0:
                await write(hub, "DELETE", id=row_id)

    async def follow(poller: Poller, wait: str) -> None:
        await poller.begin()
        while run + "last" not in poller.table:
            await poller.poll(wait)

    url = f"{hub.url}/notes?run={run}&topic=a"
    async with aiohttp.ClientSession() as session, asyncio.timeout(DEADLINE_SECONDS):
        pollers = [Poller(url, session) for _ in range(24)]  # more than a small crowd
        async with asyncio.TaskGroup() as following:
            for number, poller in enumerate(pollers):
                following.create_task(follow(poller, "20" if number % 3 else "0.01"))
            async with asyncio.TaskGroup() as changing:
                for number in range(3):
                    changing.create_task(change(number))
            await write(hub, id=run + "last", run=run, topic="a")
        fresh = Poller(url, session)
        await fresh.begin()
    assert len(fresh.table) > 20
    for poller in pollers:
        assert {key: row["topic"] for key, row in poller.table.items()} == {
            key: row["topic"] for key, row in fresh.table.items()
        }


async def test_a_row_enters_and_leaves_as_it_does_live(hub: Hub, run: str) -> None:
    async with aiohttp.ClientSession() as session:
        poller = Poller(f"{hub.url}/notes?run={run}&topic=Help", session)
        await poller.begin()
        await write(hub, id=run, run=run, topic="Chat", n=1)
        assert await poller.poll() == []
        await write(hub, "PUT", id=run, topic="Help")
        [entered] = await poller.poll()
        assert (entered["_method"], entered["n"], entered["topic"]) == ("POST", 1, "Help")
        await write(hub, "PUT", id=run, topic="Chat")
        [left] = await poller.poll()
        assert left == {"_method": "DELETE", "_seq": left["_seq"], "id": run}
        await write(hub, "DELETE", id=run)
        assert await poller.poll() == []


async def test_a_poll_waits_for_the_first_event_and_not_longer(hub: Hub, run: str) -> None:
    async with aiohttp.ClientSession() as session, asyncio.timeout(DEADLINE_SECONDS):
        poller = Poller(f"{hub.url}/notes?run={run}", session)
        await poller.begin()
        position = poller.position
        assert await poller.poll(wait="0.3") == []
        await write(hub, run="another", topic="x")
        assert await poller.poll() == []  # its position passed the events that do not concern it
        assert poller.position != position
        waiting = asyncio.ensure_future(poller.poll(wait="60"))
        while not waiting.done():  # the event may arrive before the wait or during it
            await write(hub, run=run, topic="x")
        assert waiting.result()


async def test_every_kind_of_start_and_form(hub: Hub, run: str) -> None:
    async with aiohttp.ClientSession() as session:
        poller = Poller(f"{hub.url}/notes?run={run}", session)
        sequences = [(await write(hub, run=run, n=n))["_seq"] for n in range(3)]
        assert [frame["_seq"] for frame in await poller.get(_since="earliest")] == sequences
        assert [frame["_seq"] for frame in await poller.get(_since="-2")] == sequences[1:]
        assert await poller.get(_since="now") == []
        assert len(await poller.get(_since="2020-01-01T00:00:00Z")) == 3
        [picked] = await poller.get(_since="-1", _c="n")
        assert picked.keys() == {"_method", "_seq", "id", "n"}
        [event] = await poller.get(_since="-1", _replay="log")
        assert (event["row"]["n"], event["was"]) == (2, None)
        url = f"{hub.url}/notes?run={run}&_since=-2&_format=ndjson"
        async with session.get(url) as answer:
            lines = (await answer.text()).splitlines()
            assert answer.content_type == "application/x-ndjson"
        assert [msgspec.json.decode(line)["_seq"] for line in lines] == sequences[1:]


async def test_waiting_polls_weigh_as_much_as_other_live_filters(hub: Hub, run: str) -> None:
    """Each looks for fifty texts of its own; a few of them are all that a client may have."""

    async def poll(number: int) -> Any:
        texts = "&".join(f"topic~={run}-{number}-{text}" for text in range(50))
        return await request("GET", f"{hub.url}/notes?_since=now&_wait=4&{texts}")

    async with asyncio.timeout(DEADLINE_SECONDS), asyncio.TaskGroup() as group:
        tasks = [group.create_task(poll(number)) for number in range(30)]
    answers = [task.result() for task in tasks]
    refused = [reply["_error"]["code"] for status, reply in answers if status != 200]
    assert 5 <= len(refused) < 30
    assert set(refused) == {"too_many_reads"}
    status, _ = await poll(30)  # those before are over, and weigh nothing any more
    assert status == 200


async def test_a_lost_position_is_gone_and_a_bad_one_is_named(hub: Hub, run: str) -> None:
    async with aiohttp.ClientSession() as session:
        poller = Poller(f"{hub.url}/notes?run={run}", session)
        await poller.begin()
    epoch, _, sequence = poller.position.rpartition(".")
    for position, reason in [(f"0{epoch}.1", "epoch"), (f"{epoch}.{int(sequence) + 99}", "ahead")]:
        for more in ("", "&_wait=5", "&_replay=log"):
            url = f"{hub.url}/notes?_since={position}{more}"
            status, reply = await request("GET", url)
            assert (status, reply["_error"]["code"]) == (410, "gone")
            assert reason in reply["_error"]["message"]
    for wrong in ("rubbish", "", "-0", "1", f"{epoch}.", "2023-13-01"):
        status, reply = await request("GET", f"{hub.url}/notes?_since={wrong}&_wait=5")
        assert (status, reply["_error"]["code"]) == (400, "bad_position"), wrong
    for wrong in ("-1", "61", "abc", "", "1e1", "\N{ARABIC-INDIC DIGIT ONE}", "nan", "1_0"):
        status, reply = await request("GET", f"{hub.url}/notes?_since=now&_wait={wrong}")
        assert (status, reply["_error"]["column"]) == (400, "_wait"), wrong


async def test_a_large_answer_is_cut_and_the_next_continues_from_there(hub: Hub, run: str) -> None:
    for start in range(0, 25_000, 5000):
        numbered = [{"run": run, "n": number} for number in range(start, start + 5000)]
        status, _ = await request("POST", f"{hub.url}/notes", json=numbered)
        assert status == 200
    async with aiohttp.ClientSession() as session, asyncio.timeout(DEADLINE_SECONDS):
        poller = Poller(f"{hub.url}/notes?run={run}", session)
        poller.position = "earliest"
        numbers: list[int] = []
        sizes = []
        while len(numbers) < 25_000:
            frames = await poller.poll(wait="10")
            numbers += [frame["n"] for frame in frames]
            sizes.append(len(frames))
    assert numbers == list(range(25_000))
    assert max(sizes) < 11_000


async def test_a_hub_that_stops_answers_waiting_polls(hub_factory: HubFactory) -> None:
    hub = hub_factory(CONFIG)
    host, port = hub.url.removeprefix("http://").split(":")
    async with asyncio.timeout(DEADLINE_SECONDS):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /notes?_since=now&_wait=60 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        await writer.drain()
        status, _ = await request("GET", f"{hub.url}/notes")  # so the other was read before
        assert status == 200
        assert await asyncio.to_thread(hub.stop) == 0
        answer = await reader.read()
        writer.close()
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"\r\nEventHub-Position: " in answer
    assert answer.endswith(b"\r\n\r\n[]")
