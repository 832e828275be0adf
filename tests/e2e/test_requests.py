"""A client's mistake gets an error object, without a traceback or a page of the HTTP library."""

import gzip
import zlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import msgspec
import pytest

from eventhub.gateway.conditional import SINGLE
from tests.e2e.client import connect, get, request
from tests.e2e.hub import Hub, running_hub
from tests.e2e.wire import ask, connected, head, read_answer, with_body

CONFIG = """
url:
  rows:
    pattern: /rows
    handler: MessageHandler
    kwargs: {columns: {body: TEXT, tags: JSON, n: INTEGER}, origins: ["https://page.example"]}
  free:
    pattern: /free
    handler: MessageHandler
  guarded:
    pattern: /guarded
    handler: MessageHandler
    kwargs: {auth: true}
  page:
    pattern: /page
    handler: FileHandler
    kwargs: {path: page.html}
"""
FORM = "Content-Type: application/x-www-form-urlencoded"
PARTS = "Content-Type: multipart/form-data; boundary=x"
BOM = b"\xef\xbb\xbf"


def gzipped(data: bytes) -> bytes:
    """Without the time: parameters of a test are the same in all processes."""
    return gzip.compress(data, mtime=0)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """One hub for all tests of this file."""
    with running_hub(tmp_path_factory.mktemp("hub"), CONFIG, {"page.html": "<p>page"}) as hub:
        yield hub
        assert "Traceback" not in hub.stderr()
        assert "request_failed" not in hub.stderr()


def part(*lines: str, value: bytes = b"y") -> bytes:
    return b"--x\r\n" + "\r\n".join([*lines, "", ""]).encode() + value + b"\r\n"


NAMED = 'Content-Disposition: form-data; name="body"'
END = b"--x--\r\n"


