"""A GET with `_history` answers with the versions of one row."""

import csv
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from eventhub.event import POSITION_HEADER
from tests.subscribing import append
from tests.unit.gateway.serving import Running, running


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Running]:
    """A hub with four versions of row `a`, and another row."""
    async with running(tmp_path) as hub:
        await append(hub.stream, id="a", text="=1+1", votes=1)
        await append(hub.stream, _method="PUT", id="a", votes=2**60)
        await append(hub.stream, id="b")
        await append(hub.stream, _method="PUT", id="a", text="new")
        await append(hub.stream, _method="DELETE", id="a")
        yield hub


async def get(hub: Running, query: str) -> tuple[aiohttp.ClientResponse, Any]:
    async with hub.http.get(f"{hub.url}?{query}") as answer:
        is_json = answer.content_type == "application/json"
        return answer, await answer.json() if is_json else await answer.text()


@pytest.mark.parametrize("query", ["_history&id=a", "_history=1&_id=a", "_history=true&id=a"])
async def test_the_versions_come_oldest_first_with_what_they_changed(
    hub: Running, query: str
) -> None:
    answer, versions = await get(hub, query)
    assert [each["_seq"] for each in versions] == [1, 2, 4, 5]
    assert [each["_method"] for each in versions] == ["POST", "PUT", "PUT", "DELETE"]
    assert versions[2]["was"] == {"text": "=1+1"}
    assert versions[3]["row"] is None
    assert answer.headers[POSITION_HEADER] == f"{hub.stream.epoch}.5"


async def test_a_row_that_never_existed_has_no_versions(hub: Running) -> None:
    answer, versions = await get(hub, "_history&id=none")
    assert (answer.status, versions) == (200, [])


async def test_csv_has_a_line_for_each_value_that_changed(hub: Running) -> None:
    _, text = await get(hub, "_history&id=a&_format=csv")
    found = list(csv.DictReader(io.StringIO(text)))
    changes = [(each["_seq"], each["column"], each["from"], each["to"]) for each in found]
    assert ("2", "votes", "1", str(2**60)) in changes
    assert ("4", "text", "=1+1", "new") in changes
    assert ("1", "text", "", "=1+1") in changes
    _, safe = await get(hub, "_history&id=a&_format=csv&_csv=safe")
    assert "'=1+1" in safe


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("_history", "add one id=ID"),
        ("_history&id=a&id=b", "add one id=ID"),
        ("_history=yes&id=a", "_history takes no value"),
        ("_history&id=a&_format=html", "_format"),
        ("_history&id=a&_limit=1", "_limit"),
    ],
)
async def test_what_has_no_meaning_here_is_refused(hub: Running, query: str, says: str) -> None:
    answer, reply = await get(hub, query)
    assert answer.status == 400
    assert says in reply["_error"]["message"]


async def test_a_head_request_gets_the_position_and_no_body(hub: Running) -> None:
    async with hub.http.head(f"{hub.url}?_history&id=a") as answer:
        assert (answer.status, await answer.read()) == (200, b"")
        assert answer.headers[POSITION_HEADER].endswith(".5")


async def test_a_restricted_reader_sees_no_version_outside_its_restriction(tmp_path: Path) -> None:
    async with running(tmp_path, open="args.update(text=['mine'])") as hub:
        await append(hub.stream, id="a", text="secret")
        await append(hub.stream, _method="PUT", id="a", text="mine")
        await append(hub.stream, _method="PUT", id="a", text="other")
        _, versions = await get(hub, "_history&id=a")
    assert [each["_method"] for each in versions] == ["POST", "DELETE"]
    assert "secret" not in repr(versions)
    assert "other" not in repr(versions)
