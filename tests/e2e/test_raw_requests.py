"""Whatever bytes arrive, no answer is a failure or the HTTP library's, and the hub still serves."""

import asyncio
import gzip
import re
import zlib
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.e2e.hub import Hub, running_hub
from tests.e2e.wire import Answer, ask, head, with_body

CONFIG = """
server: {max_message: 20000}
url:
  rows:
    pattern: /rows
    handler: MessageHandler
    kwargs: {columns: {body: TEXT, tags: JSON, n: INTEGER}, origins: ["https://page.example"]}
  guarded:
    pattern: /guarded
    handler: MessageHandler
    kwargs: {auth: true}
  pages:
    pattern: /pages/
    handler: FileHandler
    kwargs: {path: pages}
"""
QUIET_SECONDS = 0.3
"""After which a request that is not answered is taken for one that is not yet whole."""
DEADLINE_SECONDS = 40.0
BOUNDARY = b"x"

METHODS = b"GET HEAD POST PUT DELETE OPTIONS PATCH CONNECT TRACE".split()
TARGETS = [
    b"/rows", b"/rows?n=1", b"/rows?n=x&_c=body", b"/rows?%ff", b"/rows?_since=-1",
    b"/rows?id=a&id=b", b"/guarded", b"/pages/", b"/pages/a.html", b"/pages/%00", b"/pages/../x",
    b"/healthz", b"/readyz", b"/metrics", b"/nowhere", b"/%zz", b"*",
    b"http://127.0.0.1/rows", b"//rows",
    b"hub:80", b"/rows#x", b"",
]  # fmt: skip
NAMES = [
    b"Content-Type", b"Content-Encoding", b"Content-Length", b"Transfer-Encoding", b"Expect",
    b"Upgrade", b"Connection", b"Sec-WebSocket-Key", b"Sec-WebSocket-Version",
    b"Sec-WebSocket-Protocol", b"Sec-WebSocket-Extensions", b"If-Match", b"If-None-Match",
    b"If-Modified-Since", b"Idempotency-Key", b"Authorization", b"Cookie", b"Accept", b"Range",
    b"Accept-Encoding", b"Origin", b"Host", b"Last-Event-ID", b"X-Forwarded-For", b"Content-Range",
    b"X-Forwarded-Host", b"Keep-Alive", b"TE", b"Trailer", b"Sec-Fetch-Site",
]  # fmt: skip
VALUES = [
    b"application/json", b"application/x-www-form-urlencoded", b"multipart/form-data; boundary=x",
    b"multipart/form-data", b"text/plain; charset=klingon", b"application/json; charset=utf-16",
    b"a/b; charset=\"", b"gzip", b"deflate", b"br", b"identity", b"gzip, gzip", b"chunked",
    b"100-continue", b"websocket", b"h2c", b"upgrade", b"close", b"keep-alive", b"13", b"-1", b"0",
    b"7", b"99999999999999999999", b"dGhlIHNhbXBsZSBub25jZQ==", b"eventhub.v1.json", b"a, b",
    b"permessage-deflate", b"*", b'"7"', b'W/"7", "x"', b"Bearer x", b"Basic x", b"eventhub=x",
    b"text/event-stream", b"text/html", b"null", b"https://page.example", b"https://evil.example",
    b"bytes=0-1", b"bytes=9-1", b"bytes=x", b"earliest", b"", b"\xff", b"trailers",
]  # fmt: skip
STARTS = [
    b'{"body": "x"}', b'{"id": "a", "body": "y"}', b'[{"body": "x"}, 7]', b"body=x&tags=1&tags=2",
    b'--x\r\nContent-Disposition: form-data; name="body"\r\n\r\ny\r\n--x--\r\n', b"",
    b"\xef\xbb\xbf{}",
    b"body=caf%E9", b"{", b"[" * 200, b'{"id": true}', b'{"_method": "PUT", "id": "a"}',
]  # fmt: skip

