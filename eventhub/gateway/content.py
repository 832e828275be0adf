"""Content: what a request's body means: its coding is undone, and its messages are read.

Pure functions that may take long: they are called in a thread unless the body is small.
"""

import codecs
import zlib
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from aiohttp import web
from multipart import parse_options_header as parse_options

from eventhub.columns import Columns
from eventhub.errors import Rejected
from eventhub.filters.arguments import parse_query_string
from eventhub.gateway import form
from eventhub.gateway.refusal import CODINGS
from eventhub.ingest.decoding import parse_json, parse_lines

MAX_RATIO = 100
"""Bytes that one byte may inflate to, beyond `FREE_BYTES`: text has 3 to 30."""
FREE_BYTES = 1 << 20
MAX_MEMBERS = 16
"""Of a gzip body (RFC 1952 section 2.2)."""
_CODINGS = {"identity": "", "x-gzip": "gzip"}
"""Other names of a coding."""
_JSON_BEGINS = (b"{", b"[")
_JSON = ("application/json", "text/json", "text/plain", "application/octet-stream", "")
_LINES = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonl")


class Messages(NamedTuple):
    """The messages of one request."""

    messages: list[Any]
    is_array: bool
    """Each message has an answer of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a request says about its body: method, query, and the content headers."""

    method: str
    query: str
    kind: str
    """The media type, without its options."""
    options: dict[str, str]
    coding: str
    """`gzip`, `deflate` or empty."""

    @classmethod
    def of(cls, request: web.Request) -> Self:
        """Read the headers.

        Raises:
            Rejected: `bad_type`: the content coding is not supported.
        """
        codings = request.headers.getall("Content-Encoding", [])
        coding = ", ".join(codings).strip().lower()
        coding = _CODINGS.get(coding, coding)
        if coding not in ("", "gzip", "deflate"):
            raise Rejected("bad_type", f"Content-Encoding may be one of {CODINGS}")
        kind, options = parse_options(request.headers.get("Content-Type", ""))
        return cls(
            method=request.method,
            query=request.rel_url.raw_query_string,
            kind=kind,
            options=options,
            coding=coding,
        )

    def inflate(self, raw: bytes, max_bytes: int) -> bytes:
        """Undo the content coding.

        Raises:
            Rejected: `bad_body`, or `too_large` for more than `max_bytes`, or far more than came.
        """
        most = min(max_bytes, max(FREE_BYTES, MAX_RATIO * len(raw)))
        wbits = 31 if self.coding == "gzip" else 15
        if self.coding == "deflate" and raw[:1] and raw[0] & 0x0F != 8:
            wbits = -15  # without its zlib header, as some clients send it
        inflated = bytearray()
        for _ in range(MAX_MEMBERS):
            decoder = zlib.decompressobj(wbits)
            try:
                inflated += decoder.decompress(raw, most + 1 - len(inflated))
            except zlib.error:
                raise Rejected("bad_body", f"the body is not {self.coding}") from None
            if len(inflated) > most:
                raise Rejected("too_large", f"the body inflates to more than {most} bytes")
            if not decoder.eof:
                raise Rejected("bad_body", f"the {self.coding} body is cut off")
            raw = decoder.unused_data
            if not raw:
                return bytes(inflated)
        raise Rejected("bad_body", f"a {self.coding} body has at most {MAX_MEMBERS} members")

    def messages(self, raw: bytes, columns: Columns) -> Messages:
        """Read the messages of a body.

        A DELETE without a body takes its keys from the URL. JSON is JSON whatever the media type
        says: `curl -d` calls everything a form.

        Args:
            raw: the body, without its coding.
            columns: of the table; they tell a form from other text.

        Raises:
            Rejected: `bad_body`, `bad_type`, `bad_json`, `bad_control`, `bad_filter`, `too_large`.
        """
        charset = self.options.get("charset")
        if self.kind == form.MULTIPART:
            boundary = self.options.get("boundary")
            return _one(form.multipart(raw, boundary, form.charset_of(charset), columns))
        raw = raw.removeprefix(codecs.BOM_UTF8)
        if self.kind == form.URLENCODED and raw.lstrip()[:1] not in _JSON_BEGINS:
            if raw or self.method != "DELETE":
                return _one(form.urlencoded(raw, form.charset_of(charset), columns))
        elif charset is not None:
            raw = _as_utf8(raw, charset)
        if not raw and self.method == "DELETE":
            return _of_url(self.query)
        exact = bool(columns.spelling.decimals)
        if self.kind in _LINES:
            return Messages(parse_lines(raw, exact=exact), is_array=True)
        start = raw.lstrip()[:1]
        if start not in _JSON_BEGINS and not self._may_be_json:
            raise Rejected("bad_type", f"send JSON or a form, not {self.kind[:60]}")
        return Messages(parse_json(raw, exact=exact), start == b"[")

    @property
    def _may_be_json(self) -> bool:
        return self.kind in _JSON or self.kind.endswith("+json") or self.kind == form.URLENCODED


def _one(message: dict[str, Any]) -> Messages:
    return Messages([message], is_array=False)


def _as_utf8(raw: bytes, label: str) -> bytes:
    """Return JSON as UTF-8, which it should be (RFC 8259 section 8.1), whatever it says it is."""
    try:
        wide = codecs.lookup(label.strip()).name.startswith(("utf-16", "utf-32"))
    except (LookupError, ValueError):
        wide = False
    try:
        return raw.decode(label.strip() if wide else form.charset_of(label)).encode()
    except UnicodeError:
        raise Rejected("bad_body", f"the body is not {label[:40]}") from None


def _of_url(query: str) -> Messages:
    """Return a message for each `id` of a URL; all have its other arguments.

    Raises:
        Rejected: `bad_control`: a control is given twice; `bad_filter`: not UTF-8.
    """
    args = parse_query_string(query)
    ids = args.pop("id", [])
    shared = form.fields_of(args)
    return Messages([{"id": each, **shared} for each in ids] or [shared], len(ids) > 1)
