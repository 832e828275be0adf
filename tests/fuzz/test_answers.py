"""What a client sends is never a header of an answer, another file, or a line of the hub's log."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urljoin, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.e2e.hub import Hub, running_hub
from tests.e2e.wire import Answer, ask, head, with_body
from tests.examples import examples

CONFIG = """
auth: {session: {secret: 8c0d0a secret of this test}}
log: {access: true}
url:
  rows:
    pattern: /rows
    handler: MessageHandler
    kwargs:
      columns: {body: TEXT}
      origins: ["https://page.example"]
      prepare: "{}[msg['body']]"
  mine: {pattern: /mine, handler: MessageHandler, kwargs: {auth: true}}
  login: {pattern: /login, handler: SimpleAuth, kwargs: {credentials: {ann: pass 8c0d0a}}}
  pages: {pattern: '/(.*)', handler: FileHandler, kwargs: {path: $YAMLPATH/page}}
"""
PUBLIC = "public 51be7c"
SECRET = "8c0d0a"
"""In every file that must not be read: the configuration, a module, a file next to the folder."""
FILES = {
    "page/index.html": PUBLIC,
    "page/sub/a b.txt": PUBLIC,
    "page/.hidden": SECRET,
    "next/secret.txt": SECRET,
    "hooks.py": f"# {SECRET}",
}
FORGED = "x-forged"
PIECES = [
    "\r\nX-Forged: 1", "\r\n\r\nHTTP/1.1 200 OK\r\nX-Forged: 1\r\n\r\n", "\n", "\r", "\x85",
    '\n{"event": "forged"}', "..", "../", "/", "//", "\\", "\0", ".", "%2e%2e%2f", "%00", "%0d%0a",
    "index.html", "sub", "a b.txt", ".hidden", "next", "secret.txt", "hooks.py", "eventhub.yaml",
    "data", "~", "#", "?", ";", ":", "@", "https://evil.example", "page", "rows", "é", "\x1b[2J",
    "file:///", "C:", "login", "mine", "\t", ",", "W/", "7", "*", "x", "a", "\U0001f600", "\u2028",
]  # fmt: skip
texts = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=6).map("".join)
HEADERS = (
    *("Origin", "If-None-Match", "If-Match", "If-Range", "Range", "Last-Event-ID", "Accept"),
    *("Sec-WebSocket-Protocol", "Idempotency-Key", "User-Agent", "Referer", "X-Forwarded-For"),
    *("Authorization", "Cookie", "Content-Type", "Accept-Encoding", "Forwarded"),
)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """One hub for all tests of this file; at the end, its log must be its own."""
    with running_hub(tmp_path_factory.mktemp("hub"), CONFIG, FILES) as hub:
        assert ask(hub.url, head("GET /sub/a%20b.txt HTTP/1.1")).body == PUBLIC.encode()
        yield hub
        _check_log(hub.stderr())


def _check_log(log: str) -> None:
    events = {json.loads(line)["event"] for line in log.splitlines()}
    source = Path(__file__).parents[2]
    known = "".join(
        each.read_text("utf-8")
        for package in ("eventhub", "projections")
        for each in (source / package).rglob("*.py")
    )
    assert "access" in events  # a line for each request, with its path
    assert [each for each in events if f'"{each}"' not in known] == []


def _check(answer: Answer, *, may_fail: bool = False) -> None:
    # Whoever is refused very often has to wait, which `make fuzz` is.
    allowed = ("busy", "internal") if may_fail else ("busy",)
    assert answer.status < 500 or answer.code in allowed, answer
    assert FORGED not in answer.headers, answer
    assert not any(re.search(r"[\r\n\0]", value) for value in answer.headers.values()), answer
    assert SECRET.encode() not in answer.body, answer
    if (place := answer.headers.get("location")) is not None:
        # As a browser reads it: `\\` is `/`, and tabs are dropped (WHATWG URL, section 4.4).
        read = re.sub(r"[\t\r\n]", "", place).replace("\\", "/").strip()
        assert urlsplit(urljoin("http://hub.example/rows", read)).netloc == "hub.example", answer


def _target(text: str, *, safe: str) -> str:
    return quote(text.encode(errors="surrogatepass"), safe=safe)


@settings(max_examples=examples(150), suppress_health_check=list(HealthCheck))
@given(texts, st.sampled_from(["", "/", "/%.\\:@", "/%.\\:@;,"]), st.booleans())
def test_no_path_is_another_file_or_a_header(hub: Hub, text: str, safe: str, is_page: bool) -> None:
    accept = ["Accept: text/html"] if is_page else []
    for path in (f"/{_target(text, safe=safe)}", f"/mine/{_target(text, safe=safe)}"):
        answer = ask(hub.url, head(f"GET {path} HTTP/1.1", *accept))
        _check(answer)
        assert (
            answer.status != 200
            or answer.body in (PUBLIC.encode(), b"[]")
            or b"<h1>" in answer.body
        )


@settings(max_examples=examples(100), suppress_health_check=list(HealthCheck))
@given(texts, st.sampled_from(["next", "_c", "id", "_since", "_as_of", "body*", "_format"]))
def test_no_argument_is_a_header_or_leads_to_another_site(hub: Hub, text: str, name: str) -> None:
    value = _target(text, safe="")
    for path in (f"/rows?{name}={value}", f"/login?{name}={value}", f"/mine?{name}={value}"):
        _check(ask(hub.url, head(f"GET {path} HTTP/1.1", "Accept: text/html")))


@settings(max_examples=examples(10), suppress_health_check=list(HealthCheck))
@given(texts)
def test_no_login_leads_to_another_site(hub: Hub, text: str) -> None:
    page = ask(hub.url, head("GET /login HTTP/1.1"))
    token = re.search(rb'name="_xsrf" value="([^"]+)"', page.body)
    assert token is not None
    form = b"user=ann&password=pass+8c0d0a&_xsrf=" + token[1]
    lines = (
        f"Cookie: {page.headers['set-cookie'].partition(';')[0]}",
        "Content-Type: application/x-www-form-urlencoded",
    )
    target = f"/login?next={_target(text, safe='')}"
    answer = ask(hub.url, with_body(f"POST {target} HTTP/1.1", form, *lines))
    assert answer.status == 303
    _check(answer)


@settings(max_examples=examples(150), suppress_health_check=list(HealthCheck))
@given(texts, st.sampled_from(HEADERS), st.sampled_from(["/rows", "/rows.csv", "/", "/mine"]))
def test_no_header_is_repeated_as_another(hub: Hub, text: str, name: str, path: str) -> None:
    sent = re.sub("[\r\n\0]", " ", text).encode(errors="replace").decode("latin-1")
    _check(ask(hub.url, head(f"GET {path} HTTP/1.1", f"{name}: {sent}")))


@settings(max_examples=examples(60), suppress_health_check=list(HealthCheck))
@given(texts, texts)
def test_no_message_is_a_header_or_a_log_line(hub: Hub, text: str, other: str) -> None:
    message = json.dumps({"id": other, "body": text}).encode()  # the hook quotes it as it fails
    _check(ask(hub.url, with_body("POST /rows HTTP/1.1", message)), may_fail=True)