@pytest.mark.parametrize(
    ("lines", "body", "status", "code"),
    [
        ([FORM], b"body=caf\xe9", 400, "bad_body"),
        ([FORM], b"body=caf%E9", 400, "bad_body"),
        ([FORM], b"caf%E9=body&body=1", 400, "bad_body"),
        ([FORM], b"hello", 400, "bad_json"),
        ([FORM], b"", 400, "bad_json"),
        ([FORM], b"5", 400, "bad_json"),
        ([FORM], b"colour=red", 400, "bad_body"),
        ([FORM], b"<a href='x'>", 400, "bad_body"),
        ([FORM + "; charset=klingon"], b"body=x", 415, "bad_type"),
        ([FORM + "; charset=zip"], b"body=x", 415, "bad_type"),
        ([FORM + "; charset=idna"], b"body=x", 415, "bad_type"),
        ([FORM + "; charset=utf-16"], b"body=x", 415, "bad_type"),
        ([FORM + "; charset=\"utf-8\x00\""], b"body=x", 400, "bad_request"),
        ([FORM + "; charset=us-ascii"], b"body=\xc3\xa9", 400, "bad_body"),
        ([FORM], b"&".join([b"body=x"] * 1001), 413, "too_large"),
        ([FORM], b"_method=POST&_method=PUT&body=x", 400, "bad_control"),
        ([FORM], b"_key=a&_key=b&body=x", 400, "bad_control"),
        ([FORM], b"body=red&body=blue", 400, "bad_value"),
        ([FORM], b"n=1&n=2", 400, "bad_value"),
        ([FORM], b"id=1&id=2&body=x", 400, "bad_value"),
        (["Content-Type: multipart/form-data"], part(NAMED) + END, 400, "bad_body"),
        (["Content-Type: multipart/form-data; boundary="], part(NAMED) + END, 400, "bad_body"),
        (["Content-Type: multipart/form-data; boundary=y"], part(NAMED) + END, 400, "bad_body"),
        ([PARTS], part(NAMED), 400, "bad_body"),
        ([PARTS], b"", 400, "bad_body"),
        ([PARTS], END, 400, "bad_body"),
        ([PARTS], part("Content-Disposition: form-data") + END, 400, "bad_body"),
        ([PARTS], part("Content-Disposition: form-data; name=") + END, 400, "bad_body"),
        ([PARTS], part("Content-Type: text/plain") + END, 400, "bad_body"),
        ([PARTS], part("no colon") + END, 400, "bad_body"),
        ([PARTS], part(NAMED, value=b"caf\xe9") + END, 400, "bad_body"),
        ([PARTS], part(NAMED, "Content-Type: text/plain; charset=klingon") + END, 415, "bad_type"),
        ([PARTS], part(NAMED, "Content-Transfer-Encoding: klingon") + END, 415, "bad_type"),
        ([PARTS], part(NAMED, "Content-Transfer-Encoding: base64") + END, 400, "bad_body"),
        ([PARTS], part(NAMED, "Content-Length: 7") + END, 400, "bad_body"),
        ([PARTS], part(NAMED) * 101 + END, 413, "too_large"),
        ([PARTS], part(NAMED) * 2 + END, 400, "bad_value"),
        ([PARTS], part(NAMED, *["X-A: b"] * 8) + END, 413, "too_large"),
        (["Content-Type: application/json"], b'{"body": "caf\xe9"}', 400, "bad_json"),
        (["Content-Type: application/json"], '{"body": "x"}'.encode("utf-16"), 400, "bad_json"),
        (["Content-Type: application/json; charset=x"], b'{"body": "x"}', 415, "bad_type"),
        (["Content-Type: application/json; charset=utf-8"], b'{"body": "\xe9"}', 400, "bad_body"),
        (["Content-Type: application/json"], b"", 400, "bad_json"),
        (["Content-Type: image/png"], b"\x89PNG", 415, "bad_type"),
        (["Content-Type: ;;;=,"], b"x", 400, "bad_json"),
        (["Content-Encoding: br"], b'{"body": "x"}', 415, "bad_type"),
        (["Content-Encoding: zstd"], b'{"body": "x"}', 415, "bad_type"),
        (["Content-Encoding: gzip, gzip"], b'{"body": "x"}', 415, "bad_type"),
        (["Content-Encoding: gzip"], b'{"body": "x"}', 400, "bad_body"),
        (["Content-Encoding: gzip"], b"", 400, "bad_body"),
        (["Content-Encoding: gzip"], gzipped(b'{"body": "x"}')[:-9], 400, "bad_body"),
        (["Content-Encoding: deflate"], b"\xff\xff", 400, "bad_body"),
        (["Content-Encoding: gzip"], gzipped(b"") * 17, 400, "bad_body"),
        (["Expect: 200-ok"], b'{"body": "x"}', 400, "bad_request"),
    ],
)  # fmt: skip
def test_a_body_that_cannot_be_read_is_the_clients_mistake(
    hub: Hub, lines: list[str], body: bytes, status: int, code: str
) -> None:
    answer = ask(hub.url, with_body("POST /rows HTTP/1.1", body, *lines))
    answer.check()
    assert (answer.status, answer.code) == (status, code)


