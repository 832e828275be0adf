"""GET of an endpoint gives its rows as files with types, and as a page for people."""

import io
import json
import urllib.request
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import polars
import pyarrow.ipc
import pyarrow.parquet
import pytest

from tests.e2e.client import connect, request
from tests.e2e.command import post
from tests.e2e.hub import Hub, running_hub

CONFIG = """
url:
  notes: &notes
    pattern: /notes
    handler: MessageHandler
    kwargs: &kwargs
      columns: &columns
        body: TEXT
        n: INTEGER
        price: DECIMAL(38,2)
        done: BOOLEAN
        due: DATE
        seen: TIMESTAMPTZ
        tags: JSON
  own:
    pattern: /own
    handler: MessageHandler
    kwargs: {columns: *columns, table: notes, open: 'handler.args.update(user=["ann"])'}
  paged:
    pattern: /paged
    handler: MessageHandler
    kwargs: {columns: *columns, table: notes, default: {_format: html, _bigint: string}}
"""
SSE = {"Accept": "text/event-stream"}
BIG = 2**53 + 1
HUGE = "123456789012345678901234567890123456.05"
EVIL = '<img src=x onerror="document.title=1"><script>document.title=1</script>'


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with running_hub(tmp_path_factory.mktemp("hub"), CONFIG) as started:
        url = f"{started.url}/notes"
        row = f'{{"id": "a", "n": {BIG}, "price": {HUGE}, "tags": {{"x": [1, null]}}, "done": true'
        send(url, row + ', "due": "2026-12-24", "seen": "2026-12-24T10:00:00+01:00"}')
        post(url, id="b", body=EVIL, n=-BIG)
        post(url, id="c", body="=1+1", n=2**53, done=False)
        yield started


def send(url: str, body: str) -> None:
    """POST JSON whose numbers have more digits than a float."""
    asked = urllib.request.Request(url, body.encode(), {"Content-Type": "application/json"})
    urllib.request.urlopen(asked).close()


def body_of(url: str) -> tuple[bytes, Any]:
    with urllib.request.urlopen(url) as answer:
        return answer.read(), answer.headers


def test_arrow_and_parquet_have_the_types_of_the_columns(hub: Hub, tmp_path: Path) -> None:
    data = b""
    for form, kind in (("arrow", "vnd.apache.arrow.stream"), ("parquet", "vnd.apache.parquet")):
        data, headers = body_of(f"{hub.url}/notes?_format={form}")
        assert headers["Content-Type"] == f"application/{kind}"
        assert headers["Content-Disposition"] == f'attachment; filename="notes.{form}"'
        assert headers["EventHub-Position"].endswith(".3")
        source = io.BytesIO(data)
        read = pyarrow.parquet.read_table if form == "parquet" else pyarrow.ipc.open_stream
        table = read(source) if form == "parquet" else read(source).read_all()
        assert [str(field.type) for field in table.schema][:7] == [
            "string",
            "int64",
            "decimal128(38, 2)",
            "bool",
            "date32[day]",
            "timestamp[us, tz=UTC]",
            "string",
        ]
        first = table.to_pylist()[0]
        assert (first["n"], first["price"], first["done"]) == (BIG, Decimal(HUGE), True)
        assert str(first["seen"]) == "2026-12-24 09:00:00+00:00"
        assert json.loads(first["tags"]) == {"x": [1, None]}
        assert table["done"].to_pylist() == [True, None, False]
    (tmp_path / "rows.parquet").write_bytes(data)
    sql = f"SELECT n, body FROM '{tmp_path}/rows.parquet' WHERE id = 'b'"
    assert duckdb.connect().execute(sql).fetchall() == [(-BIG, EVIL)]
    assert polars.read_parquet(tmp_path / "rows.parquet")["n"].to_list() == [BIG, -BIG, 2**53]


def test_filters_order_and_columns_hold_in_every_format(hub: Hub) -> None:
    asked = "done=true&done=false&_sort=-n&_c=id&_c=n"
    data, _ = body_of(f"{hub.url}/notes?_format=parquet&{asked}")
    table = pyarrow.parquet.read_table(io.BytesIO(data))
    assert table.to_pylist() == [{"id": "a", "n": BIG}, {"id": "c", "n": 2**53}]
    data, _ = body_of(f"{hub.url}/notes?_format=arrow&id=nobody")
    assert pyarrow.ipc.open_stream(io.BytesIO(data)).read_all().num_rows == 0
    data, _ = body_of(f"{hub.url}/own?_format=parquet")
    assert pyarrow.parquet.read_table(io.BytesIO(data)).num_rows == 0


async def test_numbers_that_javascript_would_round_are_text_for_who_asks(hub: Hub) -> None:
    url = f"{hub.url}/notes?_c=n&_c=price&_bigint=string"
    expected = [(str(BIG), HUGE), (str(-BIG), None), (2**53, None)]
    for form in ("json", "ndjson"):
        data, _ = body_of(f"{url}&_format={form}")
        text = data.decode() if form == "json" else f"[{','.join(data.decode().splitlines())}]"
        assert [(row["n"], row["price"]) for row in json.loads(text)] == expected
    _, events = await request("GET", f"{url}&_since=earliest")
    assert [(event["n"], event.get("price")) for event in events] == expected
    async with connect(url) as client:
        assert [(row["n"], row["price"]) for row in await client.replay()] == expected
    _, rows = await request("GET", f"{hub.url}/notes?_c=n")
    assert [row["n"] for row in rows] == [BIG, -BIG, 2**53]


async def test_an_option_of_another_format_is_refused(hub: Hub) -> None:
    for query, column in [
        ("_format=csv&_bigint=string", "_bigint"),
        ("_format=parquet&_bigint=string", "_bigint"),
        ("_csv=safe", "_csv"),
        ("_since=now&_csv=safe", "_csv"),
        ("_format=csv&_csv=dangerous", "_csv"),
        ("_format=excel", "_format"),
        ("_since=now&_format=parquet", "_format"),
    ]:
        status, reply = await request("GET", f"{hub.url}/notes?{query}")
        assert (status, reply["_error"]["column"]) == (400, column), query
    status, _ = await request("GET", f"{hub.url}/notes?_format=html", headers=SSE)
    assert status == 400
    # What an endpoint supplies is for the formats that it has an effect on.
    status, _ = await request("GET", f"{hub.url}/paged?_format=json", headers={})
    assert status == 200
    data, _ = body_of(f"{hub.url}/paged?_format=parquet")
    assert pyarrow.parquet.read_table(io.BytesIO(data))["n"].to_pylist()[0] == BIG


def test_safe_csv_runs_no_formula_in_a_spreadsheet(hub: Hub) -> None:
    data, _ = body_of(f"{hub.url}/notes?_format=csv&_csv=safe&_c=id&_c=body&_c=n&id=b&id=c")
    assert data.decode().splitlines()[2] == "c,'=1+1,9007199254740992"
    assert f",{-BIG}" in data.decode()
    data, _ = body_of(f"{hub.url}/notes?_format=csv&_c=body&id=c")
    assert data.decode().splitlines() == ["body", "=1+1"]
