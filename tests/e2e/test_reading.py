"""Every reader gets exactly the rows that its filter matches, exactly once, from any start."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import aiohttp
import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.client import Client, Closed, connect, get, request
from tests.e2e.hub import Hub, running_hub

CONFIG = """
server: {heartbeat: 0.3, max_message: 20000}
url:
  notes:
    pattern: /notes
    handler: MessageHandler
    kwargs:
      columns: {run: TEXT, topic: TEXT, body: TEXT, length: INTEGER}
  default:
    pattern: /default
    handler: MessageHandler
    kwargs:
      table: notes
      columns: {run: TEXT, topic: TEXT, body: TEXT, length: INTEGER}
      default: {topic: Help}
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """One hub for all tests of this file; `run` keeps their rows apart."""
    with running_hub(tmp_path_factory.mktemp("hub"), CONFIG) as hub:
        yield hub


@pytest.fixture
def url(hub: Hub) -> str:
    """An endpoint that only sees rows of this test, and writes them with `run`."""
    return f"{hub.url}/notes?run={uuid4().hex}"


async def post(url: str, **message: Any) -> dict[str, Any]:
    base, _, run = url.partition("?run=")
    status, receipt = await request("POST", base, json={"run": run[:32], **message})
    assert status == 201, receipt
    return dict(receipt)


async def change(method: str, url: str, **message: Any) -> dict[str, Any]:
    status, receipt = await request(method, url.partition("?")[0], json=message)
    assert status == 200, receipt
    return dict(receipt)


def without_clock(frame: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in frame.items() if k not in ("timestamp", "run", "user")}


async def test_a_bare_client_gets_rows_in_order_of_creation_without_method(url: str) -> None:
    for number in range(3):
        await post(url, id=f"{url[-8:]}{number}", body=str(number))
    async with connect(url, bare=True) as client:
        rows = [await client.receive() for _ in range(3)]
    assert [row["body"] for row in rows] == ["0", "1", "2"]
    assert list(rows[0]) == ["run", "topic", "body", "length", "id", "user", "timestamp"]


async def test_every_client_gets_the_message_as_sent_including_the_sender(url: str) -> None:
    async with connect(url, bare=True) as one, connect(url, bare=True) as two:
        await one.send({"run": url[-32:], "body": "Hello", "mood": "glad"})
        for client in (one, two):
            frame = await client.receive()
            assert frame["_method"] == "POST"
            assert (frame["body"], frame["mood"]) == ("Hello", "glad")
            assert {"id", "user", "timestamp"} <= frame.keys()
            assert "_seq" not in frame


async def test_v1_frames_carry_method_and_sequence(url: str) -> None:
    receipt = await post(url, body="first")
    async with connect(url) as client:
        [row] = await client.replay()
        assert (row["_method"], row["_seq"]) == ("POST", receipt["_seq"])
        reply = await client.write({"run": url[-32:], "body": "second"})
        assert reply["duplicate"] is False
        assert set(client.table) == {row["id"], reply["id"]}


async def test_edits_before_connecting_are_one_row(url: str) -> None:
    receipt = await post(url, body="a")
    await change("PUT", url, id=receipt["id"], body="b")
    async with connect(url) as client:
        rows = await client.replay()
    assert [(row["body"], row["_seq"] > receipt["_seq"]) for row in rows] == [("b", True)]


async def test_a_row_enters_and_leaves_a_filter(url: str) -> None:
    async with connect(url + "&topic=Help") as client:
        await client.replay()
        row_id = (await post(url, topic="Other", body="x"))["id"]
        await change("PUT", url, id=row_id, topic="Help")
        entered = await client.receive()
        assert (entered["_method"], entered["body"], entered["topic"]) == ("POST", "x", "Help")
        await change("PUT", url, id=row_id, body="y")
        changed = await client.receive()
        assert without_clock(changed) == {
            "_method": "PUT", "_seq": changed["_seq"], "id": row_id, "body": "y",
        }  # fmt: skip
        await change("PUT", url, id=row_id, topic="Other")
        left = await client.receive()
        assert without_clock(left) == {"_method": "DELETE", "_seq": left["_seq"], "id": row_id}
        await change("DELETE", url, id=row_id)
        other = await post(url, topic="Help", body="next")
        assert (await client.receive())["id"] == other["id"]


