"""Each kind of endpoint answers each method, and each usual header, as the tables here say."""

import gzip
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import pytest
from backports import zstd

from tests.e2e.command import post
from tests.e2e.hub import Hub
from tests.e2e.wire import Answer, ask, head, with_body

PAGE = "https://app.example.org"
SHELL = "capacitor://localhost"
CONFIG = f"""
url:
  rows:
    pattern: /rows
    handler: MessageHandler
    kwargs: {{columns: {{body: TEXT, n: INTEGER}}, origins: ["{PAGE}", "{SHELL}", "null"]}}
  ask:
    pattern: /ask
    handler: SQLHandler
    kwargs: {{tables: rows, origins: ["{PAGE}", "{SHELL}", "null"]}}
  site:
    pattern: /site/(.*)
    handler: FileHandler
    kwargs: {{path: $YAMLPATH/site}}
  one:
    pattern: /one
    handler: FileHandler
    kwargs: {{path: $YAMLPATH/site/app.js}}
  login:
    pattern: /login
    handler: SimpleAuth
    kwargs: {{credentials: {{ann: secret-of-ann}}}}
  logout:
    pattern: /logout
    handler: LogoutHandler
"""
SQL = f"/ask?sql={quote('SELECT id, n, body FROM rows ORDER BY n')}"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")
READ = ("GET", "HEAD", "OPTIONS")


class Kind(NamedTuple):
    """One kind of endpoint, as a client sees it."""

    path: str
    allow: tuple[str, ...] = READ
    large: bool = False
    """The answer to GET is above the size from which on text is compressed."""
    tagged: bool = False
    """It has an `ETag`, and revalidates."""
    ranges: bool = False
    shared: bool = False
    """Pages of the origins that the endpoint names may use it."""
    stored: bool = False
    """It answers from tables, at a position."""


LOGIN = ("GET", "HEAD", "POST", "OPTIONS")
WRITE = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
KINDS = {
    "rows": Kind("/rows", WRITE, large=True, shared=True, stored=True),
    "rows as csv": Kind("/rows?_format=csv", WRITE, large=True, shared=True, stored=True),
    "page of rows": Kind("/rows?_format=html&_limit=200", WRITE, True, shared=True, stored=True),
    "changes": Kind("/rows?_since=earliest", WRITE, large=True, shared=True, stored=True),
    "versions": Kind("/rows?id=r7&_history", WRITE, shared=True, stored=True),
    "one row": Kind(
        "/rows/r7", tuple(m for m in WRITE if m != "POST"), tagged=True, shared=True, stored=True
    ),
    "csv file": Kind("/rows.csv", READ, True, True, True, shared=True, stored=True),
    "ndjson file": Kind("/rows.ndjson", READ, True, True, True, shared=True, stored=True),
    "parquet file": Kind("/rows.parquet", READ, False, True, True, shared=True, stored=True),
    "arrow file": Kind("/rows.arrow", READ, False, True, True, shared=True, stored=True),
    "answer to sql": Kind(
        SQL, ("GET", "HEAD", "POST", "OPTIONS"), large=True, shared=True, stored=True
    ),
    "file of sql": Kind(
        SQL.replace("/ask", "/ask.csv"), READ, True, True, True, shared=True, stored=True
    ),
    "folder": Kind("/site/", READ, False, True, True),
    "text file": Kind("/site/app.js", READ, True, True, True),
    "image": Kind("/site/dot.png", READ, False, True, True),
    "single file": Kind("/one", READ, True, True, True),
    "login": Kind("/login", LOGIN),
    "logout": Kind("/logout", LOGIN),
    "health": Kind("/healthz"),
    "readiness": Kind("/readyz"),
    "metrics": Kind("/metrics"),
    "snapshot": Kind("/-/snapshot.duckdb"),
    "connections": Kind("/-/connections", ("GET", "HEAD", "DELETE", "OPTIONS")),
}
OPERATORS = ("metrics", "snapshot", "connections")
NAMES = list(KINDS)
UNPACK: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.decompress, "zstd": zstd.decompress}
VARYING = ("date", "transfer-encoding", "set-cookie", "content-length")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    folder: Path = tmp_path_factory.mktemp("hub")
    (folder / "eventhub.yaml").write_text(CONFIG)
    (folder / "site").mkdir()
    (folder / "site" / "index.html").write_text("<p>Grüße")
    (folder / "site" / "app.js").write_text("let word = 'Grüße'\n" * 1000)
    (folder / "site" / "dot.png").write_bytes(b"\x89PNG" + bytes(20_000))
    started = Hub(folder / "eventhub.yaml", folder, [])
    started.start()
    messages = [{"id": f"r{n}", "n": n, "body": "lorem ipsum " * 8} for n in range(300)]
    body = json.dumps(messages).encode()
    assert ask(started.url, with_body("POST /rows HTTP/1.1", body)).status == 200
    yield started
    assert "request_failed" not in started.stderr()
    assert "Traceback" not in started.stderr()
    started.kill()