@pytest.mark.parametrize(
    ("lines", "body"),
    [
        ([], b'{"body": "caf\xc3\xa9"}'),
        ([FORM], b'{"body": "caf\xc3\xa9"}'),
        (["Content-Type: text/plain"], BOM + b'{"body": "caf\xc3\xa9"}'),
        (["Content-Type: application/json; charset=iso-8859-1"], b'{"body": "caf\xe9"}'),
        (["Content-Type: application/ld+json"], b'{"body": "caf\xc3\xa9"}'),
        (["Content-Type: application/json; charset=utf-16"], '{"body": "café"}'.encode("utf-16")),
        ([FORM], b"body=caf%C3%A9"),
        ([FORM], BOM + b"body=caf\xc3\xa9"),
        ([FORM + '; charset="windows-1252"'], b"body=caf%E9"),
        ([FORM + "; charset=iso-8859-1"], b"body=caf\xe9"),
        ([PARTS], part(NAMED, value=b"caf\xc3\xa9") + END),
        ([PARTS], part(NAMED, "Content-Type: a/b; charset=latin1", value=b"caf\xe9") + END),
        ([PARTS], part(NAMED, "Content-Transfer-Encoding: base64", value=b"Y2Fmw6k=") + END),
        ([PARTS], part(NAMED, "Content-Transfer-Encoding: 8bit", value=b"caf\xc3\xa9") + END),
        (["Content-Encoding: gzip"], gzipped(b'{"body": "caf\xc3\xa9"}')),
        (["Content-Encoding: X-GZIP"],
         gzipped(b'{"body":') + gzipped(b'"caf\xc3\xa9"}')),
        (["Content-Encoding: deflate"], zlib.compress(b'{"body": "caf\xc3\xa9"}')),
        (["Content-Encoding: deflate"], zlib.compress(b'{"body": "caf\xc3\xa9"}', wbits=-15)),
        (["Content-Encoding: identity"], b'{"body": "caf\xc3\xa9"}'),
    ],
)  # fmt: skip
async def test_a_body_is_read_as_its_headers_say(hub: Hub, lines: list[str], body: bytes) -> None:
    answer = ask(hub.url, with_body("POST /rows HTTP/1.1", body, *lines))
    assert answer.status == 201, answer
    row_id = answer.body.decode().split('"')[3]
    assert [row["body"] for row in await get(f"{hub.url}/rows", id=row_id)] == ["café"]


async def test_a_table_without_columns_takes_any_form(hub: Hub) -> None:
    assert ask(hub.url, with_body("POST /free HTTP/1.1", b"colour=red", FORM)).status == 201


CHUNKED = "Transfer-Encoding: chunked"
STREAM = "Accept: text/event-stream"
BAD_HTTP: list[tuple[bytes, int, str]] = [
    (b"hello\r\n\r\n", 400, "bad_request"),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "bad_request"),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "bad_request"),
    (b"GET /rows HTTP/1.1\r\n\r\n", 400, "bad_request"),
    (b"GET /rows HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "bad_request"),
    (b"GET /rows HTTP/1.1\r\nHost: a\r\nbad header\r\n\r\n", 400, "bad_request"),
    (b"GET /rows HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n", 400, "bad_request"),
    (b"GET /rows HTTP/1.1\r\nHost: a\r\nX\x80: 1\r\n\r\n", 400, "bad_request"),
    (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414, "url_too_long"),
    (head("GET /rows HTTP/1.1", "X: " + "a" * 17_000), 431, "headers_too_large"),
    (head("GET /rows HTTP/1.1", "X" * 17_000 + ": a"), 431, "headers_too_large"),
    (head("GET /rows HTTP/1.1", *["X: a"] * 130), 431, "headers_too_large"),
    (head("POST /rows HTTP/1.1", "Content-Length: x"), 400, "bad_request"),
    (head("POST /rows HTTP/1.1", "Content-Length: -1"), 400, "bad_request"),
    (head("POST /rows HTTP/1.1", "Content-Length: +1"), 400, "bad_request"),
    (head("POST /rows HTTP/1.1", "Content-Length: 1", "Content-Length: 1"), 400, "bad_request"),
    (head("POST /rows HTTP/1.1", "Content-Length: 99999999999999999999"), 400, "bad_request"),
    (head("POST /rows HTTP/1.1", "Content-Length: 999999999"), 413, "too_large"),
    (head("POST /rows HTTP/1.1", "Transfer-Encoding: klingon"), 400, "bad_request"),
    (head("POST /rows HTTP/1.1", CHUNKED, "Content-Length: 1"), 400, "bad_request"),
    (head("POST /rows HTTP/1.1", CHUNKED) + b"zz\r\n", 400, "bad_request"),
    (head("POST /rows HTTP/1.1", CHUNKED) + b"1\r\n{}\r", 400, "bad_request"),
    (head("GET /rows HTTP/2.0"), 400, "bad_request"),
    (head("GET /rows HTTP/0.9"), 400, "bad_request"),
    (head("GET /nowhere HTTP/1.1"), 404, "unknown_path"),
    (head("GET /nowhere HTTP/1.1", "Expect: \xff"), 400, "bad_request"),
    (head("GET /page HTTP/1.1", "Expect: \xff"), 400, "bad_request"),
    (head("GET /healthz HTTP/1.1", "Expect: 200-ok"), 400, "bad_request"),
    (head("GET /%ff%zz HTTP/1.1"), 404, "unknown_path"),
    (head("GET /../../etc/passwd HTTP/1.1"), 404, "unknown_path"),
    (head("GET //rows//// HTTP/1.1"), 404, "unknown_path"),
    (head("GET http://[bad/rows HTTP/1.1"), 400, "bad_request"),
    (head("GET /rows?body=%ff HTTP/1.1"), 400, "bad_filter"),
    (head("BREW /rows HTTP/1.1"), 400, "bad_request"),
    (head("TRACE /rows HTTP/1.1"), 405, "method_not_allowed"),
    (head("TRACE /rows HTTP/1.1"), 405, "method_not_allowed"),
    (head("CONNECT hub:80 HTTP/1.1"), 404, "unknown_path"),
    (head("POST /healthz HTTP/1.1"), 405, "method_not_allowed"),
    (head("DELETE /page HTTP/1.1"), 405, "method_not_allowed"),
    (head("GET /rows HTTP/1.1", "Last-Event-ID: a", STREAM), 400, "bad_position"),
    (head("GET /rows HTTP/1.1", "Last-Event-ID: \xff", STREAM), 400, "bad_position"),
]  # fmt: skip


