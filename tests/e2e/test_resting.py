"""A gateway follows a table for its clients only; a table that rests loses and repeats nothing."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import nats
import pytest

from tests.e2e.client import DEADLINE_SECONDS, connect, get, request, subscribe
from tests.e2e.hub import Hub
from tests.e2e.matrix import SECRET, token
from tests.e2e.two_gateways import Hubs, two_gateways
from tests.nats_server import nats_server
from tests.ports import free_port
from tests.waiting import until

REST_SECONDS = 0.3
PROGRAM = ("tests.e2e.soon_resting", str(REST_SECONDS))
FLAGS = ("--role", "gateway")
CONFIG = """
log: {{level: info}}
broker: {{url: '{url}'}}
auth: {{jwt: {{secret: {secret}}}}}
url:
  notes:
    pattern: /notes
    handler: MessageHandler
    kwargs: {{send: true, presence: true, columns: {{body: TEXT, n: INTEGER}}}}
  few:
    pattern: /few
    handler: MessageHandler
    kwargs: {{quota: {{rows: 5}}, columns: {{body: TEXT}}}}
  own:
    pattern: /own
    handler: MessageHandler
    kwargs:
      columns: {{user: TEXT, body: TEXT}}
      rules: {{read: user=$user.id, update: own, delete: own}}
  sql:
    pattern: /sql
    handler: SQLHandler
    kwargs: {{tables: [notes]}}
"""


@pytest.fixture(scope="module")
def hubs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hubs]:
    """Two gateways without any other role, whose tables rest soon."""
    folder = tmp_path_factory.mktemp("resting")
    with two_gateways(folder, CONFIG, FLAGS, PROGRAM) as both:
        yield both


def followed(hub: Hub) -> set[str]:
    """Return the tables that a gateway follows, by its metrics."""
    return asyncio.run(_followed(hub))


async def _followed(hub: Hub) -> set[str]:
    async with aiohttp.ClientSession() as session, session.get(f"{hub.url}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    prefix = 'eventhub_followed{channel="'
    ours = (line.removeprefix(prefix) for line in lines if line.startswith(prefix))
    return {line.partition('"')[0] for line in ours if line.endswith(" 1.0")}


async def resting(*hubs: Hub) -> None:
    """Wait until the gateways follow no table."""
    for hub in hubs:
        await asyncio.to_thread(until, lambda hub=hub: not followed(hub))


async def consumers(hub: Hub, table: str) -> int:
    """Return how many consumers the stream of a table has on the server of a gateway."""
    url = hub.config.read_text().partition("broker: {url: '")[2].partition("'")[0]
    connection = await nats.connect(url)
    try:
        answer = await connection.request(f"$JS.API.STREAM.INFO.EH_{table}", b"", timeout=5)
        return int(msgspec.json.decode(answer.data)["state"]["consumer_count"])
    finally:
        await connection.close()


async def unfollowed(hub: Hub, table: str) -> None:
    """Wait until no process follows a table; the end of a consumer is not waited for by its hub."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while await consumers(hub, table):
            await asyncio.sleep(0.05)


async def write(hub: Hub, method: str, row_id: str, *, path: str = "notes", **values: Any) -> Any:
    """Write to a row, and return the receipt."""
    message = {"_method": method, "id": row_id, **values}
    status, answer = await request("POST", f"{hub.url}/{path}", json=message)
    assert status < 300, answer
    return answer


@pytest.fixture
async def rows(hubs: Hubs) -> dict[str, int]:
    """The table, which rests at both gateways after the other one has changed it."""
    for row in await get(f"{hubs.other.url}/notes"):
        await write(hubs.other, "DELETE", row["id"])
    for number in range(4):
        await write(hubs.other, "POST", f"r{number}", n=number)
    await write(hubs.other, "PUT", "r1", n=10)
    await write(hubs.other, "DELETE", "r2")
    await resting(*hubs)
    await unfollowed(hubs.one, "notes")
    return {"r0": 0, "r1": 10, "r3": 3}


def values_of(rows: Sequence[Any]) -> dict[str, int]:
    return {row["id"]: row["n"] for row in rows}


async def test_an_unused_table_has_no_consumer_and_its_gateway_is_ready(
    hubs: Hubs, rows: dict[str, int]
) -> None:
    assert await _is_ready(hubs.one)
    await write(hubs.one, "POST", "r4", n=4)  # a writer is no reader
    assert await consumers(hubs.one, "notes") == 0
    assert values_of(await get(f"{hubs.one.url}/notes")) == {**rows, "r4": 4}
    assert await consumers(hubs.one, "notes") > 0