async def test_the_endpoints_default_arguments_apply_where_the_client_gives_none(
    hub: Hub, url: str
) -> None:
    run = url[-32:]
    for topic in ("Help", "Sales"):
        await post(url, topic=topic)
    assert [r["topic"] for r in await get(f"{hub.url}/default", run=run)] == ["Help"]
    assert [r["topic"] for r in await get(f"{hub.url}/default", run=run, topic="Sales")] == [
        "Sales"
    ]


async def test_picked_columns_on_replay_and_live(url: str) -> None:
    await post(url, topic="t", body="old")
    async with connect(url + "&_c=body&_c=topic") as client:
        [row] = await client.replay()
        assert list(row) == ["_method", "_seq", "body", "topic"]
        await post(url, topic="t", body="new", length=3)
        live = await client.receive()
        assert list(live) == ["_method", "_seq", "id", "body", "topic"]


async def test_sort_and_limit_shape_the_replay_only(url: str) -> None:
    for length in (2, 3, 1):
        await post(url, length=length)
    async with connect(url + "&_sort=-length&_limit=2") as client:
        assert [row["length"] for row in await client.replay()] == [3, 2]
        await post(url, length=0)
        assert (await client.receive())["length"] == 0


async def test_a_client_resumes_with_exactly_what_it_missed(url: str) -> None:
    async with connect(url) as client:
        await client.replay()
        first = await client.write({"run": url[-32:], "body": "a"})
        table, position = client.table, f"{client.position.split('.')[0]}.{first['_seq']}"
    await post(url, body="b")
    await change("PUT", url, id=first["id"], body="changed")
    async with connect(f"{url}&_since={position}") as client:
        client.table = table
        resumed = await client.receive()
        missed = await client.replay()
        assert resumed == {"_resume": {"recovered": True, "reason": "position"}}
    assert [frame["_method"] for frame in missed] == ["POST", "PUT"]
    assert sorted(row["body"] for row in client.table.values()) == ["b", "changed"]


async def test_a_position_of_another_epoch_gives_the_whole_state(url: str) -> None:
    await post(url, body="a")
    async with connect(f"{url}&_since=abc.7") as client:
        assert await client.receive() == {"_resume": {"recovered": False, "reason": "epoch"}}
        frames = await client.until(lambda frame: "_ready" in frame)
    assert [f["body"] for f in frames[:-1]] == ["a"]
    assert frames[-1]["_ready"]["recovered"] is False


@pytest.mark.parametrize("since", ["earliest", "2020-01-01T00:00:00"])
async def test_since_the_beginning_gives_every_event(url: str, since: str) -> None:
    receipt = await post(url, body="a")
    await change("PUT", url, id=receipt["id"], body="b")
    async with connect(f"{url}&_since={since}") as client:
        frames = await client.replay()
    assert [frame.get("_method") for frame in frames[1:]] == ["POST", "PUT"]


@pytest.mark.parametrize("is_time", [True, False])
async def test_since_now_and_since_the_current_time_give_only_new_events(
    url: str, is_time: bool
) -> None:
    await post(url, body="old")
    moment = datetime.now(UTC).replace(tzinfo=None).isoformat()
    async with connect(f"{url}&_since={moment if is_time else 'now'}") as client:
        assert [frame.get("body") for frame in await client.replay()] == [None]
        await post(url, body="new")
        frames = await client.until(lambda frame: "body" in frame)  # a tick may come first
        assert frames[-1]["body"] == "new"


async def test_since_minus_n_gives_the_last_n_that_match(url: str) -> None:
    for number in range(30):
        await post(url, topic="even" if number % 2 == 0 else "odd", length=number)
    async with connect(f"{url}&topic=odd&_since=-3") as client:
        frames = await client.replay()
    assert [frame["length"] for frame in frames[1:]] == [25, 27, 29]


