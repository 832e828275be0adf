"""Body: what a client sent, as the messages of a request. The one door for bodies.

A body costs nothing until its sender was let in. Then it is read with a deadline and counted
against what may be under way, for its sender and in all; inflated and parsed in a thread if it is
not small, and never to more than `server.max_message`.
"""

import asyncio
import codecs
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from aiohttp import HttpVersion11, web
from multipart import parse_options_header as parse_options

from eventhub.columns import Columns
from eventhub.errors import Rejected, Unavailable
from eventhub.filters.arguments import parse_query_string
from eventhub.gateway import form
from eventhub.gateway.refusal import CODINGS
from eventhub.ingest.decoding import parse_json

SECONDS = 30.0
"""In which a body comes whole, if it is small."""
BYTES_A_SECOND = 16 << 10
"""Whatever came at this pace has more time: a second for each so many bytes."""
THREAD_BYTES = 32 << 10
"""Larger bodies are parsed in a thread."""
MAX_RATIO = 100
"""Bytes that one byte may inflate to, beyond `FREE_BYTES`: text has 3 to 30."""
FREE_BYTES = 1 << 20
MAX_MEMBERS = 16
"""Of a gzip body (RFC 1952 section 2.2)."""
CLIENT_BODIES = 8
"""Bodies of the largest size that one client may have under way."""
CLIENT_BYTES = 8 << 20
"""Or this, if it is more."""
SHARES = 8
"""What so many clients may have under way is what all together may."""
_JSON_BEGINS = (b"{", b"[")
_JSON = ("application/json", "text/json", "text/plain", "application/octet-stream", "")


