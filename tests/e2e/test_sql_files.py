"""The answer to a statement is a file that tools open by its URL, and read in parts."""

import http.client
import json
from collections.abc import Iterator
from http.client import HTTPMessage
from typing import NamedTuple
from urllib.parse import urlencode
from urllib.request import urlopen

import pandas
import polars
import pyarrow.parquet
import pytest
from pandas.testing import assert_frame_equal

from tests.e2e.command import post
from tests.e2e.counting import counting
from tests.e2e.hub import Hub, running_hub

ROWS = 20_000
WIDE = f"""
SELECT i AS n, array_to_string([md5(i || '-' || part) for part in range(8)], '') AS body
FROM range({ROWS}) AS t(i)
"""
CONFIG = """
url:
  notes:
    pattern: /notes
    handler: MessageHandler
    kwargs: {columns: {body: TEXT, n: INTEGER, price: "DECIMAL(12,2)", seen: TIMESTAMPTZ}}
  other:
    pattern: /other
    handler: MessageHandler
    kwargs: {columns: {body: TEXT}}
  ask:
    pattern: /ask
    handler: SQLHandler
    kwargs: {tables: notes, limits: {rows: 20000}}
  both:
    pattern: /both
    handler: SQLHandler
    kwargs: {tables: all, auth: true}
  taken:
    pattern: /ask.ndjson
    handler: MessageHandler
    kwargs: {columns: {body: TEXT}}
auth:
  proxy: {header: X-User, trusted: [127.0.0.1]}
"""


class Answer(NamedTuple):
    status: int
    headers: HTTPMessage
    body: bytes

    @property
    def code(self) -> str:
        code: str = json.loads(self.body)["_error"]["code"]
        return code


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with running_hub(tmp_path_factory.mktemp("hub"), CONFIG) as hub:
        post(f"{hub.url}/notes", id="a", body="=1+1", n=6, price=1.5, seen="2026-01-02T03:04:05Z")
        post(f"{hub.url}/notes", id="b", body="two", n=7, price=2)
        yield hub


def path_of(sql: str, suffix: str = "parquet", handler: str = "ask", **args: object) -> str:
    return f"/{handler}.{suffix}?{urlencode({'sql': sql, **args})}"


def ask(hub: Hub, path: str, method: str = "GET", **headers: str) -> Answer:
    """Send a request; `if_match="x"` is the header `If-Match: x`."""
    connection = http.client.HTTPConnection(hub.url.removeprefix("http://"), timeout=20)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, headers=named)
    answer = connection.getresponse()
    found = Answer(answer.status, answer.headers, answer.read())
    connection.close()
    return found


def test_tools_open_every_kind_of_file_by_its_url(hub: Hub) -> None:
    parquet = hub.url + path_of(WIDE)
    arrow, csv = hub.url + path_of(WIDE, "arrow"), hub.url + path_of(WIDE, "csv")
    ndjson = f"{hub.url}{path_of(WIDE, 'ndjson', 'both')}"
    expected = sum(range(ROWS))
    frames = [
        polars.scan_parquet(parquet).select("n").collect(),
        polars.read_parquet(parquet),
        polars.scan_ipc(arrow).select("n").collect(),
        polars.read_csv(csv),
        polars.scan_csv(csv).select("n").collect(),
    ]
    assert [frame["n"].sum() for frame in frames] == [expected] * len(frames)
    login = {"X-User": "ann"}
    tables = [
        pandas.read_parquet(parquet),
        pandas.read_feather(arrow),
        pandas.read_csv(csv),
        pandas.read_json(ndjson, lines=True, storage_options=login),
    ]
    assert [int(table["n"].sum()) for table in tables] == [expected] * len(tables)


def test_a_scan_of_one_column_gets_a_fraction_of_the_bytes(hub: Hub) -> None:
    path = path_of(WIDE)
    size = len(ask(hub, path).body)
    with counting(hub.url) as proxy:
        found = polars.scan_parquet(proxy.url + path).select(polars.col("n").sum())
        assert found.collect().item() == sum(range(ROWS))
        assert 0 < proxy.received < 0.2 * size
        assert all(wanted for _, wanted in proxy.asked), "each request has a range"


def test_rows_and_a_query_for_them_are_the_same_frame(hub: Hub) -> None:
    columns = "id, body, n, price, seen"
    of_rows = pandas.read_parquet(
        f"{hub.url}/notes.parquet?_sort=id&{'&'.join(f'_c={c}' for c in columns.split(', '))}"
    )
    of_query = pandas.read_parquet(hub.url + path_of(f"SELECT {columns} FROM notes ORDER BY id"))
    assert_frame_equal(of_rows, of_query)


def test_a_reader_sees_its_own_write_although_files_are_kept(hub: Hub) -> None:
    path = path_of("SELECT count(*) AS c FROM notes WHERE body = $body", body="own")
    for expected in range(1, 6):
        post(f"{hub.url}/notes", body="own")
        assert polars.scan_parquet(hub.url + path).collect()["c"].to_list() == [expected]


