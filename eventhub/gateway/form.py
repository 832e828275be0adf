"""Form: the fields of an HTML form, as a browser or `curl` sends them, as one message.

Pure functions that may take long: they are called in a thread. Multipart forms (RFC 7578) are
parsed by a library with limits, and URL-encoded ones (WHATWG URL, section 5) here, because the
standard library replaces invalid UTF-8 instead of refusing it.
"""

import binascii
import codecs
import quopri
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

from multipart import MultipartError, MultipartSegment, ParserLimitReached, PushMultipartParser
from multipart import parse_options_header as parse_options

from eventhub.columns import Columns
from eventhub.errors import Rejected

MAX_FIELDS = 1000
MAX_PARTS = 100
MAX_PART_HEADERS = 8
URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"

_Pairs = Iterable[tuple[str, str]]
_CHARSET = re.compile(
    r"utf-8|ascii|iso8859-1?\d|cp125[0-8]|koi8-[ru]|shift_jis|euc_(jp|kr)|gb(2312|k|18030)|big5"
)
"""Python's names of the text encodings that extend ASCII: `zip` and `idna` are codecs too."""


def charset_of(label: str | None) -> str:
    """Return Python's name of a charset that a header names; UTF-8 if it names none.

    Raises:
        Rejected: `bad_type`: unknown, or not usable for forms.
    """
    if label is None:
        return "utf-8"
    try:
        name = codecs.lookup(label.strip()).name
    except (LookupError, ValueError):  # ValueError: a name with a NUL
        name = ""
    if not _CHARSET.fullmatch(name):
        raise Rejected("bad_type", f"charset {label[:40]!r} is not supported: send UTF-8")
    return name


def urlencoded(body: bytes, charset: str, columns: Columns) -> dict[str, Any]:
    """Return the fields of a URL-encoded form.

    Raises:
        Rejected: `too_large`, `bad_json`, `bad_body`, or as `_message` raises.
    """
    if body.count(b"&") >= MAX_FIELDS:
        raise Rejected("too_large", f"a form has at most {MAX_FIELDS} fields")
    if b"=" not in body:
        raise Rejected("bad_json", "the body is neither JSON nor a form: it has no field=value")
    return _message(_pairs(body, charset), columns)


def _pairs(body: bytes, charset: str) -> _Pairs:
    for field in filter(None, body.split(b"&")):
        name, _, value = field.partition(b"=")
        key = _text(_unquoted(name), charset, "the name of a field")
        yield key, _text(_unquoted(value), charset, key)


def _unquoted(text: bytes) -> bytes:
    return unquote_to_bytes(text.replace(b"+", b" "))


def multipart(body: bytes, boundary: str | None, charset: str, columns: Columns) -> dict[str, Any]:
    """Return the fields of a multipart form; files in it are ignored.

    Raises:
        Rejected: `too_large`, `bad_body`, `bad_type`, or as `_message` raises.
    """
    if not boundary:
        raise Rejected("bad_body", "the Content-Type of a multipart form must give its boundary")
    try:
        pairs = list(_parts(body, boundary, charset))
    except ParserLimitReached:
        text = f"a multipart form has at most {MAX_PARTS} parts, each with a few short headers"
        raise Rejected("too_large", text) from None
    except (MultipartError, UnicodeError):
        text = "the multipart form is cut off, or does not follow RFC 7578 and its boundary"
        raise Rejected("bad_body", text) from None
    return _message(pairs, columns)


def _parts(body: bytes, boundary: str, charset: str) -> _Pairs:
    with PushMultipartParser(
        boundary, max_segment_count=MAX_PARTS, max_header_count=MAX_PART_HEADERS
    ) as parser:
        segment: MultipartSegment | None = None
        chunks: list[bytes] = []
        for event in parser.parse(body):
            if isinstance(event, MultipartSegment):
                segment, chunks = event, []
            elif event is not None:
                chunks.append(event)
            elif segment is not None and segment.filename is None:
                yield _field(segment, b"".join(chunks), charset)


def _field(segment: MultipartSegment, data: bytes, charset: str) -> tuple[str, str]:
    name = segment.name
    if not name:
        raise Rejected("bad_body", "a part of the multipart form has no name")
    _, options = parse_options(segment.header("Content-Type") or "")
    own = charset_of(options["charset"]) if "charset" in options else charset
    return name, _text(_plain(segment, data), own, name)


def _plain(segment: MultipartSegment, data: bytes) -> bytes:
    """Undo a transfer encoding: deprecated by RFC 7578 section 4.7, but old clients send some."""
    encoding = (segment.header("Content-Transfer-Encoding") or "binary").strip().lower()
    if encoding not in _DECODERS:
        known = ", ".join(_DECODERS)
        raise Rejected("bad_type", f"{segment.name}: the transfer encoding must be one of {known}")
    try:
        return _DECODERS[encoding](data)
    except binascii.Error:
        raise Rejected("bad_body", f"{segment.name} is not {encoding}") from None


_DECODERS: dict[str, Callable[[bytes], bytes]] = {
    "binary": bytes,
    "8bit": bytes,
    "7bit": bytes,
    "base64": binascii.a2b_base64,
    "quoted-printable": quopri.decodestring,
}


def _text(data: bytes, charset: str, name: str) -> str:
    try:
        return data.decode(charset)
    except UnicodeError:
        raise Rejected("bad_body", f"{name}: the value is not {charset}") from None


def _message(pairs: _Pairs, columns: Columns) -> dict[str, Any]:
    """Return the fields as a message.

    Raises:
        Rejected: `bad_control`, as `fields_of` raises; `bad_body`: no field is a column.
    """
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    if not values:
        raise Rejected("bad_body", "the form has no field with a text; files are not stored")
    is_known = any(name in columns or name.startswith("_") for name in values)
    if columns.are_declared and not is_known:
        raise Rejected("bad_body", "no field of the form is a column of this table")
    return fields_of(values)


def fields_of(values: Mapping[str, list[str]]) -> dict[str, Any]:
    """Return arguments as a message; several values of one name become a list.

    Raises:
        Rejected: `bad_control`: a control is given more than once.
    """
    for name, given in values.items():
        if name.startswith("_") and len(given) > 1:
            raise Rejected("bad_control", f"{name} is given more than once", column=name)
    return {name: given if len(given) > 1 else given[0] for name, given in values.items()}