@pytest.mark.parametrize(("sent", "status", "code"), BAD_HTTP)
def test_bytes_that_are_not_a_request_get_an_error_object(
    hub: Hub, sent: bytes, status: int, code: str
) -> None:
    answer = ask(hub.url, sent)
    answer.check()
    assert (answer.status, answer.code) == (status, code)
    assert answer.headers["content-type"].startswith("application/json")


def test_what_follows_a_chunked_request_of_http_1_0_is_no_request(hub: Hub) -> None:
    """A proxy that knows only HTTP/1.0 may take its chunks for the next request, or the reverse."""
    first = head(
        "POST /rows HTTP/1.0", CHUNKED, "Connection: keep-alive", "Content-Type: text/plain"
    )
    with connected(hub.url) as wire:
        wire.sendall(first + b"2\r\n{}\r\n0\r\n\r\n" + head("GET /healthz HTTP/1.1"))
        answer = read_answer(wire)
        assert (answer.status, answer.code) == (400, "bad_request")
        assert wire.recv(1) == b""


UPGRADE = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]
KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="


@pytest.mark.parametrize(
    ("lines", "status", "code"),
    [
        (UPGRADE, 400, "bad_request"),
        ([*UPGRADE, "Sec-WebSocket-Key: short"], 400, "bad_request"),
        ([*UPGRADE, "Sec-WebSocket-Key: \xff"], 400, "bad_request"),
        ([*UPGRADE, KEY, KEY], 400, "bad_request"),
        ([UPGRADE[0], UPGRADE[2], KEY], 400, "bad_request"),
        ([UPGRADE[1], UPGRADE[2], KEY], 400, "bad_request"),
        ([UPGRADE[2], KEY], 400, "bad_request"),
        ([*UPGRADE[:2], KEY], 426, "upgrade_required"),
        ([*UPGRADE[:2], KEY, "Sec-WebSocket-Version: 12"], 426, "upgrade_required"),
        ([*UPGRADE[:2], KEY, "Sec-WebSocket-Version: x"], 426, "upgrade_required"),
        ([*UPGRADE, KEY, "Sec-WebSocket-Protocol: a b"], 400, "bad_request"),
        ([*UPGRADE, KEY, "Sec-WebSocket-Protocol: \xe9"], 400, "bad_request"),
        ([*UPGRADE, KEY, "Sec-WebSocket-Key1: 1"], 400, "bad_request"),
        (["Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AA"], 200, None),
        ([*UPGRADE, KEY], 101, None),
        ([*UPGRADE, KEY, "Sec-WebSocket-Protocol: graphql-ws, , other"], 101, None),
        ([*UPGRADE, KEY, "Sec-WebSocket-Extensions: klingon; =;;"], 101, None),
    ],
)
def test_a_wrong_upgrade_gets_the_reason(
    hub: Hub, lines: list[str], status: int, code: str | None
) -> None:
    answer = ask(hub.url, head("GET /rows HTTP/1.1", *lines))
    answer.check()
    assert (answer.status, answer.code) == (status, code)


