"""A connection that ends answers what it took before, and takes nothing more."""

from pathlib import Path

from eventhub.errors import Close
from tests.tokens import AUTH, subprotocols, token_of
from tests.unit.gateway.serving import V1, connected, running


async def test_messages_that_came_before_the_end_of_the_login_are_answered(tmp_path: Path) -> None:
    async with running(tmp_path, users=AUTH, auth=True) as hub, connected(hub.port) as client:
        await client.upgrade(subprotocols(token_of(seconds=2)))
        for number in range(50):
            client.send({"text": "x", "_ref": number})
        frames = [await client.json()]
        while "_error" not in frames[-1]:
            frames.append(await client.json())
        assert [frame["_ack"] for frame in frames if "_ack" in frame] == [*range(50)]
        client.send({"text": "too late"})
        assert await client.close_code() == Close.EXPIRED
        assert len(hub.rows()) == 50


async def test_a_hub_that_stops_answers_first(tmp_path: Path) -> None:
    async with running(tmp_path) as hub, connected(hub.port) as client:
        await client.upgrade(V1)
        assert "_ready" in await client.json()
        client.send([{"text": "x", "_ref": number} for number in range(50)])
        frames = [await client.json()]
        while not any("_ack" in frame for frame in frames):
            frames.append(await client.json())
        hub.stop.set()
        while sum("_ack" in frame for frame in frames) < 50:
            frames.append(await client.json())
        kind, payload = await client.frame()
        while kind == 1:
            kind, payload = await client.frame()
        assert int.from_bytes(payload[:2]) == Close.RESTART
