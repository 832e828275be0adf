"""Every message becomes one durable event or one clear error, and never harms a bystander."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import aiohttp
import pytest

from tests.e2e.client import V1, Client, Closed, connect, get, request
from tests.e2e.hub import Hub, running_hub

CONFIG = """
server: {max_message: 10000, stalled_after: 2}
url:
  typed:
    pattern: /typed
    handler: MessageHandler
    kwargs:
      columns:
        body: TEXT
        length: INTEGER
        score: REAL
        flag: BOOLEAN
        day: DATE
        at: TIMESTAMP
        tags: JSON
        must: {type: TEXT, nullable: false, default: none}
  hooked:
    pattern: /hooked
    handler: MessageHandler
    kwargs:
      columns: {body: TEXT}
      prepare: rules.prepare(msg)
      modify: rules.modify(msg)
  other:
    pattern: /other
    handler: MessageHandler
    kwargs: {table: typed}
"""
RULES = """
import asyncio

async def prepare(msg):
    await asyncio.sleep(0)
    if msg.get("body") == "value":
        raise ValueError("no such body")
    if msg.get("body") == "permission":
        raise PermissionError("not you")
    if msg.get("body") == "bug":
        raise KeyError("secret")
    if msg.get("body") == "object":
        msg["thing"] = object()

def modify(msg):
    if msg.get("body") == "modify bug":
        raise RuntimeError("secret")
    msg.update(body="MSG: " + msg.get("body", ""), id="other", _method="DELETE")
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """One hub for all tests of this file."""
    with running_hub(tmp_path_factory.mktemp("hub"), CONFIG, {"rules.py": RULES}) as hub:
        yield hub


@pytest.fixture
def typed(hub: Hub) -> str:
    """URL of the endpoint with columns of every kind."""
    return f"{hub.url}/typed"


def new_id() -> str:
    return uuid4().hex


async def row_of(url: str, row_id: str) -> dict[str, Any]:
    [row] = await get(url, id=row_id)
    return dict(row)


async def test_post_put_delete_over_http(typed: str) -> None:
    status, receipt = await request("POST", typed, json={"body": "a"})
    assert (status, receipt["duplicate"]) == (201, False)
    row_id = receipt["id"]
    assert len(row_id) == 22
    status, changed = await request("PUT", typed, json={"id": row_id, "length": 3})
    assert (status, changed["_seq"] > receipt["_seq"]) == (200, True)
    row = await row_of(typed, row_id)
    assert (row["body"], row["length"], row["must"]) == ("a", 3, "none")
    assert (await request("DELETE", f"{typed}?id={row_id}"))[0] == 200
    assert await get(typed, id=row_id) == []


async def test_a_form_and_an_array_are_messages_too(typed: str) -> None:
    status, receipt = await request("POST", typed, data={"body": "form", "length": "12"})
    assert status == 201
    assert (await row_of(typed, receipt["id"]))["length"] == 12
    curl = {"Content-Type": "application/x-www-form-urlencoded"}
    status, receipt = await request("POST", typed, data='{"body": "curl -d"}', headers=curl)
    assert (await row_of(typed, receipt["id"]))["body"] == "curl -d"
    status, reply = await request(
        "POST", typed, json=[{"body": "1"}, {"length": "x"}, 7, {"body": "2"}]
    )
    assert status == 200
    assert [each.get("_error", {}).get("code") for each in reply] == [
        None, "bad_value", "bad_json", None,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("column", "sent", "stored"),
    [
        ("body", 5, "5"), ("body", True, "true"), ("body", "", ""),
        ("body", "a\u0000b\u2028", "a\u0000b\u2028"),
        ("length", "12", 12), ("length", 12.0, 12), ("length", "", None),
        ("length", -(2**63), -(2**63)),
        ("score", "1.5", 1.5), ("score", 1, 1.0), ("score", 0.1, 0.1), ("score", 1e22, 1e22),
        ("flag", 1, True), ("flag", "no", False), ("flag", None, None),
        ("day", "2023-01-02", "2023-01-02"),
        ("at", "2023-01-02T03:04:05+02:00", "2023-01-02T01:04:05"),
        ("at", "2023-01-02 03:04:05.5", "2023-01-02T03:04:05.500000"),
        ("tags", ["a", {"b": [1, None]}], ["a", {"b": [1, None]}]),
    ],
)  # fmt: skip
async def test_row_and_broadcast_carry_the_converted_value(
    typed: str, column: str, sent: Any, stored: Any
) -> None:
    async with connect(f"{typed}?_since=now") as client:
        await client.replay()
        receipt = await client.write({column: sent})
        assert client.table[receipt["id"]][column] == stored
    row = await row_of(typed, receipt["id"])
    assert row[column] == stored
    assert type(row[column]) is type(stored)