@pytest.mark.parametrize("opened", [connect, subscribe])
async def test_the_first_client_gets_exactly_the_rows_and_then_every_change(
    hubs: Hubs, rows: dict[str, int], opened: Any
) -> None:
    async with opened(f"{hubs.one.url}/notes") as client:
        await client.replay()
        assert values_of(list(client.table.values())) == rows
        await write(hubs.other, "POST", "r5", n=5)
        await write(hubs.one, "PUT", "r0", n=7)
        await client.until(lambda frame: frame.get("id") == "r0" and frame.get("n") == 7)
        assert values_of(list(client.table.values())) == {**rows, "r5": 5, "r0": 7}
        await asyncio.sleep(3 * REST_SECONDS)  # it does not rest while the client is there
        assert await _followed(hubs.one) == {"notes"}
    await resting(hubs.one)
    await unfollowed(hubs.one, "notes")


async def test_a_client_resumes_at_its_position_on_a_table_that_rests(
    hubs: Hubs, rows: dict[str, int]
) -> None:
    async with connect(f"{hubs.one.url}/notes") as client:
        await client.replay()
        position = client.position
    await resting(hubs.one)
    for number in range(5, 8):
        await write(hubs.other, "POST", f"r{number}", n=number)
    async with connect(f"{hubs.one.url}/notes?_since={position}") as client:
        frames = await client.replay()
    assert [frame["id"] for frame in frames if "id" in frame] == ["r5", "r6", "r7"]
    await resting(hubs.one)
    missed = await get(f"{hubs.one.url}/notes", _since=position, _wait="0")
    assert [event["id"] for event in missed] == ["r5", "r6", "r7"]


@pytest.mark.parametrize(
    "path",
    [
        "/notes?_c=n&_c=id",
        "/notes/r1",
        "/notes?id=r1&_history=true",
        "/notes?_as_of=3",
        "/notes.parquet",
        "/notes?_since=earliest&_wait=0",
    ],
)
async def test_each_way_of_reading_wakes_a_table(
    hubs: Hubs, rows: dict[str, int], path: str
) -> None:
    async with aiohttp.ClientSession() as session:
        answers = []
        for hub in (hubs.one, hubs.other):
            async with session.get(f"{hub.url}{path}") as answer:
                assert answer.status == 200, await answer.text()
                answers.append(await answer.read())
            await write(hubs.other, "PUT", "r1", n=10)
            await resting(*hubs)
    assert answers[0]


async def test_a_query_sees_what_was_written_while_its_tables_rested(
    hubs: Hubs, rows: dict[str, int]
) -> None:
    asked = {"sql": "SELECT id, n FROM notes ORDER BY id"}
    for number in range(5, 8):
        await unfollowed(hubs.one, "notes")
        await write(hubs.other, "POST", f"r{number}", n=number)
        rows[f"r{number}"] = number
        assert values_of(await get(f"{hubs.one.url}/sql", **asked)) == rows


async def test_a_writer_to_a_table_that_rests_is_answered_as_on_any_other(
    hubs: Hubs, rows: dict[str, int]
) -> None:
    url = f"{hubs.one.url}/notes"
    assert (await request("POST", url, json={"id": "r0", "n": 1}))[0] == 409
    assert (await request("PUT", url, json={"id": "r2", "n": 1}))[0] == 404
    changed = await write(hubs.one, "PUT", "r1", body="mine")
    await write(hubs.other, "PUT", "r1", n=11)  # not seen by a gateway that does not follow
    stale = {"id": "r1", "n": 12, "_if_seq": changed["_seq"]}
    assert (await request("PUT", url, json=stale))[0] == 412
    await write(hubs.one, "PUT", "r1", body="mine too")
    assert (await request("PUT", f"{url}/r3?_upsert=true", json={"n": 33}))[0] == 200
    await write(hubs.other, "DELETE", "r3")
    assert (await request("PUT", f"{url}/r3?_upsert=true", json={"n": 34}))[0] == 201
    assert await consumers(hubs.one, "notes") == 0
    assert await get(url, id="r1") == await get(f"{hubs.other.url}/notes", id="r1")
    assert values_of(await get(url)) == {**rows, "r1": 11, "r3": 34}


async def test_a_retry_finds_its_first_attempt_from_while_the_table_rested(
    hubs: Hubs, rows: dict[str, int]
) -> None:
    message = {"id": "k", "n": 1, "_key": f"key {len(rows)}"}
    async with connect(f"{hubs.one.url}/notes") as client:
        await client.replay()
    await resting(hubs.one)
    status, first = await request("POST", f"{hubs.other.url}/notes", json=message)
    assert status == 201
    await write(hubs.other, "PUT", "k", n=2)
    for _ in range(2):  # at rest, and followed again
        again = await request("POST", f"{hubs.one.url}/notes", json=message)
        assert again == (200, {**first, "duplicate": True})
        await get(f"{hubs.one.url}/notes")


async def test_a_quota_counts_what_was_written_while_the_table_rested(hubs: Hubs) -> None:
    for number in range(2):
        await write(hubs.one, "POST", f"one{number}", path="few")
    await resting(*hubs)
    for number in range(2):
        await write(hubs.other, "POST", f"other{number}", path="few")
    await resting(*hubs)
    await write(hubs.one, "POST", "last", path="few")
    for hub in hubs:
        status, answer = await request("POST", f"{hub.url}/few", json={"id": "more"})
        assert (status, answer["_error"]["code"]) == (429, "quota_exceeded")


