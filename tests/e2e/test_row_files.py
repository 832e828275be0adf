"""The rows of an endpoint are files that tools open by their URL, and read in parts."""

import gzip
import http.client
import json
import os
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.client import HTTPMessage
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pandas
import polars
import pyarrow.parquet
import pytest

from tests.e2e.command import post
from tests.e2e.counting import counting
from tests.e2e.hub import Hub

ROWS = 20_000
CONFIG = """
url:
  notes:
    pattern: /notes
    handler: MessageHandler
    kwargs: &kwargs
      columns: &columns {body: TEXT, n: INTEGER, price: "DECIMAL(12,2)", seen: TIMESTAMPTZ}
  few:
    pattern: /few
    handler: MessageHandler
    kwargs: {columns: {body: TEXT, n: INTEGER}}
  odd:
    pattern: /few.csv
    handler: MessageHandler
    kwargs: {columns: {body: TEXT}}
  even:
    pattern: /site/few
    handler: MessageHandler
    kwargs: {table: few, columns: {body: TEXT, n: INTEGER}, open: 'args.update({"n": ["2"]})'}
  history:
    pattern: /history
    handler: MessageHandler
    kwargs: {table: few, columns: {body: TEXT, n: INTEGER}, default: {_replay: log}}
  site: {pattern: /site/(.*), handler: FileHandler, kwargs: {path: $YAMLPATH/site}}
"""


READERS: dict[str, Callable[[str], polars.LazyFrame]] = {
    "parquet": polars.scan_parquet,
    "arrow": polars.scan_ipc,
    "csv": polars.scan_csv,
    "ndjson": polars.scan_ndjson,
}


class Answer(NamedTuple):
    status: int
    headers: HTTPMessage
    body: bytes

    @property
    def code(self) -> str:
        code: str = json.loads(self.body)["_error"]["code"]
        return code


def ask(hub: Hub, path: str, method: str = "GET", **headers: str) -> Answer:
    """Send a request; `if_match="x"` is the header `If-Match: x`."""
    connection = http.client.HTTPConnection(hub.url.removeprefix("http://"), timeout=20)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, headers=named)
    answer = connection.getresponse()
    found = Answer(answer.status, answer.headers, answer.read())
    connection.close()
    return found


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """One hub for all tests of this file: `notes` is large, and `few` is written by the tests."""
    folder: Path = tmp_path_factory.mktemp("hub")
    (folder / "eventhub.yaml").write_text(CONFIG)
    (folder / "site").mkdir()
    started = Hub(folder / "eventhub.yaml", folder, [])
    started.start()
    digits = random.Random(1)
    for start in range(0, ROWS, 2000):
        rows = [
            {"n": n, "body": f"{digits.getrandbits(600):x}", "price": n / 4, "seen": "2026-01-01"}
            for n in range(start, start + 2000)
        ]
        send(started, "/notes", rows)
    yield started
    started.kill()