@pytest.mark.parametrize(
    ("message", "code", "column"),
    [
        ({"length": "abc"}, "bad_value", "length"), ({"length": 1.5}, "bad_value", "length"),
        ({"length": 2**63}, "bad_value", "length"), ({"score": "nan"}, "bad_value", "score"),
        ({"score": "inf"}, "bad_value", "score"), ({"flag": "maybe"}, "bad_value", "flag"),
        ({"body": ["list"]}, "bad_value", "body"), ({"must": None}, "bad_value", "must"),
        ({"day": "yesterday"}, "bad_value", "day"), ({"at": 5}, "bad_value", "at"),
        ({"id": "x" * 201}, "bad_id", "id"), ({"id": "a\nb"}, "bad_id", "id"),
        ({"id": ["x"]}, "bad_value", "id"), ({"id": True}, "bad_id", "id"),
        ({"_method": "PATCH"}, "bad_method", None), ({"_method": 5}, "bad_method", None),
        ({"_method": "PUT", "body": "no id"}, "bad_id", "id"),
        ({"_method": "DELETE", "id": ""}, "bad_id", "id"),
        ({"_method": "PUT", "id": "nobody"}, "not_found", None),
        ({"_method": "DELETE", "id": "nobody"}, "not_found", None),
        ({"_if_seq": "x"}, "bad_control", None), ({"_key": ""}, "bad_control", None),
        ({"_key": [1]}, "bad_control", None),
    ],
)  # fmt: skip
async def test_a_bad_message_is_answered_and_the_socket_stays_open(
    typed: str, message: dict[str, Any], code: str, column: str | None
) -> None:
    async with connect(f"{typed}?_since=now") as client:
        await client.replay()
        reply = (await client.ask(message))["_error"]
        assert (reply["code"], reply.get("column"), reply["retry"]) == (code, column, False)
        assert "_ack" in await client.ask({"body": "still here"})


@pytest.mark.parametrize(
    "text",
    ["", "{", "5", '"text"', "[[]]", '{"a": NaN}', '{"a": 1e999}', '{"a": "\\ud800"}', "[" * 9999],
)
async def test_text_that_is_not_a_json_object_is_answered(typed: str, text: str) -> None:
    async with connect(f"{typed}?_since=now") as client:
        await client.replay()
        await client.socket.send_str(text)
        assert (await client.receive())["_error"]["code"] == "bad_json"
        await client.socket.send_bytes(b"\xff\xfe")
        assert (await client.receive())["_error"]["code"] == "bad_json"
        assert "_ack" in await client.ask({"body": "still here"})


async def test_a_too_large_message_is_answered_and_a_huge_one_closes(typed: str) -> None:
    async with connect(f"{typed}?_since=now") as client:
        await client.replay()
        assert (await client.ask({"body": "x" * 9000})).get("_ack")
        await client.send({"body": "x" * 10000})
        assert (await client.until(lambda f: "_error" in f))[-1]["_error"]["code"] == "too_large"
        await client.send({"body": "x" * 50000})
        with pytest.raises(Closed) as closed:
            await client.until(lambda _: False)
        assert closed.value.code == 1009
    status, reply = await request("POST", typed, json={"body": "x" * 11000})
    assert (status, reply["_error"]["code"]) == (413, "too_large")


async def test_post_of_an_id_that_exists_is_refused_until_it_is_deleted(typed: str) -> None:
    row_id = new_id()
    assert (await request("POST", typed, json={"id": row_id}))[0] == 201
    status, reply = await request("POST", typed, json={"id": row_id})
    assert (status, reply["_error"]["code"]) == (409, "exists")
    await request("DELETE", typed, json={"id": row_id})
    assert (await request("POST", typed, json={"id": row_id, "body": "again"}))[0] == 201
    assert (await row_of(typed, row_id))["body"] == "again"


@pytest.mark.parametrize("row_id", ["a.b", "a b", "*", ">", "ü" * 200, "=x", "a/b", 17])
async def test_any_text_is_an_id(typed: str, row_id: object) -> None:
    status, receipt = await request("POST", typed, json={"id": row_id, "body": "x"})
    assert (status, receipt["id"]) == (201, str(row_id))
    assert (await request("PUT", typed, json={"id": row_id, "body": "y"}))[0] == 200
    assert (await row_of(typed, str(row_id)))["body"] == "y"


