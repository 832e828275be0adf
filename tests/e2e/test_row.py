"""One row is a resource: it is read, changed and deleted at a path of its own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import msgspec
import pytest
from yarl import URL

from tests.e2e.client import connect, get
from tests.e2e.command import post
from tests.e2e.hub import Hub
from tests.e2e.wire import ask, head, with_body

CONFIG = """
url:
  notes: &notes
    pattern: /notes
    handler: MessageHandler
    kwargs: &kwargs
      columns: &columns {body: TEXT, n: INTEGER, tags: JSON, owner: TEXT}
  own:
    pattern: /own
    handler: MessageHandler
    kwargs: {table: notes, columns: *columns, open: 'handler.args.update(owner=["ann"])'}
  sorted:
    pattern: /sorted/
    handler: MessageHandler
    kwargs: {table: notes, columns: *columns, default: {_limit: 0, _sort: -n}}
  page:
    pattern: /(.*)
    handler: FileHandler
    kwargs: {path: $YAMLPATH/page}
"""
BIG = 2**53 + 1


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    folder: Path = tmp_path_factory.mktemp("hub")
    (folder / "eventhub.yaml").write_text(CONFIG)
    (folder / "page" / "notes").mkdir(parents=True)
    (folder / "page" / "index.html").write_text("<p>page")
    (folder / "page" / "notes" / "app.js").write_text("let x")
    started = Hub(folder / "eventhub.yaml", folder, [])
    started.start()
    yield started
    assert "request_failed" not in started.stderr()
    started.kill()


async def answer(method: str, url: str | URL, **args: Any) -> tuple[int, dict[str, str], Any]:
    async with aiohttp.ClientSession() as session, session.request(method, url, **args) as got:
        text = await got.read()
        is_json = got.content_type == "application/json" and text
        return (
            got.status,
            {k.lower(): v for k, v in got.headers.items()},
            msgspec.json.decode(text) if is_json else text,
        )


async def test_a_row_is_what_a_get_of_rows_has_and_its_tag_is_its_sequence(hub: Hub) -> None:
    url = f"{hub.url}/notes"
    for row_id in ("a", "a b/c?é", "%2F", "{x}", "1"):
        receipt = post(url, id=row_id, body="x", n=BIG, tags=[{"y": None}])
        path = URL(f"{url}/{quote(row_id, safe='')}", encoded=True)
        status, headers, row = await answer("GET", path)
        assert (status, headers.get("etag")) == (200, f'"{receipt["_seq"]}"'), row_id
        assert await get(url, id=row_id) == [row]


async def test_a_reader_gets_a_row_again_only_after_it_changed(hub: Hub) -> None:
    url = f"{hub.url}/notes"
    post(url, id="t", body="1")
    _, headers, _ = await answer("GET", f"{url}/t")
    tag = headers["etag"]
    for condition, expected in [
        ({"If-None-Match": tag}, 304),
        ({"If-None-Match": f"W/{tag}"}, 304),
        ({"If-None-Match": "*"}, 304),
        ({"If-None-Match": '"1000000"'}, 200),
        ({"If-Match": tag}, 200),
        ({"If-Match": '"1000000"'}, 412),
    ]:
        status, got, body = await answer("GET", f"{url}/t", headers=condition)
        assert status == expected, condition
        if status == 304:
            assert (got["etag"], body) == (tag, b"")
    status, _, _ = await answer("PUT", f"{url}/t", json={"body": "2"}, headers={"If-Match": tag})
    assert status == 200
    status, _, row = await answer("GET", f"{url}/t", headers={"If-None-Match": tag})
    assert (status, row["body"]) == (200, "2")
    status, _, refused = await answer(
        "PATCH", f"{url}/t", json={"body": "3"}, headers={"If-Match": tag}
    )
    assert (status, refused["_error"]["code"]) == (412, "conflict")


async def test_an_upsert_creates_a_row_at_its_path_or_changes_it(hub: Hub) -> None:
    url = f"{hub.url}/notes"
    async with connect(f"{url}?id=up&_since=now") as live:
        await live.replay()
        for body, status, created in (("1", 201, True), ("2", 200, False)):
            got = await answer("PUT", f"{url}/up?_upsert", json={"body": body})
            assert (got[0], got[2]["created"]) == (status, created)
        await live.send({"id": "up", "n": 3, "_upsert": True, "_ref": 1})
        frames = [await live.receive() for _ in range(4)]
        assert [each["_method"] for each in frames if "_method" in each] == ["POST", "PUT", "PUT"]
        assert [each["created"] for each in frames if "_ack" in each] == [False]
    assert (await get(url, id="up"))[0]["body"] == "2"
    status, _, outcomes = await answer(
        "POST", f"{url}?_upsert", json=[{"id": "up", "n": 4}, {"id": "up2"}, {"n": 1}]
    )
    assert status == 200
    assert [each.get("created") for each in outcomes] == [False, True, None]
    assert outcomes[2]["_error"]["code"] == "bad_id"
    conditional = {"If-None-Match": "*"}
    assert (await answer("PUT", f"{url}/up?_upsert", json={}, headers=conditional))[0] == 412
    assert (await answer("PUT", f"{url}/up3?_upsert=no", json={}))[0] == 404


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("DELETE", "/notes?id=up&_upsert", "bad_control"),
        ("DELETE", "/notes/up?_upsert", "bad_control"),
        ("PUT", "/notes/up?_upsert=maybe", "bad_control"),
        ("GET", "/notes?_upsert", "bad_filter"),
        ("GET", "/notes/up?_upsert", "bad_filter"),
    ],
)
async def test_an_upsert_where_it_means_nothing_is_refused(
    hub: Hub, method: str, path: str, code: str
) -> None:
    body = {"json": {"body": "x"}} if method == "PUT" else {}
    status, _, refused = await answer(method, hub.url + path, **body)
    assert (status, refused["_error"]["code"]) == (400, code)


async def test_a_patch_changes_what_it_names_and_a_delete_needs_no_body(hub: Hub) -> None:
    url = f"{hub.url}/notes"
    post(url, id="p", body="1", n=1)
    merge = {"Content-Type": "application/merge-patch+json"}
    status, _, receipt = await answer("PATCH", f"{url}/p", data=b'{"n": null}', headers=merge)
    assert (status, receipt["id"]) == (200, "p")
    status, _, _ = await answer("PATCH", url, json={"id": "p", "body": "2"})
    assert status == 200
    _, _, row = await answer("GET", f"{url}/p?_c=body&_c=n")
    assert row == {"body": "2", "n": None}
    operations = {"Content-Type": "application/json-patch+json"}
    status, _, _ = await answer("PATCH", f"{url}/p", data=b"[]", headers=operations)
    assert status == 415
    assert (await answer("DELETE", f"{url}/p"))[0] == 200
    for method in ("GET", "DELETE"):
        status, _, gone = await answer(method, f"{url}/p")
        assert (status, gone["_error"]["code"]) == (404, "not_found")
    status, _, past = await answer("GET", f"{url}/p?_as_of={receipt['_seq']}")
    assert (status, past["n"], past["body"]) == (200, None, "1")


async def test_a_message_of_another_row_than_its_path_is_refused(hub: Hub) -> None:
    url = f"{hub.url}/notes/m"
    post(f"{hub.url}/notes", id="m", body="1")
    cases: list[tuple[str, dict[str, Any], str]] = [
        ("PUT", {"json": {"id": "other", "body": "2"}}, "bad_id"),
        ("PUT", {"json": [{"body": "2"}]}, "bad_body"),
        ("DELETE", {"params": {"id": "other"}}, "bad_filter"),
        ("GET", {"params": {"id": "m"}}, "bad_filter"),
        ("GET", {"params": {"_limit": "1"}}, "bad_filter"),
    ]
    for method, sent, code in cases:
        status, _, refused = await answer(method, url, **sent)
        assert (status, refused["_error"]["code"]) == (400, code), sent
    assert (await answer("PUT", url, json={"id": "m", "body": "2"}))[0] == 200


async def test_what_a_client_may_not_read_is_not_there(hub: Hub) -> None:
    receipts = {name: post(f"{hub.url}/notes", id=name, owner=name) for name in ("ann", "bob")}
    assert (await answer("GET", f"{hub.url}/own/ann"))[0] == 200
    for headers in ({}, {"If-None-Match": f'"{receipts["bob"]["_seq"]}"'}, {"If-Match": "*"}):
        status, _, _ = await answer("GET", f"{hub.url}/own/bob", headers=headers)
        assert status == 404
    assert (await answer("GET", f"{hub.url}/notes/ann?owner=bob"))[0] == 404
    assert (await answer("GET", f"{hub.url}/sorted/bob"))[0] == 200


async def test_a_row_can_be_followed_by_its_path(hub: Hub) -> None:
    url = f"{hub.url}/notes"
    for row_id in ("one", "two"):
        post(url, id=row_id, body="1")
    async with connect(f"{url}/one") as client:
        assert [row["id"] for row in await client.replay()] == ["one"]
        post(url, _method="PUT", id="two", body="2")
        post(url, _method="PUT", id="one", body="2")
        assert (await client.receive())["id"] == "one"
    _, _, events = await answer("GET", f"{url}/two?_since=earliest")
    assert [event["id"] for event in events] == ["two", "two"]


async def test_a_file_is_not_hidden_by_the_id_of_a_row(hub: Hub) -> None:
    post(f"{hub.url}/notes", id="app.js", body="evil")
    status, headers, text = await answer("GET", f"{hub.url}/notes/app.js")
    assert (status, text) == (200, b"let x")
    assert headers["content-type"].startswith("text/javascript")
    status, _, _ = await answer("GET", f"{hub.url}/notes/other.js")
    assert status == 404


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "application/json"),
        ("application/json, text/plain, */*", "application/json"),
        ("application/x-ndjson", "application/x-ndjson"),
        ("text/csv", "text/csv"),
        ("text/csv;q=0.5, application/vnd.apache.parquet", "application/vnd.apache.parquet"),
        ("text/csv;q=0.5, */*", "application/json"),
        ("text/csv;q=0, application/x-ndjson;q=0.1", "application/x-ndjson"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html"),
        ("image/png", "application/json"),
        (";;q=,,=", "application/json"),
    ],
)
async def test_accept_chooses_the_format(hub: Hub, accept: str, kind: str) -> None:
    _, headers, _ = await answer("GET", f"{hub.url}/notes", headers={"Accept": accept})
    assert headers["content-type"].partition(";")[0] == kind
    assert "Accept" in headers["vary"]
    url = f"{hub.url}/notes?_format=json"
    _, headers, _ = await answer("GET", url, headers={"Accept": accept})
    assert headers["content-type"].startswith("application/json")


# --- Each kind of endpoint, with each method ----------------------------------------------------

ROWS, ROW = "GET HEAD POST PUT PATCH DELETE OPTIONS", "GET HEAD PUT PATCH DELETE OPTIONS"
FILE = "GET HEAD OPTIONS"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
HEADERS = (
    "X-None: 1",
    "Accept: text/csv",
    "Accept: application/x-ndjson",
    'If-None-Match: "x"',
    "Accept-Encoding: gzip, zstd",
    "Range: bytes=0-1",
    "Cache-Control: no-cache",
    "If-Modified-Since: Mon, 30 Nov 2026 10:00:00 GMT",
    "Origin: null",
    "Content-Type: application/json",
    "Cookie: a=b",
    "Last-Event-ID: x.1",
)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        *(("/notes", ROWS), ("/own", ROWS), ("/sorted/", ROWS), ("/notes/a", ROW)),
        *(("/", FILE), ("/index.html", FILE), ("/healthz", FILE)),
    ],
)
def test_each_kind_of_endpoint_answers_each_method_and_header(
    hub: Hub, path: str, allowed: str, method: str
) -> None:
    """Never with a failure, a version, or another set of methods than `Allow` lists."""
    for header in HEADERS:
        sent = with_body(f"{method} {path} HTTP/1.1", b'{"body": "x"}', header)
        if method in ("GET", "HEAD", "OPTIONS"):
            sent = head(f"{method} {path} HTTP/1.1", header)
        got = ask(hub.url, sent)
        assert got.status < 500
        assert got.headers["server"] == "EventHub"
        assert got.headers["x-content-type-options"] == "nosniff"
        if method not in allowed.split():
            assert (got.status, got.code) == (405, "method_not_allowed")
            listed = set(got.headers["allow"].replace(" ", "").split(","))
            assert listed | {"OPTIONS"} == set(allowed.split())
        elif "Origin" in header and allowed != FILE and method != "OPTIONS":
            assert got.status == 403
        else:
            assert got.status != 405
        if method == "HEAD":
            assert got.body == b""