@pytest.mark.parametrize(
    "path", ["/rows", "/rows?_format=csv", "/page", "/healthz", "/readyz", "/metrics", "/nowhere",
             "/rows?n=x", "/guarded"],
)  # fmt: skip
def test_head_is_get_without_a_body(hub: Hub, path: str) -> None:
    got, reply = (ask(hub.url, head(f"{method} {path} HTTP/1.1")) for method in ("GET", "HEAD"))
    assert (reply.status, reply.body) == (got.status, b"")
    # A body of unknown length is sent in chunks; without a body there is nothing to cut.
    varying = {"date", "transfer-encoding", "set-cookie"}
    if path == "/metrics":
        varying.add("content-length")
    assert {k: v for k, v in reply.headers.items() if k not in varying} == {
        k: v for k, v in got.headers.items() if k not in varying
    }


def test_head_of_a_stream_ends(hub: Hub) -> None:
    answer = ask(hub.url, head("HEAD /rows HTTP/1.1", STREAM))
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["content-type"].startswith("text/event-stream")


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/rows", {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}),
        ("*", {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}),
        ("/page", {"GET", "HEAD", "OPTIONS"}),
        ("/healthz", {"GET", "HEAD", "OPTIONS"}),
    ],
)
def test_options_and_405_list_the_allowed_methods(hub: Hub, path: str, allowed: set[str]) -> None:
    answer = ask(hub.url, head(f"OPTIONS {path} HTTP/1.1"))
    assert (answer.status, answer.body) == (204, b"")
    assert set(answer.headers["allow"].split(", ")) == allowed
    if path != "*":
        refused = ask(hub.url, head(f"TRACE {path} HTTP/1.1"))
        assert (refused.status, refused.code) == (405, "method_not_allowed")
        assert set(refused.headers["allow"].replace(" ", "").split(",")) | {"OPTIONS"} == allowed


def test_a_listed_page_can_read_a_refusal(hub: Hub) -> None:
    sent = with_body("POST /rows HTTP/1.1", b"hello", FORM, "Origin: https://page.example")
    assert ask(hub.url, sent).headers["access-control-allow-origin"] == "https://page.example"


@pytest.mark.parametrize("name", SINGLE)
@pytest.mark.parametrize(
    "asked", ["GET /rows", "POST /rows", "GET /page", "GET /openapi.json", "GET /metrics"]
)
def test_a_header_that_may_be_sent_once_is_refused_if_repeated(
    hub: Hub, name: str, asked: str
) -> None:
    answer = ask(hub.url, with_body(f"{asked} HTTP/1.1", b"{}", f"{name}: 1", f"{name}: 1"))
    assert (answer.status, answer.code) == (400, "bad_request")


def test_an_absolute_target_is_accepted(hub: Hub) -> None:
    assert ask(hub.url, head("GET http://hub/rows?n=1 HTTP/1.1")).status == 200