async def test_if_seq_refuses_a_write_when_the_row_has_moved_on(typed: str) -> None:
    receipt = (await request("POST", typed, json={"body": "a"}))[1]
    message = {"id": receipt["id"], "body": "b", "_if_seq": receipt["_seq"]}
    assert (await request("PUT", typed, json=message))[0] == 200
    status, reply = await request("PUT", typed, json=message)
    assert (status, reply["_error"]["code"]) == (412, "conflict")
    headers = {"If-Match": f'"{receipt["_seq"]}"'}
    status, _ = await request("PUT", typed, json={"id": receipt["id"]}, headers=headers)
    assert status == 412


@pytest.mark.parametrize("given_id", [None, "own"])
async def test_a_retry_with_the_same_key_gets_the_first_receipt(
    typed: str, given_id: str | None
) -> None:
    message: dict[str, Any] = {"body": "once", "_key": new_id()}
    if given_id:
        message["id"] = new_id()
    async with connect(f"{typed}?body=once&_since=now") as client:
        await client.replay()
        first = await client.ask(message)
        again = await client.ask(message)
        await request("PUT", typed, json={"id": first["id"], "length": 1})
        later = await client.ask(message)
        _, deleted = await request("DELETE", typed, json={"id": first["id"]})
        last = await client.ask(message)
        for retry in (again, later, last):
            assert (retry["id"], retry["_seq"], retry["duplicate"]) == (
                first["id"], first["_seq"], True,
            )  # fmt: skip
        while client.sequence < deleted["_seq"]:  # answers may overtake broadcasts
            await client.receive()
        assert client.table == {}


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_a_retried_change_is_not_made_twice(typed: str, method: str) -> None:
    row_id = (await request("POST", typed, json={"body": "a"}))[1]["id"]
    headers = {"Idempotency-Key": new_id()}
    first = await request(method, typed, json={"id": row_id}, headers=headers)
    again = await request(method, typed, json={"id": row_id}, headers=headers)
    assert first[0] == again[0] == 200
    assert again[1] == {**first[1], "duplicate": True}


async def test_a_bare_client_gets_an_error_for_a_duplicate(typed: str) -> None:
    key = new_id()
    async with connect(f"{typed}?body={key}", bare=True) as client:
        await client.send({"body": key, "_key": key})
        await client.receive()
        await client.send({"body": key, "_key": key})
        assert (await client.receive())["_error"]["code"] == "duplicate"


async def test_many_writers_change_one_row_and_none_is_lost(typed: str) -> None:
    row_id = (await request("POST", typed, json={"body": "a", "tags": {}}))[1]["id"]

    async def change(number: int) -> int:
        status, _ = await request("PUT", typed, json={"id": row_id, "length": number})
        return status

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(change(number)) for number in range(10)]
    assert [task.result() for task in tasks] == [200] * 10
    async with connect(f"{typed}?id={row_id}&_replay=log") as client:
        events = await client.replay()
    assert sorted(event["row"]["length"] for event in events[1:]) == list(range(10))


async def test_messages_of_one_connection_keep_their_order(typed: str) -> None:
    run = new_id()
    async with connect(f"{typed}?body={run}") as client:
        await client.replay()
        await client.send([{"body": run, "length": number} for number in range(50)])
        for number in range(50, 100):
            await client.send({"body": run, "length": number})
        await client.until(lambda _: len(client.table) == 100)
        assert [row["length"] for row in client.table.values()] == list(range(100))


async def test_everything_sent_before_a_client_vanishes_is_stored(typed: str) -> None:
    run = new_id()
    async with aiohttp.ClientSession() as session:
        socket = await session.ws_connect(f"{typed}?_since=now", protocols=(V1,))
        for number in range(50):
            await socket.send_json({"body": run, "length": number})
        await socket.close()
    async with asyncio.timeout(40):
        while len(await get(typed, body=run)) < 50:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("body", "code", "text"),
    [
        ("value", "refused", "no such body"), ("permission", "forbidden", "not you"),
        ("bug", "internal", None), ("modify bug", "internal", None), ("object", "internal", None),
    ],
)  # fmt: skip
async def test_a_hook_that_raises_stores_nothing(
    hub: Hub, body: str, code: str, text: str | None
) -> None:
    status, reply = await request("POST", f"{hub.url}/hooked", json={"body": body})
    assert reply["_error"]["code"] == code
    assert status == {"refused": 400, "forbidden": 403, "internal": 500}[code]
    assert "secret" not in reply["_error"]["message"]
    if text:
        assert reply["_error"]["message"] == text
    assert await get(f"{hub.url}/hooked", body=body) == []