@pytest.mark.parametrize("since", ["yesterday", "-0", "1", "abc.x", "2023-99-99", ""])
async def test_an_invalid_since_is_an_error_that_names_it(url: str, since: str) -> None:
    async with connect(f"{url}&_since={since}") as client:
        reply = (await client.receive())["_error"]
        assert (reply["code"], reply["column"]) == ("bad_position", "_since")
        with pytest.raises(Closed) as closed:
            await client.receive()
        assert closed.value.code == 4400


async def test_history_sends_events_with_old_and_new_values_and_continues_live(url: str) -> None:
    row_id = (await post(url, body="a", topic="t"))["id"]
    await change("PUT", url, id=row_id, body="b")
    async with connect(f"{url}&_replay=log") as client:
        posted, put = [await client.receive() for _ in range(2)]
        await client.receive()
        await change("DELETE", url, id=row_id)
        deleted = await client.receive()
    assert list(posted) == ["_seq", "_time", "_method", "id", "_user", "row", "was"]
    assert (posted["row"]["body"], posted["was"]) == ("a", None)
    assert (put["row"]["body"], put["was"]) == ("b", {"body": "a"})
    assert (deleted["row"], deleted["was"]["body"]) == (None, "b")
    assert datetime.fromisoformat(posted["_time"]).tzinfo is not None


async def test_ticks_send_the_position_in_silence(url: str) -> None:
    async with connect(url) as client:
        await client.replay()
        receipt = await post(url, body="a")
        await client.until(
            lambda f: "_tick" in f and int(f["_tick"].split(".")[1]) >= receipt["_seq"]
        )


async def test_server_sent_events_carry_positions_and_resume(url: str) -> None:
    first = await post(url, body="a")
    async with aiohttp.ClientSession(headers={"Accept": "text/event-stream"}) as session:
        async with session.get(url) as stream:
            assert stream.content_type == "text/event-stream"
            began, *events = [await sse_event(stream) for _ in range(3)]
        # A browser that was cut off before its first position has rows that may be outdated.
        assert began["data"]["_resume"] == {"recovered": False, "reason": "start"}
        assert [e["data"].get("body") for e in events] == ["a", None]
        position = events[1]["id"]
        assert events[1]["data"]["_ready"]["position"] == position
        await post(url, body="b")
        async with session.get(url, headers={"Last-Event-ID": position}) as stream:
            resumed = [await sse_event(stream) for _ in range(3)]
    assert resumed[0]["data"]["_resume"]["recovered"] is True
    assert resumed[1]["data"]["body"] == "b"
    assert int(resumed[1]["id"].split(".")[1]) > first["_seq"]


async def sse_event(stream: aiohttp.ClientResponse) -> dict[str, Any]:
    """Read one event (WHATWG HTML 9.2), leaving out comments, ticks and `retry:`."""
    event: dict[str, Any] = {}
    async with asyncio.timeout(40):
        while True:
            line = (await stream.content.readline()).decode().rstrip("\n")
            if line.startswith("id: "):
                event["id"] = line[4:]
            elif line.startswith("data: "):
                event["data"] = msgspec.json.decode(line[6:])
            elif not line and event and "_tick" not in event["data"]:
                return event
            elif not line:
                event = {}


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("length=abc", "bad_filter"),
        ("topic=%ff", "bad_filter"),
        ("_limit=x", "bad_filter"),
        ("_c=nosuch", "bad_filter"),
        ("_replay=events", "bad_request"),
    ],
)
async def test_a_failed_opening_is_reported_on_the_socket_and_over_http(
    hub: Hub, query: str, code: str
) -> None:
    async with connect(f"{hub.url}/notes?{query}") as client:
        assert (await client.receive())["_error"]["code"] == code
        with pytest.raises(Closed) as closed:
            await client.receive()
        assert closed.value.code == 4400
    status, reply = await request("GET", f"{hub.url}/notes?{query}")
    assert (status, reply["_error"]["code"]) == (400, code)


