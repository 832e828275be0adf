"""`_history` gives every version of a row over HTTP, and none that its reader may not see."""

import asyncio
import csv
import io
import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import aiohttp
import polars
import pytest

from tests.e2e.client import request, write_row
from tests.e2e.hub import Hub, running_hub

COLUMNS = 'columns: {topic: TEXT, n: INTEGER, exact: "DECIMAL(20, 2)"}'
CONFIG = f"""
url:
  notes: {{pattern: /notes, handler: MessageHandler, kwargs: {{{COLUMNS}}}}}
  mine:
    pattern: /mine
    handler: MessageHandler
    kwargs:
      table: notes
      {COLUMNS}
      open: 'args.update({{"topic": ["mine"]}})'
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """One hub for all tests of this file; each has rows of its own."""
    with running_hub(tmp_path_factory.mktemp("hub"), CONFIG) as hub:
        yield hub


async def write(hub: Hub, method: str, row_id: str, **values: Any) -> int:
    return await write_row(f"{hub.url}/notes", method, row_id, **values)


async def text_of(url: str) -> tuple[str, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.text(), answer.headers["EventHub-Position"]


async def versions(hub: Hub, row_id: str, endpoint: str = "notes", more: str = "") -> list[Any]:
    text, _ = await text_of(f"{hub.url}/{endpoint}?id={row_id}&_history{more}")
    return list(json.loads(text))


async def test_every_version_says_what_changed_from_what_to_what(hub: Hub) -> None:
    row_id = uuid4().hex
    sequences = [
        await write(hub, "POST", row_id, topic="a", exact=12345678901234567.25),
        await write(hub, "PUT", row_id, topic="b"),
        await write(hub, "DELETE", row_id),
        await write(hub, "POST", row_id, n=2),
    ]
    text, position = await text_of(f"{hub.url}/notes?_id={row_id}&_history")
    found = json.loads(text)
    assert found == await versions(hub, row_id)
    assert position.endswith(f".{sequences[-1]}")
    assert [each["_seq"] for each in found] == sequences
    assert [each["_method"] for each in found] == ["POST", "PUT", "DELETE", "POST"]
    assert {(each["id"], each["_endpoint"], each["_user"]) for each in found} == {
        (row_id, "notes", None)
    }
    assert [each["was"] and each["was"].get("topic") for each in found] == [None, "a", "b", None]
    assert [each["row"] and each["row"]["topic"] for each in found] == ["a", "b", None, None]
    lines = (await text_of(f"{hub.url}/notes?id={row_id}&_history&_format=ndjson"))[0]
    assert [json.loads(line) for line in lines.splitlines()] == found
    table, _ = await text_of(f"{hub.url}/notes?id={row_id}&_history&_format=csv")
    changes = list(csv.DictReader(io.StringIO(table)))
    [change] = [each for each in changes if each["_method"] == "PUT"]
    assert (change["column"], change["from"], change["to"]) == ("topic", "a", "b")
    picked = await versions(hub, row_id, more="&_c=n")
    assert [each["row"] and list(each["row"]) for each in picked] == [["n"], ["n"], None, ["n"]]


async def test_a_reader_learns_nothing_of_versions_beyond_the_restriction(hub: Hub) -> None:
    """Those on its border look as if the row was created, or deleted, there."""
    row_id = uuid4().hex
    await write(hub, "POST", row_id, topic="secret", n=1)
    await write(hub, "PUT", row_id, n=2)
    entered = await write(hub, "PUT", row_id, topic="mine", n=3)
    seen = await write(hub, "PUT", row_id, n=4)
    left = await write(hub, "PUT", row_id, topic="secret", n=5)
    await write(hub, "PUT", row_id, n=6)
    await write(hub, "DELETE", row_id)
    found = await versions(hub, row_id, "mine")
    assert [(each["_seq"], each["_method"]) for each in found] == [
        (entered, "POST"),
        (seen, "PUT"),
        (left, "DELETE"),
    ]
    assert "secret" not in json.dumps(found)
    assert [each["row"] and each["row"]["n"] for each in found] == [3, 4, None]
    assert [each["was"] and each["was"]["n"] for each in found] == [None, 3, 4]
    hidden = uuid4().hex
    await write(hub, "POST", hidden, topic="secret")
    assert await versions(hub, hidden, "mine") == await versions(hub, "never", "mine") == []
    for form in ("csv", "ndjson"):
        url = f"{hub.url}/mine?id={row_id}&_history&_format={form}"
        assert "secret" not in (await text_of(url))[0]
    assert "secret" not in json.dumps(await versions(hub, row_id, "mine", "&topic=secret"))
    assert await versions(hub, row_id, "mine", "&n=1") == []


async def test_many_large_versions_come_in_pages(hub: Hub) -> None:
    """More of them, and more bytes, than one page holds; none is lost between two."""
    row_id = uuid4().hex
    first = await write(hub, "POST", row_id, n=-1)
    changes = [
        {"_method": "PUT", "id": row_id, "n": n, "topic": "x" * (n % 7) * 1000} for n in range(1200)
    ]
    answers: list[Any] = []
    for some in (changes[start : start + 200] for start in range(0, 1200, 200)):
        status, receipts = await request("POST", f"{hub.url}/notes", json=some)
        assert status == 200, receipts
        answers += receipts
    found = await versions(hub, row_id)
    assert [each["_seq"] for each in found] == [first, *(each["_seq"] for each in answers)]
    assert [each["was"]["n"] for each in found[1:]] == [-1, *range(1199)]


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("_history", "add one id=ID"),
        ("_history&id=a&id=b", "add one id=ID"),
        ("_history&id=a&_id=a", "add one id=ID"),
        ("_history=false&id=a", "_history takes no value"),
        ("_history&id=a&_limit=3", "_limit has no effect on a GET with _history"),
        ("_history&id=a&_format=html", "_format must be one of json, ndjson, csv, arrow, parquet"),
        ("_id=a", "_id has no effect on a GET of rows"),
    ],
)
async def test_what_names_no_row_is_refused(hub: Hub, query: str, says: str) -> None:
    status, answer = await request("GET", f"{hub.url}/notes?{query}")
    assert status == 400
    assert says in answer["_error"]["message"]


async def test_versions_are_a_file_that_tools_open_by_its_url(hub: Hub) -> None:
    row_id = uuid4().hex
    last = 0
    for method, n in (("POST", 1), ("PUT", -2), ("DELETE", None)):
        last = await write(hub, method, row_id, **({} if n is None else {"topic": "mine", "n": n}))
    url = f"{hub.url}/notes.{{}}?id={row_id}&_history&_c=topic&_c=n"
    expected = [
        (1, "topic", None, "mine"),
        (1, "n", None, "1"),
        (2, "n", "1", "-2"),
        (3, "topic", "mine", None),
        (3, "n", "-2", None),
    ]
    frames = await asyncio.to_thread(
        lambda: [
            polars.scan_parquet(url.format("parquet")).collect(),
            polars.scan_ipc(url.format("arrow")).collect(),
            polars.read_csv(
                url.format("csv"), schema_overrides={"from": polars.String, "to": polars.String}
            ),
        ]
    )
    for frame in frames:
        rows = frame.select("_seq", "column", "from", "to").rows()
        assert [(seq - last + 3, *rest) for seq, *rest in rows] == expected
    assert str(frames[0].schema["_time"]) == "Datetime(time_unit='us', time_zone='UTC')"
    async with aiohttp.ClientSession() as session, session.get(url.format("ndjson")) as answer:
        assert [json.loads(line) for line in (await answer.text()).splitlines()] == await versions(
            hub, row_id, more="&_c=topic&_c=n"
        )
        tag = answer.headers["ETag"]
        assert answer.headers["EventHub-Position"].endswith(f".{last}")
    part, headers = {"Range": "bytes=1-7"}, {"If-None-Match": tag}
    async with aiohttp.ClientSession() as session:
        async with session.get(url.format("ndjson"), headers=part) as answer:
            assert (answer.status, await answer.read()) == (206, b'"_seq":')
        async with session.get(url.format("ndjson"), headers=headers) as answer:
            assert answer.status == 304


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/notes.csv?_history", "bad_request"),
        ("/notes.csv?_history&id=a&_format=csv", "bad_filter"),
        ("/notes.csv?_history&id=a&_limit=3", "bad_filter"),
        ("/notes.parquet?_history&id=a&_csv=safe", "bad_filter"),
    ],
)
async def test_what_is_no_file_of_versions_is_refused(hub: Hub, path: str, code: str) -> None:
    status, answer = await request("GET", hub.url + path)
    assert (status, answer["_error"]["code"]) == (400, code)


async def test_a_file_of_versions_shows_none_that_its_reader_may_not_see(hub: Hub) -> None:
    row_id = uuid4().hex
    await write(hub, "POST", row_id, topic="hidden")
    await write(hub, "PUT", row_id, topic="mine")
    text, _ = await text_of(f"{hub.url}/mine.ndjson?id={row_id}&_history")
    assert text == (await text_of(f"{hub.url}/mine?id={row_id}&_history&_format=ndjson"))[0]
    assert "mine" in text
    assert "hidden" not in text