async def test_client_mistakes_are_not_server_errors_and_are_logged_a_few_times(hub: Hub) -> None:
    for _ in range(20):
        ask(hub.url, with_body("POST /rows HTTP/1.1", b"hello", FORM)).check()
    metrics = ask(hub.url, head("GET /metrics HTTP/1.1")).body.decode()
    assert 'messages_refused_total{code="bad_json"}' in metrics
    assert 'messages_refused_total{code="internal"}' not in metrics
    lines = [line for line in hub.stderr().splitlines() if "request_refused" in line]
    assert 0 < len([line for line in lines if "bad_json" in line]) <= 6


# --- Lists are lists ---------------------------------------------------------------------------


async def row_of(hub: Hub, row_id: str) -> Any:
    [row] = await get(f"{hub.url}/rows", id=row_id)
    return row


async def test_repeated_fields_are_a_list_in_a_json_column(hub: Hub) -> None:
    row_id = uuid4().hex
    body = f"id={row_id}&tags=red&tags=blue".encode()
    assert ask(hub.url, with_body("POST /rows HTTP/1.1", body, FORM)).status == 201
    assert (await row_of(hub, row_id))["tags"] == ["red", "blue"]
    tags = 'Content-Disposition: form-data; name="tags"'
    own = 'Content-Disposition: form-data; name="id"'
    body = part(own, value=row_id.encode()) + part(tags, value=b"1") + part(tags, value=b"2") + END
    assert ask(hub.url, with_body("PUT /rows HTTP/1.1", body, PARTS)).status == 200
    assert (await row_of(hub, row_id))["tags"] == ["1", "2"]


NDJSON = "Content-Type: application/x-ndjson"


@pytest.mark.parametrize("lines", [[NDJSON], [NDJSON, "Content-Encoding: gzip"]])
async def test_each_line_of_ndjson_is_a_message_with_its_answer(hub: Hub, lines: list[str]) -> None:
    ids = [uuid4().hex for _ in range(300)]
    text = "".join(f'{{"id": "{row_id}", "n": {n}}}\n' for n, row_id in enumerate(ids)).encode()
    text += b'\n{"n": "many"}\n'
    body = gzipped(text) if len(lines) > 1 else text
    answer = ask(hub.url, with_body("POST /rows HTTP/1.1", body, *lines))
    outcomes = msgspec.json.decode(answer.body)
    assert (answer.status, [each.get("id") for each in outcomes]) == (200, [*ids, None])
    assert outcomes[-1]["_error"]["code"] == "bad_value"
    assert (await row_of(hub, ids[299]))["n"] == 299


@pytest.mark.parametrize("line", ["[]", "5", "{", '{"id": "x"} {"id": "y"}'])
async def test_a_line_that_is_no_message_is_named_and_nothing_is_stored(
    hub: Hub, line: str
) -> None:
    row_id = uuid4().hex
    body = f'{{"id": "{row_id}"}}\n{line}\n'.encode()
    answer = ask(hub.url, with_body("POST /rows HTTP/1.1", body, NDJSON))
    assert (answer.status, answer.code) == (400, "bad_json")
    assert b"line 2" in answer.body
    assert await get(f"{hub.url}/rows", id=row_id) == []


async def test_a_delete_takes_several_ids_from_the_url(hub: Hub) -> None:
    ids = [f"{uuid4().hex}/ü{number}" for number in range(3)]
    for row_id in ids:
        await request("POST", f"{hub.url}/rows", json={"id": row_id})
    query = "&".join(f"id={quote(row_id)}" for row_id in [*ids[:2], "nobody"])
    answer = ask(hub.url, head(f"DELETE /rows?{query} HTTP/1.1", FORM))
    assert answer.status == 200
    assert answer.body.count(b'"_seq"') == 2
    assert answer.body.count(b'"not_found"') == 1
    assert [len(await get(f"{hub.url}/rows", id=row_id)) for row_id in ids] == [0, 0, 1]
    one = ask(hub.url, head(f"DELETE /rows?id={quote(ids[2])} HTTP/1.1"))
    assert one.body.startswith(b"{")


