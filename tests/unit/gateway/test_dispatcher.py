"""Messages are stored through the endpoint, and as the client, that their frame is for."""

from pathlib import Path

from tests.subscribing import Frame, eventually
from tests.tokens import AUTH, token_of
from tests.unit.gateway.serving import connected, running
from tests.unit.gateway.sharing import opened, subscribe


async def test_messages_are_stored_through_the_endpoint_of_their_subscription(
    tmp_path: Path,
) -> None:
    default = {"POST": {"text": "handler.get_arg('text') + ' ' + handler.request.path"}}
    async with opened(tmp_path, message_default=default) as (hub, client):
        subscribe(client, 1, "text=x")
        client.send({"_subscribe": 2, "path": "/chat/r", "query": "text=y"})
        client.send({"_sub": 2, "_ref": 1})
        client.send([{"_sub": 1, "_ref": 2}, {"_sub": 1, "_ref": 3, "votes": "no"}])
        found: list[Frame] = []
        while len(found) < 3:
            frame = await client.json()
            found += [frame] if "_ack" in frame or "_error" in frame else []
        assert [each.get("_ack") for each in found] == [1, 2, None]
        assert found[2]["_error"]["ref"] == 3
        assert [row["text"] for row in hub.rows()] == ["y /chat/r", "x /chat"]


async def test_a_token_of_a_bare_client_is_no_command(tmp_path: Path) -> None:
    """It could not be told of the outcome."""
    async with running(tmp_path, users=AUTH) as hub, connected(hub.port) as client:
        await client.upgrade()
        client.send({"_auth": token_of()})
        assert (await client.json())["_error"]["code"] == "bad_control"
        client.send({"text": "x"})
        await eventually(hub.rows)
        assert hub.rows()[0]["user"] is None
