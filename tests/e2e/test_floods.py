"""One client that floods waits; the others do not, and neither the log nor the memory grows."""

import asyncio
import gzip
import json
from collections.abc import Iterator

import aiohttp
import pytest

from tests.bench.wire import connect as wire
from tests.bench.wire import masked
from tests.e2e.client import connect, request
from tests.e2e.hub import Hub, running_hub

CONFIG = """
server: {heartbeat: 600, stalled_after: 5}
url:
  rows:
    pattern: /rows
    handler: MessageHandler
    kwargs: {columns: {body: TEXT}}
  failing:
    pattern: /failing
    handler: MessageHandler
    kwargs: {columns: {body: TEXT}, prepare: "1 / 0"}
"""
FLOOD_BYTES = 4 << 20
PING = masked(b"", 0x89)
CRUMB = masked(b"x", 0x00)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """One hub for all tests of this file."""
    with running_hub(tmp_path_factory.mktemp("hub"), CONFIG) as hub:
        yield hub


def pushed(url: str, frames: bytes, *, first: bytes = b"") -> int:
    """Send as much as the hub takes in two seconds, and read nothing; return how much it was."""
    with wire(url) as one:
        one.sendall(first)
        one.settimeout(2)
        sent = 0
        view = memoryview(frames * (FLOOD_BYTES // len(frames)))
        try:
            while sent < len(view):
                sent += one.send(view[sent : sent + 65536])
        except TimeoutError:
            pass
        return sent


@pytest.mark.parametrize(
    ("first", "frame"),
    [(b"", masked(b"{")), (b"", PING), (masked(b"[", 0x01), CRUMB), (b"", masked(b"[0]"))],
    ids=["bad JSON", "pings", "crumbs", "refused messages"],
)
async def test_a_client_that_floods_waits_and_others_do_not(
    hub: Hub, first: bytes, frame: bytes
) -> None:
    """It is held back by its own socket: the hub does not take the flood from it."""
    async with connect(f"{hub.url}/rows?_since=now&id=nobody") as client:
        await client.replay()
        async with asyncio.TaskGroup() as group:
            floods = [
                group.create_task(
                    asyncio.to_thread(pushed, f"{hub.url}/rows?_since=now", frame, first=first)
                )
                for _ in range(2)
            ]
            while not all(each.done() for each in floods):
                assert "_ack" in await client.ask({"body": "served"})
    # What the kernel's buffers hold, and little more.
    assert all(each.result() < FLOOD_BYTES for each in floods) or frame is CRUMB


async def test_a_client_that_reads_no_answers_is_not_read_from(hub: Hub) -> None:
    """Pings as large as they may be, of which each has an answer of the same size."""
    sent = await asyncio.to_thread(pushed, f"{hub.url}/rows?_since=now", masked(b"x" * 125, 0x89))
    assert sent < FLOOD_BYTES


async def test_an_array_of_failures_is_a_few_log_lines(hub: Hub) -> None:
    before = len(hub.stderr())
    for _ in range(3):
        status, reply = await request("POST", f"{hub.url}/failing", json=[{"body": "x"}] * 10_000)
        assert status == 200
        codes = [each["_error"]["code"] for each in reply]
        assert codes == ["internal"] * 1000 + ["too_many"] * 9000
    async with connect(f"{hub.url}/failing?_since=now") as client:
        await client.replay()
        await client.send([{"body": "x", "_ref": number} for number in range(1500)])
        refused = [(await client.receive())["_error"] for _ in range(1500)]
    assert [each["ref"] for each in refused] == list(range(1500))
    assert refused[-1]["code"] == "too_many"
    lines = [json.loads(line) for line in hub.stderr()[before:].splitlines()]
    assert len([line for line in lines if line["event"] == "hook_failed"]) <= 5
    assert len(hub.stderr()) - before < 50_000


async def test_large_messages_of_many_clients_are_stored_in_the_order_of_each(hub: Hub) -> None:
    """More of them than have a place at once, of which some are given up half sent."""
    half = [await asyncio.to_thread(wire, f"{hub.url}/rows?_since=now") for _ in range(8)]
    for one in half:
        await asyncio.to_thread(one.sendall, masked(b"x" * 900_000)[:500_000])

    async def sent() -> list[int]:
        async with connect(f"{hub.url}/rows?_since=now&id=nobody") as client:
            await client.replay()
            for number in range(4):
                await client.send({"body": "x" * 300_000, "_ref": number})
            return [(await client.receive())["_ack"] for _ in range(4)]

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(sent()) for _ in range(12)]
    finally:
        for one in half:
            one.close()
    assert [task.result() for task in tasks] == [[0, 1, 2, 3]] * 12
    async with aiohttp.ClientSession() as session, session.get(f"{hub.url}/healthz") as answer:
        assert answer.status == 200


async def test_repeated_bad_bodies_wait_for_their_refusal_and_others_do_not(
    hub: Hub,
) -> None:
    bomb = gzip.compress(b" " * 3_000_000)

    async def refused() -> int:
        headers = {"Content-Encoding": "gzip"}
        return (await request("POST", f"{hub.url}/rows", data=bomb, headers=headers))[0]

    async with asyncio.TaskGroup() as group:
        bombs = [group.create_task(refused()) for _ in range(30)]
        while sum(each.done() for each in bombs) < 10:
            await asyncio.sleep(0.01)
        for _ in range(3):  # of the same address, to the same path
            assert (await request("POST", f"{hub.url}/rows", json={"body": "served"}))[0] == 201
        waiting = [each for each in bombs if not each.done()]
    assert waiting
    assert {each.result() for each in bombs} == {413}