def send(hub: Hub, path: str, rows: list[dict[str, Any]]) -> None:
    """POST rows as one array."""
    connection = http.client.HTTPConnection(hub.url.removeprefix("http://"), timeout=60)
    connection.request("POST", path, json.dumps(rows), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    assert answer.status == 200
    assert b"_error" not in answer.read()
    connection.close()


def test_tools_open_every_kind_of_file_by_its_url(hub: Hub, tmp_path: Path) -> None:
    url = f"{hub.url}/notes"
    expected = sum(range(ROWS))
    frames = [
        polars.scan_parquet(f"{url}.parquet").select("n").collect(),
        polars.read_parquet(f"{url}.parquet"),
        polars.scan_ipc(f"{url}.arrow").select("n").collect(),
        polars.read_ipc(f"{url}.arrow"),
        polars.read_csv(f"{url}.csv"),
        polars.scan_csv(f"{url}.csv").select("n").collect(),
        polars.scan_ndjson(f"{url}.ndjson").select("n").collect(),
    ]
    assert [frame["n"].sum() for frame in frames] == [expected] * len(frames)
    tables = [
        pandas.read_parquet(f"{url}.parquet"),
        pandas.read_feather(f"{url}.arrow"),
        pandas.read_csv(f"{url}.csv"),
        pandas.read_json(f"{url}.ndjson", lines=True),
    ]
    assert [int(table["n"].sum()) for table in tables] == [expected] * len(tables)
    assert str(tables[0]["seen"].dtype) == str(tables[1]["seen"].dtype) == "datetime64[us, UTC]"
    path = tmp_path / "notes.parquet"
    path.write_bytes(ask(hub, "/notes.parquet").body)
    # The SQL of an analyst names the URL where this test, without DuckDB's httpfs, names a copy.
    sql = f"SELECT count(*), sum(n) FROM '{path}' WHERE n < 10"
    assert duckdb.connect().execute(sql).fetchall() == [(10, 45)]


def test_a_scan_of_one_column_gets_a_fraction_of_the_bytes(hub: Hub) -> None:
    size = len(ask(hub, "/notes.parquet").body)
    with counting(hub.url) as proxy:
        found = polars.scan_parquet(f"{proxy.url}/notes.parquet").select(polars.col("n").sum())
        assert found.collect().item() == sum(range(ROWS))
        assert 0 < proxy.received < 0.2 * size
        assert all(wanted for _, wanted in proxy.asked), "each request has a range"


def test_row_groups_have_statistics_of_every_column(hub: Hub, tmp_path: Path) -> None:
    path = tmp_path / "notes.parquet"
    path.write_bytes(ask(hub, "/notes.parquet?_c=n&_c=seen&_c=timestamp").body)
    file = pyarrow.parquet.ParquetFile(path)
    group = file.metadata.row_group(0)
    assert group.num_rows <= 100_000
    found = [group.column(index).statistics for index in range(group.num_columns)]
    assert all(each.has_min_max for each in found)
    assert (found[0].min, found[0].null_count) == (0, 0)


def test_a_reader_sees_its_own_write_although_files_are_kept(hub: Hub) -> None:
    for n in range(3):
        for name in READERS:
            post(f"{hub.url}/site/few", body=f"{n} {name}", n=2)
            path = f"{hub.url}/site/few.{name}"
            assert f"{n} {name}" in READERS[name](path).collect()["body"].to_list()


def test_parts_are_of_one_state_while_rows_are_written(hub: Hub) -> None:
    path = "/few.ndjson?n=7"
    for _ in range(50):
        post(f"{hub.url}/few", body="before", n=7)
    whole = ask(hub, path)
    head = ask(hub, path, "HEAD")
    assert (head.status, head.body, head.headers["ETag"]) == (200, b"", whole.headers["ETag"])
    size = int(head.headers["Content-Length"])
    assert size == len(whole.body)
    parts = []
    for start in range(0, size, 1000):
        post(f"{hub.url}/few", body="meanwhile", n=7)
        part = ask(hub, path, Range=f"bytes={start}-{start + 999}")
        assert part.status == 206
        stop = min(start + 1000, size)
        assert part.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{size}"
        assert part.headers["EventHub-Position"] == whole.headers["EventHub-Position"]
        parts.append(part.body)
    assert b"".join(parts) == whole.body
    newer = ask(hub, path)
    assert newer.headers["ETag"] != whole.headers["ETag"]
    assert len(newer.body) > size
    # What has a validator is of the version that it names, for as long as that is kept.
    tag = whole.headers["ETag"]
    for name in ("If_Match", "If_Range"):
        part = ask(hub, path, Range="bytes=10-19", **{name: tag})
        assert (part.status, part.body) == (206, whole.body[10:20])


def test_conditions_of_a_request(hub: Hub) -> None:
    path = "/notes.csv?n<=3"
    whole = ask(hub, path)
    tag = whole.headers["ETag"]
    same = ask(hub, path, If_None_Match=f'"other", {tag}')
    assert (same.status, same.body, same.headers["ETag"]) == (304, b"", tag)
    assert ask(hub, path, If_None_Match='"other"').status == 200
    assert ask(hub, path, If_Match='"other"').status == 412
    assert ask(hub, path, If_Match="nothing").code == "conflict"
    assert ask(hub, path, If_Match="*").body == whole.body
    replaced = ask(hub, path, Range="bytes=0-9", If_Range='"other"')
    assert (replaced.status, replaced.body) == (200, whole.body)
    other = ask(hub, "/notes.csv?n<=4", Range="bytes=0-9", If_Range=tag)
    assert other.status == 200, "a tag of another query"
    assert ask(hub, "/notes.csv?n<=4", If_None_Match=tag).status == 200


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("bytes=0-9", slice(0, 10)),
        ("bytes=5-", slice(5, None)),
        ("bytes=-7", slice(-7, None)),
        ("bytes=-99999999", slice(None)),
        ("bytes=3-99999999", slice(3, None)),
    ],
)
def test_a_range_is_a_part_of_the_whole(hub: Hub, wanted: str, expected: slice) -> None:
    path = "/notes.parquet?n<=9"
    whole = ask(hub, path).body
    part = ask(hub, path, Range=wanted)
    assert (part.status, part.body) == (206, whole[expected])


