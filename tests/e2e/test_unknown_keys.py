"""No key of a URL is dropped silently if the answer would then have more than was asked for."""

from collections.abc import Iterator
from typing import Any

import aiohttp
import msgspec
import pytest

from tests.e2e.client import Closed, connect, request
from tests.e2e.hub import Hub, running_hub

CONFIG = """
url:
  notes: &notes
    pattern: /notes
    handler: MessageHandler
    kwargs: &kwargs
      table: notes
      columns: {topic: TEXT, n: INTEGER, data: JSON}
  refusing:
    pattern: /refusing
    handler: MessageHandler
    kwargs: {<<: *kwargs, unknown: refuse}
  ignoring:
    pattern: /ignoring
    handler: MessageHandler
    kwargs: {<<: *kwargs, unknown: ignore}
"""
SSE = {"Accept": "text/event-stream"}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """One hub for all tests of this file."""
    with running_hub(tmp_path_factory.mktemp("hub"), CONFIG) as hub:
        yield hub


async def refusals(url: str) -> list[tuple[str, str, str]]:
    """Code, column and text of the error on each way to read, or nothing where there is none."""
    errors = []
    status, answer = await request("GET", url)
    if status == 400:
        errors.append(answer["_error"])
    status, answer = await sse(url)
    if status == 400:
        errors.append(answer["_error"])
    for bare in (False, True):
        async with connect(url, bare=bare) as client:
            await client.send({"_method": "POST", "topic": "end", "n": 1, "_ref": "end"})
            frames = await client.until(lambda f: "_error" in f or f.get("topic") == "end")
            if "_error" in frames[0]:
                errors.append(frames[0]["_error"])
                with pytest.raises(Closed) as closed:
                    await client.receive()
                assert closed.value.code == 4400
    return [(error["code"], error["column"], error["message"]) for error in errors]


async def sse(url: str) -> tuple[int, Any]:
    async with aiohttp.ClientSession(headers=SSE) as session, session.get(url) as answer:
        if answer.status == 200:
            return 200, None
        return answer.status, msgspec.json.decode(await answer.read())


@pytest.mark.parametrize(
    ("query", "column"),
    [
        ("_limt=1", "_limt"),
        ("_Sort=n", "_Sort"),
        ("_at=3", "_at"),
        ("nosuch>=1", "nosuch"),
        ("Topic=end", "Topic"),
        ("topic%20=end", "topic "),
        ("topci=end", "topci"),
        ("n.x=1", "n.x"),
        ("data->>x=1", "data->>x"),
        ("_sort=N", "_sort"),
        ("_sort=-", "_sort"),
        ("_c=-topics", "_c"),
    ],
)
async def test_a_mistake_has_the_same_error_on_every_way_to_read(
    hub: Hub, query: str, column: str
) -> None:
    errors = await refusals(f"{hub.url}/notes?{query}")
    assert len(errors) == 4
    assert len(set(errors)) == 1
    assert errors[0][:2] == ("bad_filter", column)
    assert (
        "did you mean" in errors[0][2]
        or "choose among" in errors[0][2]
        or "is not JSON" in errors[0][2]
        or "write data.key" in errors[0][2]
    )
    assert await refusals(f"{hub.url}/refusing?{query}") == errors
    assert await refusals(f"{hub.url}/ignoring?{query}") == []


async def test_an_unknown_argument_is_ignored_unless_the_endpoint_refuses_it(
    hub: Hub,
) -> None:
    assert await refusals(f"{hub.url}/notes?utm_source=x&_=17&_by=topic&_meta=y") == []
    errors = await refusals(f"{hub.url}/refusing?utm_source=x&_=17")
    assert {error[:2] for error in errors} == {("bad_filter", "utm_source")}
    assert len(errors) == 4
    assert await refusals(f"{hub.url}/refusing?_=17&_by=topic&_meta=y&_download=z") == []