methods = st.sampled_from(METHODS) | st.binary(min_size=1, max_size=6)
targets = st.sampled_from(TARGETS) | st.binary(max_size=30).map(lambda part: b"/rows?" + part)
versions = st.sampled_from([b"HTTP/1.1"] * 8 + [b"HTTP/1.0", b"HTTP/2.0", b"HTTP/0.9", b"x", b""])
headers = st.lists(
    st.tuples(
        st.sampled_from(NAMES) | st.binary(min_size=1, max_size=10),
        st.sampled_from(VALUES) | st.binary(max_size=20),
    ),
    max_size=6,
)


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """A body that is right, broken somewhere, or noise; perhaps compressed."""
    body = draw(st.sampled_from(STARTS) | st.binary(max_size=60))
    if body and draw(st.booleans()):
        at = draw(st.integers(0, len(body) - 1))
        body = body[:at] + draw(st.binary(max_size=3)) + body[at + draw(st.integers(0, 3)) :]
    match draw(st.sampled_from(["", "", "gzip", "deflate"])):
        case "gzip":
            return gzip.compress(body, mtime=0)
        case "deflate":
            return zlib.compress(body)
        case _:
            return body


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """A request of which any part may be wrong."""
    lines = [b"%s: %s" % pair for pair in draw(headers)]
    if draw(st.integers(0, 9)):
        lines.append(b"Host: 127.0.0.1")
    if draw(st.integers(0, 3)):
        lines.append(b"Connection: close")
    body = draw(bodies())
    match draw(st.sampled_from(["length"] * 4 + ["chunked", "broken", "none"])):
        case "length":
            lines.append(b"Content-Length: %d" % len(body))
        case "chunked":
            lines.append(b"Transfer-Encoding: chunked")
            body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
        case "broken":
            lines.append(b"Transfer-Encoding: chunked")
            body = draw(st.binary(max_size=3)) + b"\r\n" + body
        case _:
            pass  # what follows the head is another request
    first = b" ".join([draw(methods), draw(targets), draw(versions)])
    return b"\r\n".join([first, *lines, b"", b""]) + body


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """One hub for all tests of this file."""
    files = {"pages/a.html": "<p>page"}
    with running_hub(tmp_path_factory.mktemp("hub"), CONFIG, files) as hub:
        yield hub


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(st.lists(requests(), min_size=1, max_size=12))
def test_no_bytes_make_the_hub_fail_or_answer_in_another_form(hub: Hub, batch: list[bytes]) -> None:
    answered = asyncio.run(_answers(hub.url, batch))
    for sent, got in zip(batch, answered, strict=True):
        answer = _first(got)
        assert answer is not None or not got, (sent, got)
        if answer is not None:
            answer.check()
    assert ask(hub.url, head("GET /healthz HTTP/1.1")).status == 200
    assert ask(hub.url, head("GET http://127.0.0.1/rows?n=1 HTTP/1.1")).status == 200
    assert ask(hub.url, with_body("POST /rows HTTP/1.1", b'{"body": "x"}')).status == 201
    metrics = ask(hub.url, head("GET /metrics HTTP/1.1")).body
    assert b'messages_refused_total{code="internal"}' not in metrics
    log = hub.stderr()
    assert not re.search(r"Traceback|exception|_failed|Unhandled|aiohttp", log), log[-3000:]


async def _answers(url: str, batch: list[bytes]) -> list[bytes]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_answer(url, each)) for each in batch]
    return [task.result() for task in tasks]


async def _answer(url: str, sent: bytes) -> bytes:
    """Return what is received until the hub closes the connection, or is quiet."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    got = b""
    try:
        writer.write(sent)
        async with asyncio.timeout(DEADLINE_SECONDS):
            while True:
                async with asyncio.timeout(QUIET_SECONDS):
                    part = await reader.read(65536)
                if not part:
                    return got
                got += part
    except (TimeoutError, ConnectionError):
        return got
    finally:
        writer.close()


def _first(got: bytes) -> Answer | None:
    """Return the first answer that is final."""
    head_of, found, rest = got.partition(b"\r\n\r\n")
    status = re.match(rb"HTTP/1\.[01] ([0-9]{3})", head_of)
    if not found or status is None:
        return None
    if status[1] == b"100":
        return _first(rest) if rest else Answer(100, {}, b"")
    lines = [line.partition(b": ") for line in head_of.split(b"\r\n")[1:]]
    fields = {name.lower().decode(): value.decode("latin-1") for name, _, value in lines}
    return Answer(int(status[1]), fields, rest[: int(fields.get("content-length", len(rest)))])