def asked(hub: Hub, name: str, *lines: str, method: str = "GET") -> Answer:
    """Return the answer of a kind of endpoint to a request with some header lines."""
    answer = ask(hub.url, head(f"{method} {KINDS[name].path} HTTP/1.1", *lines))
    if answer.status >= 400:
        answer.check()
    return answer


def steady(answer: Answer) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name not in VARYING}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("method", METHODS)
def test_each_kind_has_its_methods_and_refuses_others_by_name(
    hub: Hub, name: str, method: str
) -> None:
    kind = KINDS[name]
    if method in ("PUT", "PATCH", "DELETE", "POST") and method in kind.allow:
        # With an empty body: what it does is told elsewhere.
        answer = ask(hub.url, with_body(f"{method} {kind.path} HTTP/1.1", b"[]"))
        assert answer.status != 405
        return
    answer = asked(hub, name, method=method)
    assert answer.headers["server"] == "EventHub"
    if method not in kind.allow:
        assert (answer.status, answer.code) == (405, "method_not_allowed")
        allowed = set(re.split(r"\s*,\s*", answer.headers["allow"]))
        assert allowed | {"OPTIONS"} == set(kind.allow)
    elif method == "OPTIONS":
        assert (answer.status, answer.body) == (204, b"")
        assert set(answer.headers["allow"].split(", ")) == set(kind.allow)
    else:
        assert answer.status == 200
        assert (answer.body == b"") is (method == "HEAD")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("lines", [[], ["Accept-Encoding: gzip"], ["Accept: */*"]], ids=str)
def test_head_has_the_headers_of_get(hub: Hub, name: str, lines: list[str]) -> None:
    got, reply = (asked(hub, name, *lines, method=method) for method in ("GET", "HEAD"))
    left_out = {"content-encoding"} if got.headers.get("transfer-encoding") else set()
    if name in OPERATORS:
        left_out.add("content-length")
    assert {k: v for k, v in steady(got).items() if k not in left_out} == {
        k: v for k, v in steady(reply).items() if k not in left_out
    }


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("accept", "coding"),
    [
        ("gzip", "gzip"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip;q=1.0, zstd;q=0.5", "gzip"),
        ("gzip;q=0, zstd;q=0", None),
        ("br", None),
        ("identity", None),
    ],
)
def test_only_large_text_is_compressed_as_the_client_prefers(
    hub: Hub, name: str, accept: str, coding: str | None
) -> None:
    kind = KINDS[name]
    plain, packed = asked(hub, name), asked(hub, name, f"Accept-Encoding: {accept}")
    found = packed.headers.get("content-encoding")
    assert found == (coding if kind.large else None)
    if found:
        assert len(packed.body) < len(plain.body) / 2
        assert UNPACK[found](packed.body) == plain.body
    if kind.large:
        assert "Accept-Encoding" in plain.headers["vary"]
        assert "Accept-Encoding" in packed.headers["vary"]
    if kind.tagged:
        assert packed.headers["etag"].startswith('W/"' if found else '"')


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.tagged])
@pytest.mark.parametrize("coding", [[], ["Accept-Encoding: gzip"]], ids=str)
def test_what_has_a_tag_is_sent_once(hub: Hub, name: str, coding: list[str]) -> None:
    tag = asked(hub, name, *coding).headers["etag"]
    for condition in (tag, f'"other", {tag}', tag.removeprefix("W/")):
        again = asked(hub, name, *coding, f"If-None-Match: {condition}")
        assert (again.status, again.body) == (304, b"")
        assert again.headers["etag"].removeprefix("W/") == tag.removeprefix("W/")
    assert asked(hub, name, *coding, 'If-None-Match: "other"').status == 200
    assert asked(hub, name, 'If-Match: "other"').status == 412