async def test_a_control_is_refused_where_it_has_no_effect(hub: Hub) -> None:
    url = f"{hub.url}/notes"
    refused = ["_wait=1", "_since=now&_sort=n", "_since=now&_limit=1", "_since=now&_offset=1"]
    for query in refused:
        status, reply = await request("GET", f"{url}?{query}")
        assert (status, reply["_error"]["code"]) == (400, "bad_filter")
        assert reply["_error"]["column"] == query.split("&")[-1].partition("=")[0]
    status, _ = await request("GET", f"{url}?_since=now&_format=csv")
    assert status == 400
    for bare in (False, True):
        async with connect(f"{url}?_wait=1", bare=bare) as client:
            assert (await client.receive())["_error"]["column"] == "_wait"
    for headers in ({}, SSE):
        status, _ = await request("GET", f"{url}?_format=xml", headers=headers)
        assert status == 400
    assert (await sse(f"{url}?_format=csv"))[0] == 400
    assert (await sse(f"{url}?_format=json&_limit=0"))[0] == 200
    for method, query in [("POST", "_key=a"), ("PUT", "_if_seq=1"), ("POST", "_limit=1")]:
        status, reply = await request(method, f"{url}?{query}", json={"id": "a"})
        assert (status, reply["_error"]["code"]) == (400, "bad_control")
        assert reply["_error"]["column"] == query.partition("=")[0]
    status, _ = await request("POST", f"{url}?_=1&topic=x", json={"topic": "a"})
    assert status == 201


async def test_a_filter_inside_json_is_one_filter_everywhere(hub: Hub) -> None:
    """Replay, live and GET; a row enters and leaves it as another filter's."""
    url = f"{hub.url}/notes"
    for row_id, org in [("json-a", "x"), ("json-b", "y")]:
        message = {"id": row_id, "data": {"org": org, "n": [1, 20]}}
        assert (await request("POST", url, json=message))[0] == 201
    for query in ("data.org=x", "data.n.1>=3&data.org!=y", "data.org~=x&data.none!"):
        status, rows = await request("GET", f"{url}?{query}&_c=id")
        assert (status, rows) == (200, [{"id": "json-a"}])
    async with connect(f"{url}?data.org=x") as client, connect(f"{url}?data.n.1=20") as other:
        for each, held in ((client, {"json-a"}), (other, {"json-a", "json-b"})):
            await each.replay()
            assert set(each.table) == held
        await request("PUT", url, json={"id": "json-b", "data": {"org": "x", "n": [1, 20.0]}})
        assert (await client.receive())["_method"] == "POST"
        assert (await other.receive())["_method"] == "PUT"
        await request("PUT", url, json={"id": "json-a", "data": {"org": 1}})
        assert (await client.receive())["_method"] == "DELETE"
        assert (await other.receive())["_method"] == "DELETE"
        assert (set(client.table), set(other.table)) == ({"json-b"}, {"json-b"})


async def test_keys_that_are_not_columns_are_reported_to_the_sender(hub: Hub) -> None:
    message = {"topic": "colours", "colour": "red", "Topic": "x"}
    for method in ("POST", "PUT"):
        status, reply = await request(method, f"{hub.url}/notes", json={"id": "told", **message})
        assert status < 300
        assert reply["ignored"] == ["colour", "Topic"]
    status, reply = await request("POST", f"{hub.url}/notes", data={"topic": "x", "size": "1"})
    assert (status, reply["ignored"]) == (201, ["size"])
    async with connect(f"{hub.url}/notes?topic=colours&_since=now") as client:
        await client.replay()
        acknowledged = await client.write(message)
        assert acknowledged["ignored"] == ["colour", "Topic"]
        assert client.table[acknowledged["id"]]["colour"] == "red"
        plain = await client.write({"topic": "colours"})
        assert "ignored" not in plain
        refused = await client.ask({**message, "_methd": "PUT"})
        assert (refused["_error"]["code"], refused["_error"]["column"]) == ("bad_control", "_methd")


async def test_an_endpoint_can_refuse_or_drop_unknown_keys(hub: Hub) -> None:
    url = f"{hub.url}/refusing"
    status, reply = await request("POST", url, json=[{"topc": "x"}, {"id": "fine", "topic": "x"}])
    assert status == 200
    assert (reply[0]["_error"]["code"], reply[0]["_error"]["column"]) == ("bad_value", "topc")
    assert reply[1]["id"] == "fine"
    status, reply = await request(
        "POST", f"{hub.url}/ignoring", json={"_methd": "PUT", "topc": "x"}
    )
    assert (status, reply["ignored"]) == (201, ["topc"])