async def test_what_is_not_stored_and_presence_need_no_table_that_is_followed(
    hubs: Hubs, rows: dict[str, int]
) -> None:
    async with connect(f"{hubs.other.url}/notes") as client:
        await client.replay()
        await write(hubs.one, "SEND", "typing", body="...")
        await client.until(lambda _: client.sent)
        assert await _followed(hubs.one) == set()


async def test_who_is_connected_is_known_at_a_gateway_whose_table_rests(
    hubs: Hubs, rows: dict[str, int]
) -> None:
    one, other = (f"{hub.url}/notes?_presence" for hub in hubs)
    async with connect(one, headers=token("ann", boxes=[])) as watcher:
        await watcher.until(lambda frame: "_ready" in frame)
        assert await _followed(hubs.other) == set()
        listed = [(each["table"], each["user"]) for each in await connections(hubs.one)]
        assert listed == [("notes", "ann")]
        assert await connections(hubs.other) == []
        async with connect(other, headers=token("bob", boxes=[])) as late:
            await late.until(lambda frame: seen(frame, "ann", "users", "join"))
            await watcher.until(lambda frame: seen(frame, "bob", "join"))
        await watcher.until(lambda frame: seen(frame, "bob", "leave"))
        await resting(hubs.other)
        assert await connections(hubs.other) == []


async def connections(hub: Hub) -> list[dict[str, Any]]:
    """Return the connections of a gateway, as an operator sees them."""
    status, found = await request("GET", f"{hub.url}/-/connections")
    assert status == 200, found
    return list(found)


def seen(frame: dict[str, Any], user: str, *changes: str) -> bool:
    """Tell whether a frame names a user in one of its lists."""
    told = frame.get("_presence", {})
    return any(user == each["user"] for change in changes for each in told.get(change, ()))


async def test_rules_judge_a_row_that_changed_while_its_table_rested(
    hubs: Hubs,
) -> None:
    ann, bob = (token(name, boxes=[]) for name in ("ann", "bob"))
    one, other = (f"{hub.url}/own" for hub in hubs)
    await resting(*hubs)
    for user, row in ((ann, "a"), (bob, "b")):
        status, answer = await request("POST", one, json={"id": row, "body": "1"}, headers=user)
        assert status == 201, answer
    assert await consumers(hubs.other, "own") == 0
    for method in ("PUT", "DELETE"):
        status, _ = await request(method, other, json={"id": "a", "body": "2"}, headers=bob)
        assert status in (403, 404)
    assert (await request("PUT", other, json={"id": "a", "body": "2"}, headers=ann))[0] == 200
    assert (await request("DELETE", other, json={"id": "b"}, headers=bob))[0] == 200
    for url in (one, other):
        for user, bodies in ((ann, ["2"]), (bob, [])):
            status, found = await request("GET", url, headers=user)
            assert (status, [row["body"] for row in found]) == (200, bodies)


async def test_a_server_that_is_lost_while_tables_rest_loses_nothing(tmp_path: Path) -> None:
    settings = {
        "listen": f"127.0.0.1:{free_port()}",
        "jetstream": {"store_dir": str(tmp_path / "store"), "sync_interval": "always"},
    }
    folder = tmp_path / "hub"
    folder.mkdir()
    with nats_server(tmp_path / "nats", settings) as url:
        (folder / "eventhub.yaml").write_text(CONFIG.format(url=url, secret=SECRET))
        hub = Hub(folder / "eventhub.yaml", folder, [*FLAGS], PROGRAM)
        await asyncio.to_thread(hub.start)
        await write(hub, "POST", "before", n=1)
        assert values_of(await get(f"{hub.url}/notes")) == {"before": 1}
        await resting(hub)
    try:
        status, answer = await request("GET", f"{hub.url}/notes")
        assert (status, answer["_error"]["code"]) == (
            503,
            "unavailable",
        )  # it may be behind: no old rows
        await asyncio.to_thread(forget_ports, tmp_path / "nats")
        with nats_server(tmp_path / "nats", settings):
            await asyncio.to_thread(until, lambda: asyncio.run(_is_ready(hub)))
            await write(hub, "POST", "after", n=2)
            async with connect(f"{hub.url}/notes") as client:
                await client.replay()
                assert values_of(list(client.table.values())) == {"before": 1, "after": 2}
    finally:
        await asyncio.to_thread(hub.kill)


def forget_ports(folder: Path) -> None:
    """Remove what a killed nats-server has said of its ports."""
    for path in folder.glob("*.ports"):
        path.unlink()


async def _is_ready(hub: Hub) -> bool:
    async with aiohttp.ClientSession() as session, session.get(f"{hub.url}/readyz") as answer:
        return answer.status == 200