@pytest.mark.parametrize(
    ("query", "lines", "code"),
    [
        ("id=a&id=b&_key=1&_key=2", [], "bad_control"),
        ("id=a&id=b", ["If-Match: 1"], "bad_control"),
        ("id=a&id=b", ["Idempotency-Key: 1"], "bad_control"),
        ("id=%ff", [], "bad_filter"),
        ("", [], "bad_id"),
    ],
)
def test_a_delete_with_invalid_arguments_or_headers_is_refused(
    hub: Hub, query: str, lines: list[str], code: str
) -> None:
    answer = ask(hub.url, head(f"DELETE /rows?{query} HTTP/1.1", *lines))
    assert (answer.status, answer.code) == (400, code)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_an_id_is_text_or_a_number(hub: Hub, method: str) -> None:
    url = f"{hub.url}/rows"
    await request("POST", url, json={"id": "true"})
    status, reply = await request(method, url, json={"id": True})
    assert (status, reply["_error"]["code"]) == (400, "bad_id")
    async with connect(f"{url}?_since=now") as client:
        await client.replay()
        reply = await client.ask({"_method": method, "id": True})
        assert reply["_error"]["code"] == "bad_id"
    assert len(await get(url, id="true")) == 1


@pytest.mark.parametrize(
    ("header", "passes"),
    [
        ("If-Match: SEQ", True), ('If-Match: "SEQ"', True), ("If-Match: *", True),
        ('If-Match: "0", "SEQ"', True), ('If-Match: "a,b" , "SEQ",', True),
        ("If-Match: 1,SEQ", True),
        ('If-Match: W/"SEQ"', False), ('If-Match: "a"', False), ('If-Match: "0"', False),
        ('If-Match: W/"SEQ", "0"', False), ("If-None-Match: *", False),
        ('If-None-Match: "SEQ"', False), ('If-None-Match: W/"SEQ"', False),
        ('If-None-Match: "0"', True),
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_conditional_headers_are_those_of_rfc_9110(
    hub: Hub, method: str, header: str, passes: bool
) -> None:
    receipt = (await request("POST", f"{hub.url}/rows", json={"body": "x"}))[1]
    body = f'{{"id": "{receipt["id"]}"}}'.encode()
    line = header.replace("SEQ", str(receipt["_seq"]))
    answer = ask(hub.url, with_body(f"{method} /rows HTTP/1.1", body, line))
    expected = (200, None) if passes else (412, "conflict")
    assert (answer.status, answer.code) == expected


@pytest.mark.parametrize(
    "header", ["If-Match: x", "If-Match: ", 'If-Match: "a', "If-None-Match: ["]
)
def test_a_header_that_is_not_a_list_of_tags_is_refused(hub: Hub, header: str) -> None:
    answer = ask(hub.url, with_body("PUT /rows HTTP/1.1", b'{"id": "x"}', header))
    assert (answer.status, answer.code) == (400, "bad_control")


async def test_if_none_match_creates_a_row_once(hub: Hub) -> None:
    row_id = uuid4().hex
    sent = with_body("POST /rows HTTP/1.1", f'{{"id": "{row_id}"}}'.encode(), "If-None-Match: *")
    assert ask(hub.url, sent).status == 201
    assert (ask(hub.url, sent).status, ask(hub.url, sent).code) == (412, "conflict")
    await request("DELETE", f"{hub.url}/rows", json={"id": row_id})
    assert ask(hub.url, sent).status == 201
    absent = with_body("PUT /rows HTTP/1.1", b'{"id": "nobody"}', "If-Match: *")
    assert (ask(hub.url, absent).status, ask(hub.url, absent).code) == (412, "conflict")