@pytest.mark.parametrize("wanted", ["bytes=5-3", "bytes=-", "rows=0-9", "bytes=0-1,3-4", "x"])
def test_a_range_that_is_not_one_range_of_bytes_has_no_effect(hub: Hub, wanted: str) -> None:
    whole = ask(hub, "/notes.csv?n<=9")
    answer = ask(hub, "/notes.csv?n<=9", Range=wanted)
    assert (answer.status, answer.body) == (200, whole.body)


@pytest.mark.parametrize("wanted", ["bytes=99999999-", "bytes=-0"])
def test_a_range_after_the_end_is_refused(hub: Hub, wanted: str) -> None:
    size = len(ask(hub, "/notes.csv?n<=9").body)
    answer = ask(hub, "/notes.csv?n<=9", Range=wanted)
    assert (answer.status, answer.code) == (416, "bad_range")
    assert answer.headers["Content-Range"] == f"bytes */{size}"


def test_the_url_of_a_past_state_stays_the_same_file(hub: Hub) -> None:
    post(f"{hub.url}/few", id="past", body="old", n=8)
    position = ask(hub, "/few.ndjson?n=8").headers["EventHub-Position"]
    path = f"/few.ndjson?n=8&_as_of={position}"
    first = ask(hub, path)
    post(f"{hub.url}/few", body="new", n=8)
    second = ask(hub, path)
    assert [json.loads(line)["body"] for line in second.body.splitlines()] == ["old"]
    assert second.headers["ETag"] == first.headers["ETag"]
    assert ask(hub, path, If_None_Match=first.headers["ETag"]).status == 304
    assert ask(hub, "/few.ndjson?_as_of=99999999").code == "bad_position"


def test_a_restriction_holds_for_the_file_and_its_parts(hub: Hub) -> None:
    post(f"{hub.url}/few", body="hidden", n=3)
    post(f"{hub.url}/few", body="shown", n=2)
    tag = ask(hub, "/few.ndjson").headers["ETag"]
    whole = ask(hub, "/site/few.ndjson")
    assert b"shown" in whole.body
    assert b"hidden" not in whole.body
    for headers in ({"If_Range": tag}, {}):
        part = ask(hub, "/site/few.ndjson", Range="bytes=0-999999", **headers)
        assert part.body == whole.body
    assert ask(hub, "/site/few.ndjson", If_Match=tag).status == 412


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/notes.csv?Body=red", "bad_filter"),
        ("/notes.csv?_format=json", "bad_filter"),
        ("/notes.csv?_since=earliest", "bad_filter"),
        ("/notes.csv?_bigint=string", "bad_filter"),
        ("/notes.parquet?_csv=safe", "bad_filter"),
        ("/history.csv", "bad_request"),
        ("/notes.xlsx", "unknown_path"),
        ("/notes.csv.csv", "unknown_path"),
        ("/notes.CSV", "unknown_path"),
    ],
)
def test_what_is_no_file_of_rows_is_refused(hub: Hub, path: str, code: str) -> None:
    assert ask(hub, path).code == code