class Messages(NamedTuple):
    """The messages of one request."""

    messages: list[Any]
    is_array: bool
    """Each is answered by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    """What the headers say about a body."""

    method: str
    query: str
    kind: str
    options: dict[str, str]
    coding: str


class Bodies:
    """The bodies that a hub is reading or working on.

    Args:
        max_message: bytes of one, as sent and inflated.
        seconds: in which a small body comes whole.
        client_bytes: what one client may have under way, if `CLIENT_BODIES` are not more.
    """

    def __init__(
        self, max_message: int, *, seconds: float = SECONDS, client_bytes: int = CLIENT_BYTES
    ) -> None:
        self._max_message = max_message
        self._seconds = seconds
        self._most_of_client = max(client_bytes, CLIENT_BODIES * max_message)
        self._of_client: Counter[str] = Counter()
        self._all = 0

    @asynccontextmanager
    async def messages(
        self, request: web.Request, columns: Columns, client: str
    ) -> AsyncIterator[Messages]:
        """Read the messages of a request that was let in; they count until they are dealt with.

        A DELETE without a body takes its keys from the URL. JSON is JSON whatever the type says:
        `curl -d` calls everything a form.

        Args:
            request: its body is not yet read.
            columns: of the table, which tell a form from other text.
            client: who sent it: a user or an address.

        Raises:
            Rejected: `too_large`, `bad_body`, `bad_type`, `bad_json`, `bad_control`, `bad_filter`,
                `bad_request`.
            Unavailable: `too_slow`; `busy`: too much is under way.
        """
        head = _head_of(request)
        with self._counted(client) as count:
            raw = await self._read(request, count)
            if len(raw) <= THREAD_BYTES and not head.coding:
                yield _parsed(raw, head, columns)
            else:
                if head.coding:
                    raw = await asyncio.to_thread(_inflated, raw, head.coding, self._max_message)
                    count.add(len(raw))
                yield await asyncio.to_thread(_parsed, raw, head, columns)

    @contextmanager
    def _counted(self, client: str) -> Iterator["_Count"]:
        count = _Count(self, client)
        try:
            yield count
        finally:
            self.count(client, -count.bytes)

    def count(self, client: str, size: int) -> None:
        """Add bytes to what is under way.

        Raises:
            Unavailable: `busy`.
        """
        all_bytes, own = self._all + size, self._of_client[client] + size
        if size > 0:
            if own > self._most_of_client:
                raise Unavailable("too many of your bodies are under way: wait", code="busy")
            if all_bytes > SHARES * self._most_of_client:
                raise Unavailable("too many bodies are under way: try again", code="busy")
        self._all, self._of_client[client] = all_bytes, own
        if own == 0:
            del self._of_client[client]

    async def _read(self, request: web.Request, count: "_Count") -> bytes:
        """Return the body as it was sent."""
        if (request.content_length or 0) > self._max_message:
            raise self._too_large()
        content = request.content
        try:
            if content.is_eof():  # came with the headers, as most do
                whole = content.read_nowait()
                count.add(len(whole))
            else:
                await _ask_for_it(request)
                whole = await self._read_slowly(request, count)
        except (ConnectionError, Rejected, Unavailable):
            raise
        except TimeoutError:
            raise Unavailable("the body came too slowly", code="too_slow") from None
        except Exception:  # noqa: BLE001 - whatever is raised here is about the client's bytes
            raise Rejected("bad_request", "the body's length or its chunks are malformed") from None
        if len(whole) > self._max_message:
            raise self._too_large()
        return whole

    async def _read_slowly(self, request: web.Request, count: "_Count") -> bytes:
        began = asyncio.get_running_loop().time()
        parts = bytearray()
        async with asyncio.timeout(self._seconds) as deadline:
            while part := await request.content.readany():
                count.add(len(part))
                parts += part
                if len(parts) > self._max_message:
                    raise self._too_large()
                deadline.reschedule(began + self._seconds + len(parts) / BYTES_A_SECOND)
        return bytes(parts)

    def _too_large(self) -> Rejected:
        return Rejected("too_large", f"a body has at most {self._max_message} bytes")


class _Count:
    """What one body adds to what is under way."""

    def __init__(self, bodies: Bodies, client: str) -> None:
        self._bodies = bodies
        self._client = client
        self.bytes = 0

    def add(self, size: int) -> None:
        """Count bytes that came.

        Raises:
            Unavailable: `busy`.
        """
        self._bodies.count(self._client, size)
        self.bytes += size


async def expect(request: web.Request) -> None:
    """Check `Expect`; who waits to be asked for a body is asked once it is let in."""
    if request.headers.get("Expect", "").lower() not in ("", "100-continue"):
        raise web.HTTPExpectationFailed


async def _ask_for_it(request: web.Request) -> None:
    """RFC 9110 section 10.1.1."""
    if request.headers.get("Expect") and request.version == HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # no answer has begun


def _head_of(request: web.Request) -> _Head:
    codings = request.headers.getall("Content-Encoding", [])
    coding = ", ".join(codings).strip().lower()
    coding = _NAMES.get(coding, coding)
    if coding not in ("", "gzip", "deflate"):
        raise Rejected("bad_type", f"Content-Encoding may be one of {CODINGS}")
    kind, options = parse_options(request.headers.get("Content-Type", ""))
    return _Head(
        method=request.method,
        query=request.rel_url.raw_query_string,
        kind=kind,
        options=options,
        coding=coding,
    )


_NAMES = {"identity": "", "x-gzip": "gzip"}


def _inflated(raw: bytes, coding: str, most: int) -> bytes:
    """Undo a content coding.

    Raises:
        Rejected: `bad_body`, or `too_large` for more than `most` bytes, or for far more than came.
    """
    most = min(most, max(FREE_BYTES, MAX_RATIO * len(raw)))
    wbits = 31 if coding == "gzip" else 15
    if coding == "deflate" and raw[:1] and raw[0] & 0x0F != 8:
        wbits = -15  # without its zlib header, as some clients send it
    inflated = bytearray()
    for _ in range(MAX_MEMBERS):
        decoder = zlib.decompressobj(wbits)
        try:
            inflated += decoder.decompress(raw, most + 1 - len(inflated))
        except zlib.error:
            raise Rejected("bad_body", f"the body is not {coding}") from None
        if len(inflated) > most:
            raise Rejected("too_large", f"the body inflates to more than {most} bytes")
        if not decoder.eof:
            raise Rejected("bad_body", f"the {coding} body is cut off")
        raw = decoder.unused_data
        if not raw:
            return bytes(inflated)
    raise Rejected("bad_body", f"a {coding} body has at most {MAX_MEMBERS} members")


def _parsed(raw: bytes, head: _Head, columns: Columns) -> Messages:
    charset = head.options.get("charset")
    if head.kind == form.MULTIPART:
        boundary = head.options.get("boundary")
        return _one(form.multipart(raw, boundary, form.charset_of(charset), columns))
    raw = raw.removeprefix(codecs.BOM_UTF8)
    if head.kind == form.URLENCODED and raw.lstrip()[:1] not in _JSON_BEGINS:
        if raw or head.method != "DELETE":
            return _one(form.urlencoded(raw, form.charset_of(charset), columns))
    elif charset is not None:
        raw = _as_utf8(raw, charset)
    if not raw and head.method == "DELETE":
        return _named_by(head.query)
    start = raw.lstrip()[:1]
    if start not in _JSON_BEGINS and not _may_be_json(head.kind):
        raise Rejected("bad_type", f"send JSON or a form, not {head.kind[:60]}")
    exact = bool(columns.spelling.decimals)
    return Messages(parse_json(raw, exact=exact), start == b"[")


def _one(message: dict[str, Any]) -> Messages:
    return Messages([message], is_array=False)


def _may_be_json(kind: str) -> bool:
    return kind in _JSON or kind.endswith("+json") or kind == form.URLENCODED


def _as_utf8(raw: bytes, label: str) -> bytes:
    """JSON is UTF-8 (RFC 8259 section 8.1); what says that it is not is believed."""
    try:
        wide = codecs.lookup(label.strip()).name.startswith(("utf-16", "utf-32"))
    except (LookupError, ValueError):
        wide = False
    try:
        return raw.decode(label.strip() if wide else form.charset_of(label)).encode()
    except UnicodeError:
        raise Rejected("bad_body", f"the body is not {label[:40]}") from None


def _named_by(query: str) -> Messages:
    """Return a message for each `id` of a URL; all have its other arguments.

    Raises:
        Rejected: `bad_control`: a control is given twice; `bad_filter`: not UTF-8.
    """
    args = parse_query_string(query)
    ids = args.pop("id", [])
    shared = form.fields_of(args)
    return Messages([{"id": each, **shared} for each in ids] or [shared], len(ids) > 1)