async def test_modify_changes_the_broadcast_and_not_the_row(hub: Hub) -> None:
    async with connect(f"{hub.url}/hooked?_since=now") as client:
        await client.replay()
        receipt = await client.write({"body": "hi"})
        assert client.table[receipt["id"]]["body"] == "MSG: hi"
    assert (await row_of(f"{hub.url}/hooked", receipt["id"]))["body"] == "hi"


async def test_two_endpoints_on_one_table_share_the_channel(hub: Hub, typed: str) -> None:
    run = new_id()
    async with connect(f"{typed}?body={run}") as client:
        await client.replay()
        assert (await request("POST", f"{hub.url}/other", json={"body": run}))[0] == 201
        assert (await client.receive())["body"] == run


async def test_a_client_cannot_set_user_and_controls(typed: str) -> None:
    async with connect(f"{typed}?_since=now") as client:
        await client.replay()
        receipt = await client.write({"user": "root", "_xsrf": 1, "body": "x"})
        row = client.table[receipt["id"]]
        assert row["user"] is None
        await client.ask({"_method": "PUT", "id": receipt["id"], "user": "root"})
    assert (await row_of(typed, receipt["id"]))["user"] is None


@pytest.mark.timeout(120)
async def test_a_client_that_takes_nothing_is_closed_and_others_miss_nothing(
    hub: Hub, typed: str
) -> None:
    """The close frame follows everything that waited; a client that reads on in time sees it."""
    run = new_id()
    url = f"{typed}?body~={run}"
    async with connect(url) as reader, connect(url) as stuck:
        await reader.replay()
        with not_reading(stuck):
            count = 0
            async with asyncio.timeout(90):  # some hundred writes fill the buffers of the kernel
                while "client_stalled" not in hub.stderr():
                    await reader.write({"body": run + "x" * 9000})
                    count += 1
        with pytest.raises(Closed) as closed:
            await stuck.until(lambda _: False)
        assert closed.value.code == 4408
        assert len(reader.table) == count


@contextmanager
def not_reading(client: Client) -> Iterator[None]:
    """Take nothing from the socket; the kernel, too, takes little, which else may be 32 MiB."""
    connection = client.socket._response.connection
    assert connection is not None
    transport = connection.transport
    assert transport is not None
    transport.pause_reading()
    taken = transport.get_extra_info("socket")
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
    yield
    transport.resume_reading()


@pytest.mark.parametrize("name", ["typed", "hooked"])
async def test_what_one_connection_sends_at_once_is_stored_in_order_and_answered_once(
    hub: Hub, name: str
) -> None:
    """Simple messages are begun together; those that read a row, or arrays, wait for them."""
    url, run = f"{hub.url}/{name}", uuid4().hex
    messages: list[Any] = []
    for number in range(120):
        row_id = f"{run}.{number}"
        messages.append({"id": row_id, "body": "a"})
        if number % 10 == 3:
            messages.append({"_method": "PUT", "id": row_id, "body": "b"})
        if number % 10 == 5:
            messages.append([{"id": f"{row_id}.{n}", "body": "c"} for n in range(3)])
        if number % 10 == 7:
            messages.append({"_method": "DELETE", "id": row_id})
        if number % 10 == 9:
            messages.append({"id": ["x"]})
    flat = [m for each in messages for m in (each if isinstance(each, list) else [each])]
    for number, message in enumerate(flat):
        message["_ref"] = number
    async with connect(f"{url}?_since=now&id=nobody") as client:
        await client.replay()
        for each in messages:
            await client.send(each)
        reply: dict[int, Any] = {}
        while len(reply) < len(flat):
            frame = await client.receive()
            ref = frame["_ack"] if "_ack" in frame else frame["_error"]["ref"]
            assert ref not in reply
            reply[ref] = frame
    stored = [reply[n]["_seq"] for n, m in enumerate(flat) if m.get("id") != ["x"]]
    assert stored == sorted(set(stored))
    assert {reply[n]["_error"]["code"] for n, m in enumerate(flat) if m.get("id") == ["x"]} <= {
        "bad_value"
    }


async def test_a_client_that_closes_has_its_messages_stored_and_answered_first(typed: str) -> None:
    async with connect(f"{typed}?_since=now&id=nobody") as client:
        await client.replay()
        for number in range(50):
            await client.send({"body": "last words", "_ref": number})
        closing = client.socket._writer.close(1000)  # a close frame, while reading continues
        await closing
        acks = [await client.receive() for _ in range(50)]
        with pytest.raises(Closed) as closed:
            await client.receive()
    assert [ack["_ack"] for ack in acks] == list(range(50))
    assert closed.value.code == 1000