def test_a_file_is_read_and_not_written(hub: Hub) -> None:
    answer = ask(hub, "/notes.csv", "POST")
    assert (answer.status, answer.code) == (405, "method_not_allowed")
    allowed = ask(hub, "/notes.csv", "OPTIONS")
    assert (allowed.status, allowed.headers["Allow"]) == (204, "GET, HEAD, OPTIONS")


def test_an_endpoint_or_a_file_at_the_path_goes_first(hub: Hub) -> None:
    post(f"{hub.url}/few.csv", body="of an endpoint")
    assert b"of an endpoint" in ask(hub, "/few.csv").body
    assert ask(hub, "/few.csv").headers["Content-Type"].startswith("application/json")
    assert b"of an endpoint" in ask(hub, "/few.csv.csv").body
    post(f"{hub.url}/few", body="of the table", n=2)
    assert b"of the table" in ask(hub, "/site/few.csv").body
    (hub.folder / "site" / "few.csv").write_text("of a folder")
    try:
        assert ask(hub, "/site/few.csv").body == b"of a folder"
        assert ask(hub, "/site/few.csv", Range="bytes=3-4").body == b"a "
    finally:
        (hub.folder / "site" / "few.csv").unlink()
    assert b"of the table" in ask(hub, "/site/few.csv").body


def test_a_compressed_file_has_a_weak_tag_and_no_parts(hub: Hub) -> None:
    plain = ask(hub, "/notes.csv")
    packed = ask(hub, "/notes.csv", accept_encoding="gzip")
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    assert packed.headers["ETag"] == f"W/{plain.headers['ETag']}"
    assert packed.headers["Accept-Ranges"] is None
    assert "Accept-Encoding" in packed.headers["Vary"]
    weak = packed.headers["ETag"]
    again = ask(hub, "/notes.csv", accept_encoding="gzip", if_none_match=weak)
    assert (again.status, again.headers["ETag"], again.body) == (304, weak, b"")
    for condition, status in ((weak, 200), (plain.headers["ETag"], 206)):
        part = ask(hub, "/notes.csv", accept_encoding="gzip", range="bytes=0-9", if_range=condition)
        assert (part.status, part.headers["Content-Encoding"]) == (status, None)
        assert part.body == plain.body[: 10 if status == 206 else None]
    assert ask(hub, "/notes.csv", if_match=weak).status == 412
    columns = ask(hub, "/notes.parquet", accept_encoding="gzip, zstd")
    assert columns.headers["Content-Encoding"] is None


def test_csv_that_is_safe_is_another_file(hub: Hub) -> None:
    post(f"{hub.url}/few", body="=1+1", n=2)
    plain, safe = (ask(hub, f"/site/few.csv?_c=body{more}") for more in ("", "&_csv=safe"))
    assert b"\n=1+1" in plain.body
    assert b"\n'=1+1" in safe.body
    assert plain.headers["ETag"] != safe.headers["ETag"]


def test_a_kept_file_has_no_name_that_could_outlive_the_hub(hub: Hub) -> None:
    before = set((hub.folder / "data").iterdir())
    assert hub.process is not None
    assert ask(hub, "/notes.csv?n<=5").status == 200
    assert set((hub.folder / "data").iterdir()) == before
    opened = []
    for each in Path(f"/proc/{hub.process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # it was closed meanwhile
            opened.append(os.readlink(each))
    assert any("(deleted)" in name and str(hub.folder) in name for name in opened)
