"""A SQLHandler reads a statement from URL or body, and sends the file with its headers."""

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from eventhub.config import SqlEndpoint
from eventhub.event import POSITION_HEADER
from projections.sql.local import LocalQueries
from projections.store import Store
from tests.builders import channel
from tests.projecting import history
from tests.unit.gateway.serving import Running, running


@asynccontextmanager
async def serving(folder: Path, **entry: Any) -> AsyncIterator[Running]:
    """A gateway whose `/sql` answers from a table of three rows."""
    endpoint = SqlEndpoint(name="sql", pattern="/sql", **entry)
    async with Store(folder / "tables.duckdb", [channel()]) as store:
        await store.begin("chat", "e1")
        events = history(channel(), [("POST", f"r{n}", {"votes": n}) for n in range(3)])
        await store.append("chat", events)
        await store.fold("chat")
        queries = LocalQueries(store, folder)
        async with running(folder, sql=(endpoint, queries)) as hub:
            yield hub


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Running]:
    async with serving(tmp_path) as hub:
        yield hub


def url(hub: Running) -> str:
    return f"{hub.front.url}/sql"


SUM = "SELECT sum(votes)::BIGINT AS n FROM chat WHERE votes >= $least"


async def test_a_statement_comes_in_the_url_or_the_body_with_its_parameters(hub: Running) -> None:
    async with hub.http.get(url(hub), params={"sql": SUM, "least": "2"}) as answer:
        assert (answer.status, await answer.json()) == (200, [{"n": 2}])
    async with hub.http.post(url(hub), json={"sql": SUM, "params": {"least": 1}}) as answer:
        assert (answer.status, await answer.json()) == (200, [{"n": 3}])
    async with hub.http.post(f"{url(hub)}?least=0", data=SUM) as answer:
        assert (answer.status, await answer.json()) == (200, [{"n": 3}])


async def test_an_answer_names_its_position_and_its_rows(hub: Running) -> None:
    async with hub.http.get(url(hub), params={"sql": "SELECT id FROM chat"}) as answer:
        assert answer.headers[POSITION_HEADER] == "e1.3"
        assert answer.headers["EventHub-Rows"] == "3"
        assert answer.headers["Cache-Control"] == "no-store"
        assert "EventHub-Truncated" not in answer.headers


async def test_a_file_has_the_name_of_the_handler(hub: Running) -> None:
    asked = {"sql": "SELECT id FROM chat ORDER BY id", "_format": "parquet"}
    async with hub.http.get(url(hub), params=asked) as answer:
        assert answer.headers["Content-Disposition"] == 'attachment; filename="sql.parquet"'
        table = pyarrow.parquet.read_table(io.BytesIO(await answer.read()))
    assert table["id"].to_pylist() == ["r0", "r1", "r2"]
    async with hub.http.head(url(hub), params=asked) as answer:
        assert (answer.status, await answer.read()) == (200, b"")
        assert int(answer.headers["Content-Length"]) > 0


REFUSED: list[tuple[str, str, bytes | None, str, str]] = [
    ("GET", "", None, "bad_request", "sql is missing"),
    ("POST", "", b"  ", "bad_request", "sql is missing"),
    ("GET", "?sql=SELECT+1&sql=SELECT+2", None, "bad_request", "more than once"),
    ("GET", "?sql=SELECT+1&_limit=1", None, "bad_request", "_limit has no effect"),
    ("GET", "?sql=SELECT+1&_format=excel", None, "bad_request", "_format"),
    ("POST", "?sql=SELECT+1", b"SELECT 1", "bad_request", "has its statement in its body"),
    ("POST", "", b'{"sql": 1}', "bad_request", "the body"),
    ("POST", "", b'{"sql": "SELECT 1", "extra": 1}', "bad_request", "extra"),
    ("POST", "", b'{"sql": ', "bad_json", "the body is not JSON"),
    ("POST", "", b"SELECT '\xff'", "bad_body", "not UTF-8"),
    ("GET", "?sql=DROP+TABLE+chat", None, "bad_sql", ""),
]
"""Method, query, body, and then the code and a part of the message."""


async def test_what_is_no_query_is_refused(hub: Running) -> None:
    for method, query, body, code, says in REFUSED:
        async with hub.http.request(method, url(hub) + query, data=body) as answer:
            error = (await answer.json())["_error"]
        assert (answer.status, error["code"]) == (400, code), (query, body)
        assert says in error["message"]


async def test_a_browser_without_a_statement_gets_the_page(hub: Running) -> None:
    async with hub.http.get(url(hub), headers={"Accept": "text/html"}) as answer:
        assert (answer.status, answer.content_type) == (200, "text/html")
        assert "<textarea" in await answer.text()
    asked = {"sql": "SELECT nope", "_format": "html"}
    async with hub.http.get(url(hub), params=asked) as answer:
        assert (answer.status, answer.content_type) == (400, "text/html")
        assert "bad_sql" in await answer.text()


async def test_other_methods_are_not_allowed(hub: Running) -> None:
    async with hub.http.delete(url(hub)) as answer:
        assert answer.status == 405
    async with hub.http.options(url(hub)) as answer:
        assert (answer.status, answer.headers["Allow"]) == (204, "GET, HEAD, POST, OPTIONS")


async def test_a_rule_that_is_not_met_admits_no_query(tmp_path: Path) -> None:
    async with (
        serving(tmp_path, auth=True) as hub,
        hub.http.get(url(hub), params={"sql": "SELECT 1"}) as answer,
    ):
        assert answer.status == 401


async def test_a_page_of_a_listed_origin_may_read_the_headers(tmp_path: Path) -> None:
    origin = {"Origin": "https://good.example"}
    async with serving(tmp_path, origins=["https://good.example"]) as hub:
        async with hub.http.get(url(hub), params={"sql": "SELECT 1"}, headers=origin) as answer:
            assert "EventHub-Rows" in answer.headers["Access-Control-Expose-Headers"]
        origin = {"Origin": "https://bad.example"}
        async with hub.http.get(url(hub), params={"sql": "SELECT 1"}, headers=origin) as answer:
            assert answer.status == 403