@pytest.mark.parametrize("name", NAMES)
def test_a_range_is_a_part_of_what_has_parts_and_ignored_elsewhere(hub: Hub, name: str) -> None:
    whole = asked(hub, name)
    part = asked(hub, name, "Range: bytes=0-3", "Accept-Encoding: gzip")
    if KINDS[name].ranges:
        assert (part.status, part.body) == (206, whole.body[:4])
        assert part.headers["content-range"] == f"bytes 0-3/{len(whole.body)}"
        assert "content-encoding" not in part.headers
        same, other = (
            asked(hub, name, "Range: bytes=0-3", f"If-Range: {tag}").status
            for tag in (part.headers["etag"], '"other"')
        )
        assert (same, other) == (206, 200)
    else:
        assert part.status == 200
        assert "accept-ranges" not in whole.headers


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("origin", [PAGE, SHELL, "null", "https://evil.example", "file://"])
def test_a_page_of_another_origin_reads_what_names_it(hub: Hub, name: str, origin: str) -> None:
    kind = KINDS[name]
    is_named = kind.shared and origin in (PAGE, SHELL, "null")
    answer = asked(hub, name, f"Origin: {origin}")
    assert answer.headers.get("access-control-allow-origin") == (origin if is_named else None)
    if kind.shared:
        assert answer.status == (200 if is_named else 403)
        assert "Origin" in answer.headers["vary"]
    preflight = asked(
        hub,
        name,
        f"Origin: {origin}",
        "Access-Control-Request-Method: GET",
        "Access-Control-Request-Headers: cache-control, if-none-match",
        method="OPTIONS",
    )
    assert preflight.status == 204
    assert "set-cookie" not in preflight.headers
    if is_named:
        allowed = preflight.headers["access-control-allow-headers"]
        for sent in ("content-type", "authorization", "cache-control", "if-none-match", "range"):
            assert sent in allowed.split(", ") or sent in re.split(r",\s*", allowed)
        assert int(preflight.headers["access-control-max-age"]) > 0
    else:
        assert "access-control-allow-origin" not in preflight.headers


@pytest.mark.parametrize("name", NAMES)
def test_a_program_gets_no_cookie(hub: Hub, name: str) -> None:
    answer = asked(hub, name)
    assert ("set-cookie" in answer.headers) is (name == "login")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["server"] == "EventHub"


MEANINGLESS = [
    ["Accept: application/xml"],
    ["Accept: text/html, */*;q=0.8"],
    ["Accept: application/json, text/csv;q=0.5"],
    ["Accept: ;;;=,"],
    ["Accept-Language: de"],
    ["Accept-Charset: klingon"],
    ["Accept-Encoding: ;q=x, ,,gzip;q=2"],
    ["If-Modified-Since: rubbish"],
    ["If-Unmodified-Since: Thu, 01 Jan 2099 00:00:00 GMT"],
    ["Range: lines=1-2"],
    ["Cache-Control: no-cache", "Pragma: no-cache"],
    ["Cookie: a=b; eventhub=x"],
    ["Authorization: Basic YTpi"],
    ["DNT: 1", "Sec-GPC: 1", "Save-Data: on"],
    ["TE: trailers", "Connection: TE"],
    ["X-Forwarded-For: 203.0.113.9", "Forwarded: for=203.0.113.9"],
    ["Traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"],
    ["X-HTTP-Method-Override: DELETE"],
    ["Upgrade-Insecure-Requests: 1"],
    ["Prefer: return=minimal"],
]
"""Headers that common clients and proxies send, or that are malformed."""


@pytest.mark.parametrize("name", NAMES)
def test_a_header_that_means_nothing_here_changes_nothing(hub: Hub, name: str) -> None:
    for lines in MEANINGLESS:
        is_of_proxy = any(line.startswith("X-Forwarded-For") for line in lines)
        is_refused = is_of_proxy and name in OPERATORS
        assert asked(hub, name, *lines).status == (403 if is_refused else 200), lines


@pytest.mark.parametrize("name", NAMES)
def test_http_1_0_gets_the_same_body_and_no_chunks(hub: Hub, name: str) -> None:
    answer = ask(hub.url, head(f"GET {KINDS[name].path} HTTP/1.0", "Accept-Encoding: gzip"))
    if name in OPERATORS:  # it may be a proxy
        assert answer.status == 403
        return
    body = answer.body
    if answer.headers.get("content-encoding"):
        body = gzip.decompress(body)
    assert answer.status == 200
    assert "transfer-encoding" not in answer.headers
    if name not in ("login", "logout"):  # their forms have a token of their own
        assert body == asked(hub, name).body


def test_a_stream_begins_anew_with_a_resume_and_is_not_compressed(hub: Hub) -> None:
    lines = ["Accept: text/event-stream", "Accept-Encoding: gzip, zstd"]
    answer = ask(hub.url, head("HEAD /rows HTTP/1.1", *lines))
    assert (answer.status, answer.headers.get("content-encoding")) == (200, None)


def test_a_write_is_seen_by_every_kind_that_reads_tables(hub: Hub) -> None:
    receipt = post(f"{hub.url}/rows", id="r7000", n=7000, body="x")
    seen = asked(hub, "rows").headers["eventhub-position"]
    for name, kind in KINDS.items():
        if not kind.stored or name in ("one row", "versions"):
            continue
        # A query of SQL waits for the position that it names; all others wait for every write.
        wanted = [f"EventHub-Position: {seen}"] if name == "answer to sql" else []
        position = asked(hub, name, *wanted).headers["eventhub-position"]
        assert int(position.rsplit(".", 1)[1]) >= receipt["_seq"], name