def test_parts_are_of_one_state_while_rows_are_written(hub: Hub) -> None:
    path = path_of("SELECT body FROM notes WHERE n = 8", "csv")
    for _ in range(50):
        post(f"{hub.url}/notes", body="before", n=8)
    whole, head = ask(hub, path), ask(hub, path, "HEAD")
    assert (head.status, head.body, head.headers["ETag"]) == (200, b"", whole.headers["ETag"])
    assert int(head.headers["Content-Length"]) == len(whole.body)
    assert head.headers["EventHub-Position"] in whole.headers["ETag"]
    assert head.headers["EventHub-Rows"] == "50"
    parts = []
    for start in range(0, len(whole.body), 100):
        post(f"{hub.url}/notes", body="meanwhile", n=8)
        part = ask(hub, path, Range=f"bytes={start}-{start + 99}")
        assert part.status == 206
        parts.append(part.body)
    assert b"".join(parts) == whole.body
    newer = ask(hub, path)
    assert newer.body.count(b"meanwhile") == len(parts)
    tag = whole.headers["ETag"]
    assert ask(hub, path, Range="bytes=1-3", If_Range=tag).body == whole.body[1:4]
    assert ask(hub, path, If_Match='"other"').code == "conflict"
    assert ask(hub, path, Range="bytes=9999999-").code == "bad_range"


def test_a_client_that_has_the_file_is_told_so_until_a_write(hub: Hub) -> None:
    path = path_of("SELECT max(n) AS n, random() AS r FROM notes", "csv")
    first = ask(hub, path)
    same = ask(hub, path, If_None_Match=first.headers["ETag"])
    assert (same.status, same.body) == (304, b"")
    assert ask(hub, path).body == first.body, "a kept file"
    post(f"{hub.url}/other", body="of a table that the handler does not have")
    assert ask(hub, path, If_None_Match=first.headers["ETag"]).status == 304
    post(f"{hub.url}/notes", n=9)
    assert ask(hub, path, If_None_Match=first.headers["ETag"]).status == 200
    other = path_of("SELECT max(n) AS n, random() AS r FROM notes", "ndjson", "both")
    two = ask(hub, other, X_User="ann")
    assert two.status == 200, two.body
    assert ask(hub, other, If_None_Match=two.headers["ETag"], X_User="bob").status == 304
    post(f"{hub.url}/other", body="of a table that this handler has")
    assert ask(hub, other, If_None_Match=two.headers["ETag"], X_User="bob").status == 200


def test_a_file_is_cut_at_the_limit_and_says_so(hub: Hub) -> None:
    answer = ask(hub, path_of("FROM range(20001)"))
    assert answer.headers["EventHub-Truncated"] == "true"
    assert pyarrow.parquet.read_metadata(pyarrow.BufferReader(answer.body)).num_rows == 20_000
    answer = ask(hub, path_of("FROM range(20000)"), "HEAD")
    assert answer.headers["EventHub-Truncated"] is None


def test_csv_that_is_safe_is_another_file(hub: Hub) -> None:
    sql = "SELECT body FROM notes WHERE id = 'a'"
    assert ask(hub, path_of(sql, "csv")).body == b"body\r\n=1+1\r\n"
    assert ask(hub, path_of(sql, "csv", _csv="safe")).body == b"body\r\n'=1+1\r\n"


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/ask.parquet", "bad_request"),
        (path_of("SELECT 1", _format="csv"), "bad_request"),
        (path_of("SELECT 1", min_seq=1), "bad_request"),
        (path_of("SELECT 1", _csv="safe"), "bad_filter"),
        (path_of("SELECT $n::INTEGER"), "bad_request"),
        (path_of("FROM nope"), "bad_sql"),
        (path_of("DROP TABLE notes"), "bad_sql"),
        (path_of("FROM notes", handler="both"), "unauthorized"),
        ("/ask.xlsx?sql=SELECT+1", "unknown_path"),
    ],
)
def test_what_is_no_file_of_an_answer_is_refused(hub: Hub, path: str, code: str) -> None:
    answer = ask(hub, path)
    assert answer.code == code
    assert answer.headers["ETag"] is None


def test_a_file_is_read_and_not_written(hub: Hub) -> None:
    assert ask(hub, path_of("SELECT 1"), "POST").code == "method_not_allowed"
    assert ask(hub, "/ask.csv", "OPTIONS").headers["Allow"] == "GET, HEAD, OPTIONS"


def test_an_endpoint_at_the_path_goes_first(hub: Hub) -> None:
    post(f"{hub.url}/ask.ndjson", body="of an endpoint")
    with urlopen(f"{hub.url}/ask.ndjson") as answer:
        assert b"of an endpoint" in answer.read()