@pytest.mark.parametrize(("form", "expected"), [("ndjson", "{"), ("csv", "run,topic,")])
async def test_get_in_other_formats(url: str, form: str, expected: str) -> None:
    await post(url, body='a "quoted", line')
    async with aiohttp.ClientSession() as session, session.get(f"{url}&_format={form}") as answer:
        text = await answer.text()
    assert text.startswith(expected)
    assert "quoted" in text


async def test_get_sees_every_write_that_was_answered(url: str) -> None:
    for number in range(20):
        await post(url, length=number)
        rows = await get(url)
        assert [row["length"] for row in rows] == list(range(number + 1))


async def test_a_long_replay_is_complete_and_in_order(hub: Hub, url: str) -> None:
    messages = [{"run": url[-32:], "length": number, "body": "x" * 50} for number in range(3000)]
    for start in range(0, 3000, 100):
        status, receipts = await request(
            "POST", f"{hub.url}/notes", json=messages[start : start + 100]
        )
        assert status == 200
        assert all("_seq" in receipt for receipt in receipts)
    async with connect(url) as client:
        assert [row["length"] for row in await client.replay()] == list(range(3000))


async def test_joining_while_others_write_gives_no_gap_and_no_duplicate(url: str) -> None:
    async def write(number: int) -> None:
        for count in range(60):
            await post(url, length=count, topic=str(number))

    async def join(delay: float) -> Client:
        await asyncio.sleep(delay)
        async with connect(url) as client:
            await writers_done.wait()
            await client.until(lambda _: len(client.table) == 240)
            return client

    writers_done = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        joiners = [group.create_task(join(number * 0.02)) for number in range(20)]
        async with asyncio.TaskGroup() as writing:
            for number in range(4):
                writing.create_task(write(number))
        writers_done.set()
    assert all(len(joiner.result().table) == 240 for joiner in joiners)


async def snapshots_opened(hub: Hub) -> float:
    async with aiohttp.ClientSession() as session, session.get(f"{hub.url}/metrics") as answer:
        families = text_string_to_metric_families(await answer.text())
    samples = (sample for family in families for sample in family.samples)
    return sum(s.value for s in samples if s.name == "eventhub_snapshots_opened_total")


async def test_fifty_clients_at_once_share_snapshots_and_agree_with_get(hub: Hub, url: str) -> None:
    async def write(number: int) -> None:
        for count in range(15):
            row_id = (await post(url, topic=str(number), length=count))["id"]
            await change("PUT", url, id=row_id, body="changed")
            if count % 3 == 0:
                await change("DELETE", url, id=row_id)

    async def join(bare: bool) -> Client:
        async with connect(url, bare=bare) as client:
            await written.wait()
            await client.until(lambda _: last["id"] in client.table)
            return client

    for number in range(300):
        await post(url, topic="before", length=number)
    last, written, before = dict[str, Any](), asyncio.Event(), await snapshots_opened(hub)
    async with asyncio.TaskGroup() as group:
        joiners = [group.create_task(join(number % 2 == 0)) for number in range(50)]
        async with asyncio.TaskGroup() as writing:
            for number in range(4):
                writing.create_task(write(number))
        opened = await snapshots_opened(hub) - before
        last |= await post(url, topic="last")
        written.set()
    rows = {row["id"]: row for row in await get(url)}
    assert len(rows) == 300 + 4 * 10 + 1
    for joiner in joiners:  # a message has only the keys that were sent
        held = joiner.result().table
        assert {key: dict.fromkeys(rows[key]) | row for key, row in held.items()} == rows
    # How few depends on how soon they all come: tests/unit/delivery/test_replay.py counts them.
    assert 1 <= opened <= len(joiners) // 2, "clients share snapshots"


async def test_a_writer_sees_its_write_before_ready_in_a_replay_of_others(url: str) -> None:
    await post(url, body="old")
    for number in range(10):
        receipt = await post(url, body=str(number))
        async with connect(url) as client:
            frames = await client.replay()
        assert receipt["id"] in client.table
        assert all(frame["_seq"] <= int(client.position.split(".")[1]) for frame in frames)
