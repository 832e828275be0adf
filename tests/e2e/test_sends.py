"""What is not stored reaches the clients of every gateway that listen, and nothing else."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from typing import Any

import pytest

from eventhub.delivery.frames import Form
from tests.e2e.client import DEADLINE_SECONDS, Client, Frame, connect, get, request
from tests.e2e.matrix import token
from tests.e2e.surfaces import events
from tests.e2e.two_gateways import Hubs, two_gateways

CONFIG = """
broker: {{url: {url}}}
auth: {{jwt: {{secret: {secret}}}}}
server: {{limits: {{messages: 100, burst: 1}}, heartbeat: 1}}
url:
  chat:
    pattern: /chat
    handler: MessageHandler
    kwargs: {{columns: {{topic: TEXT, body: TEXT}}, send: true}}
"""


@pytest.fixture(scope="module")
def hubs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hubs]:
    with two_gateways(tmp_path_factory.mktemp("hubs"), CONFIG) as hubs:
        yield hubs


async def sent(client: Client, count: int) -> list[Frame]:
    """Return the messages of a client that are not stored, once there are some."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while len(client.sent) < count:
            await client.receive()
    return client.sent


@pytest.mark.parametrize("form", [Form.V1, Form.V2])
async def test_it_reaches_the_matching_clients_of_both_gateways(hubs: Hubs, form: Form) -> None:
    message = {"_method": "send", "topic": "Help", "typing": True}
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(connect(f"{hub.url}/chat?{query}", form=form))
            for hub in hubs
            for query in ("topic=Help", "topic=Other", "")
        ]
        for client in clients:
            await client.replay()
        status, answer = await request("POST", f"{hubs.one.url}/chat", json=message)
        assert (status, answer) == (202, {"sent": True, "ignored": ["typing"]})
        # The ones that match nothing get the second.
        other = [{**message, "topic": "Other"}]
        assert (await request("POST", f"{hubs.other.url}/chat", json=other))[0] == 200
        for number, client in enumerate(clients):
            topics = {0: ["Help"], 1: ["Other"], 2: ["Help", "Other"]}[number % 3]
            frames = await sent(client, len(topics))
            assert sorted(frame["topic"] for frame in frames) == topics
            assert frames[0].keys() == {"_method", "topic", "typing", "user", "timestamp"}
            assert frames[0]["_method"] == "SEND"
    assert await get(f"{hubs.one.url}/chat") == []
    assert await get(f"{hubs.one.url}/chat", _since="earliest") == []


async def test_a_bare_client_gets_it_and_no_answer(hubs: Hubs) -> None:
    async with connect(f"{hubs.one.url}/chat?_since=now", bare=True) as client:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not client.sent:  # a bare client does not learn when it is up to date
                await client.send({"_method": "SEND", "body": "x"})
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.5):
                        await client.receive()
        assert client.sent[0]["body"] == "x"


async def test_a_stream_of_events_gets_it_without_a_position(hubs: Hubs) -> None:
    async with events(f"{hubs.one.url}/chat", {}) as stream:
        assert not isinstance(stream, tuple)
        async with asyncio.timeout(DEADLINE_SECONDS):
            while "_ready" not in await anext(stream):
                pass
            await request("POST", f"{hubs.other.url}/chat", json={"_method": "SEND", "body": "x"})
            frame = await anext(stream)
        assert (frame["_method"], frame["body"]) == ("SEND", "x")


async def test_a_client_gets_an_answer_that_says_no_more_than_that_it_was_sent(hubs: Hubs) -> None:
    async with connect(f"{hubs.one.url}/chat?topic=Other") as client:
        await client.replay()
        assert await client.ask({"_method": "SEND", "body": "x"}) == {"_ack": "ask", "sent": True}
        refused = await client.ask({"_method": "SEND", "_key": "k"})
        assert refused["_error"]["column"] == "_key"
        # What says nothing of the log is no reason to leave out a tick.
        await client.until(lambda frame: "_tick" in frame)


async def test_a_flood_is_the_delay_of_its_sender_and_of_nobody_else(hubs: Hubs) -> None:
    loud, quiet = (token(name, boxes=[]) for name in ("loud", "quiet"))
    url, flood = f"{hubs.one.url}/chat", 400
    async with (
        connect(f"{hubs.other.url}/chat") as watcher,
        connect(url, headers=loud) as flooder,
        connect(url, headers=quiet) as other,
    ):
        for client in (watcher, flooder, other):
            await client.replay()
        for number in range(flood):
            await flooder.send({"_method": "SEND", "topic": "flood", "body": str(number)})
        await flooder.send({"_method": "SEND", "topic": "flood", "_ref": "last"})
        for number in range(5):
            assert (await other.ask({"_method": "SEND", "body": str(number)}))["sent"]

        def of_other() -> list[Any]:
            return [frame["body"] for frame in watcher.sent if frame["user"] == "quiet"]

        async with asyncio.timeout(DEADLINE_SECONDS):
            while len(of_other()) < 5:
                await watcher.receive()
        assert of_other() == ["0", "1", "2", "3", "4"]
        assert len(watcher.sent) < flood, "the rest of the flood waits for its budget"
        await flooder.until(lambda frame: frame.get("_ack") == "last")
