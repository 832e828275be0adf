"""What one client sends is stored in its order, bounded, and answered by its reference."""

from pathlib import Path
from typing import Any

import pytest

from eventhub.config import Server
from eventhub.gateway import inbox as inbox_module
from eventhub.gateway.inbox import Inbox
from eventhub.gateway.large import LARGE_BYTES
from tests.unit.gateway.serving import V1, Client, Running, connected, running

SMALL = Server(host="127.0.0.1", port=0, max_message=200_000)


async def opened(client: Client, headers: bytes = V1) -> Client:
    """Open a WebSocket, and read past the replay."""
    await client.upgrade(headers)
    if headers:
        assert "_ready" in await client.json()
    return client


async def answers(client: Client, count: int) -> list[Any]:
    """Return the next answers; broadcasts between them are left out."""
    found: list[Any] = []
    while len(found) < count:
        frame = await client.json()
        if "_ack" in frame or "_error" in frame:
            found.append(frame)
    return found


def texts(hub: Running) -> list[Any]:
    return [row["text"] for row in hub.rows()]


async def test_messages_are_stored_in_the_order_they_were_sent(tmp_path: Path) -> None:
    async with running(tmp_path) as hub, connected(hub.port) as client:
        await opened(client)
        for number in range(500):
            client.send({"text": f"{number}", "_ref": number})
        assert [each["_ack"] for each in await answers(client, 500)] == [*range(500)]
        assert texts(hub) == [f"{number}" for number in range(500)]


async def test_so_many_messages_are_being_stored_at_once_and_the_others_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox_module, "MAX_UNANSWERED", 4)
    most, submit = 0, Inbox._submit

    def watched(inbox: Inbox, message: Any) -> bool:
        nonlocal most
        is_submitted = submit(inbox, message)
        most = max(most, inbox._unanswered)
        return is_submitted

    monkeypatch.setattr(Inbox, "_submit", watched)
    async with running(tmp_path) as hub, connected(hub.port) as client:
        await opened(client)
        client.send([{"text": f"{number}", "_ref": number} for number in range(50)])
        assert len(await answers(client, 50)) == 50
        assert most == 4


async def test_a_message_that_needs_its_row_waits_for_those_before_it(tmp_path: Path) -> None:
    async with running(tmp_path) as hub, connected(hub.port) as client:
        await opened(client)
        client.send({"id": "a", "text": "first", "_ref": 1})
        client.send({"_method": "PUT", "id": "a", "text": "second", "_ref": 2})
        client.send({"text": "third", "_ref": 3})
        assert [each["_ack"] for each in await answers(client, 3)] == [1, 2, 3]
        assert texts(hub) == ["first", "second", "third"]


async def test_each_message_of_an_array_is_answered_alone(tmp_path: Path) -> None:
    async with running(tmp_path) as hub, connected(hub.port) as client:
        await opened(client)
        client.send([{"text": "a", "_ref": 1}, {"votes": "x", "_ref": 2}, {"text": "c"}, 4])
        found = await answers(client, 3)  # refusals need not wait for the log
        assert [each["_ack"] for each in found if "_ack" in each] == [1]
        errors = [each["_error"] for each in found if "_error" in each]
        assert [(each["code"], each.get("ref")) for each in errors] == [
            ("bad_value", 2),
            ("bad_json", None),
        ]
        assert texts(hub) == ["a", "c"]


@pytest.mark.parametrize(
    ("text", "code"), [(b"{", "bad_json"), (b'"%s"' % (b"x" * 200_000), "too_large")]
)
async def test_a_frame_that_cannot_be_read_is_refused_and_the_next_is_stored(
    tmp_path: Path, text: bytes, code: str
) -> None:
    async with running(tmp_path, SMALL) as hub, connected(hub.port) as client:
        await opened(client)
        client.send(text)
        client.send({"text": "good", "_ref": 1})
        refused, stored = await answers(client, 2)
        assert refused["_error"]["code"] == code
        assert stored["_ack"] == 1
        assert texts(hub) == ["good"]


async def test_a_large_message_keeps_its_place(tmp_path: Path) -> None:
    async with running(tmp_path, SMALL) as hub, connected(hub.port) as client:
        await opened(client)
        long = "x" * LARGE_BYTES
        for number, text in enumerate(("before", long, "after")):
            client.send({"text": text, "_ref": number})
        assert [each["_ack"] for each in await answers(client, 3)] == [0, 1, 2]
        assert texts(hub) == ["before", long, "after"]


async def test_after_too_many_refusals_the_rest_of_an_array_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox_module, "MAX_REFUSED", 3)
    monkeypatch.setattr(inbox_module, "REFUSAL_SECONDS", 0.0)
    async with running(tmp_path) as hub, connected(hub.port) as client:
        await opened(client)
        client.send([{"votes": "x"}] * 6 + [{"text": "good"}])
        codes = [each["_error"]["code"] for each in await answers(client, 7)]
        assert codes == ["bad_value"] * 4 + ["too_many"] * 3
        client.send({"text": "good", "_ref": 1})
        assert (await answers(client, 1))[0]["_ack"] == 1
        assert texts(hub) == ["good"]


async def test_a_bare_client_hears_of_refusals_and_retries_only(tmp_path: Path) -> None:
    async with running(tmp_path) as hub, connected(hub.port) as client:
        await opened(client, b"")
        for message in ({"text": "a", "_key": "k"}, {"text": "a", "_key": "k"}, {"votes": "x"}):
            client.send(message)
        codes = {each["_error"]["code"] for each in await answers(client, 2)}
        assert codes == {"duplicate", "bad_value"}
        assert texts(hub) == ["a"]


async def test_messages_before_a_close_frame_are_stored_and_answered(tmp_path: Path) -> None:
    async with running(tmp_path) as hub, connected(hub.port) as client:
        await opened(client)
        for number in range(20):
            client.send([{"text": f"{number}", "_ref": number}])
        client.send(b"\x03\xe8", 0x88)
        assert [each["_ack"] for each in await answers(client, 20)] == [*range(20)]
        kind, _ = await client.frame()
        while kind == 1:
            kind, _ = await client.frame()
        assert kind == 8
        assert len(texts(hub)) == 20


async def test_a_client_that_leaves_has_stored_what_it_sent(tmp_path: Path) -> None:
    async with running(tmp_path) as hub:
        async with connected(hub.port) as client:
            await opened(client)
            client.send({"text": "last", "_ref": 1})
            await answers(client, 1)
        async with hub.http.get(hub.url) as answer:
            assert [row["text"] for row in await answer.json()] == ["last"]
