"""File answer: a kept file, or a part of it, as the answer to a GET or HEAD (RFC 9110).

Tools ask for the size of a file, then for its footer, then for the columns that they need. All of
that is of one state of the tables, because what was made for the first request is kept (ADR-58).
"""

import re
from collections.abc import Hashable
from typing import Final, Protocol

from aiohttp import web

from eventhub.errors import Conflict, Rejected
from eventhub.event import POSITION_HEADER
from eventhub.gateway import refusal
from eventhub.gateway.compression import Compression
from eventhub.gateway.kept_file import KeptFile
from eventhub.gateway.kept_files import KeptFiles

METHODS: Final = ("GET", "HEAD", "OPTIONS")
SUFFIXES: Final = {
    "parquet": ("parquet", "application/vnd.apache.parquet"),
    "arrow": ("arrow_file", "application/vnd.apache.arrow.file"),
    "csv": ("csv", "text/csv; charset=utf-8"),
    "ndjson": ("ndjson", "application/x-ndjson; charset=utf-8"),
}
"""What follows the dot, with the format and the content type."""
_TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e]*"')
_SUFFIX: Final = "bytes=-"
"""The last bytes: a tool that begins with them reads a footer, and wants to see the current rows.
Other ranges go on in the file that the client opened, by this or by a request without a range."""
_RANGE = re.compile(r"bytes=([0-9]{0,19})-([0-9]{0,19})")


class Wanted(Protocol):
    """What the URL of a file stands for, to one client."""

    @property
    def key(self) -> Hashable:
        """Equal for requests that may share a file."""

    @property
    def client(self) -> str:
        """Whose limits a new file counts toward."""

    def is_current(self, tag: str) -> bool:
        """Return whether a file with this entity tag would not differ from a new one."""

    def find(self) -> KeptFile | None:
        """Return a kept file that is current."""

    async def make(self) -> KeptFile:
        """Make one; errors as the read itself, and as `KeptFiles.make`."""


def options(cors: dict[str, str]) -> web.Response:
    """Answer OPTIONS."""
    return web.Response(status=204, headers={"Allow": ", ".join(METHODS), **cors})


async def answer_file(
    wanted: Wanted,
    kept: KeptFiles,
    compression: Compression,
    request: web.Request,
    suffix: str,
    headers: dict[str, str],
) -> web.StreamResponse:
    """Answer with the file, with a part of it, or with why there is none.

    Args:
        wanted: what the URL stands for.
        kept: where files are kept.
        compression: of a file that is sent whole; then its tag is weak.
        request: whose conditions decide what is sent (RFC 9110 section 13.2.2).
        suffix: of the path; one of `SUFFIXES`.
        headers: of every answer.

    Raises:
        Rejected: as `Wanted.make`; `conflict`: the file that `If-Match` names is not kept.
        Unavailable: it cannot be made now.
    """
    for tag in _TAG.findall(request.headers.get("If-None-Match", "")):
        if wanted.is_current(tag.removeprefix("W/").strip('"')):
            return web.Response(status=304, headers={**headers, "ETag": tag})
    text = request.headers.get("Range") if request.method == "GET" else None
    file = None
    if (match := _tags(request, "If-Match")) and match != ["*"]:
        file = kept.tagged(wanted.key, match)
        if file is None:
            message = "this version of the file is no longer kept: read it again from its start"
            raise Conflict("conflict", message)
    elif text is not None and "If-Range" in request.headers:
        file = kept.tagged(wanted.key, _tags(request, "If-Range"))
        text = None if file is None else text
    elif text is not None and not text.startswith(_SUFFIX):
        file = kept.opened_by(wanted.client, wanted.key)
    file = file or await _current(wanted, kept)
    with kept.reading(file):
        span = None if text is None else _span(text, file.size)
        if span is not None and span[0] >= span[1]:
            error = Rejected("bad_range", f"the file has only {file.size} bytes", column="Range")
            refusal.count(error, request)
            return refusal.answer(error, {**headers, "Content-Range": f"bytes */{file.size}"})
        own = {
            "Content-Type": SUFFIXES[suffix][1],
            "Content-Disposition": "attachment",
            "Accept-Ranges": "bytes",
            "ETag": f'"{file.tag}"',
            POSITION_HEADER: file.state.position,
        }
        headers = {**headers, **own, **file.headers}
        if span is not None:
            return await _send_part(file, *span, request, headers)
        return await compression.send(request, file.parts(0, file.size), headers, size=file.size)


async def _current(wanted: Wanted, kept: KeptFiles) -> KeptFile:
    async with kept.turn(wanted.key):
        file = wanted.find() or await wanted.make()
    kept.open(file, wanted.client)
    return file


async def _send_part(
    file: KeptFile, start: int, stop: int, request: web.Request, headers: dict[str, str]
) -> web.StreamResponse:
    response = web.StreamResponse(status=206, headers=headers)
    response.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{file.size}"
    response.content_length = stop - start
    await response.prepare(request)
    async for part in file.parts(start, stop):
        await response.write(part)
    await response.write_eof()
    return response


def _tags(request: web.Request, name: str) -> list[str]:
    """Return the strong entity tags of a header, or `*`; none if it was not sent.

    What is no tag counts as one that no file has. So does a weak tag: it was of a compressed
    answer, whose bytes differ.
    """
    if name not in request.headers:
        return []
    text = request.headers[name]
    if text.strip() == "*":
        return ["*"]
    return [tag[1:-1] for tag in _TAG.findall(text) if tag.startswith('"')] or [""]


def _span(text: str, size: int) -> tuple[int, int] | None:
    """Return the offsets that `Range` asks for, the second after the last byte.

    None if the file is to be sent whole: the header is not one range of bytes. If there are no such
    bytes, the second is not above the first.
    """
    found = _RANGE.fullmatch(text.strip())
    if found is None:
        return None
    first, last = found.groups()
    if not first:
        return (max(size - int(last), 0), size) if last else None
    if last and int(last) < int(first):
        return None
    return int(first), min(int(last) + 1, size) if last else size
