"""Row files: the rows of an endpoint as a file at `PATH.parquet`, `.arrow`, `.csv` or `.ndjson`.

Tools ask for the size of a file, then for its footer, then for the columns that they need. All of
that is of one state of the table, because what was made for the first request is kept (ADR-58).
"""

import asyncio
import re
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from eventhub.delivery.frames import Form
from eventhub.delivery.view import View
from eventhub.errors import Conflict, Rejected, Unavailable
from eventhub.event import POSITION_HEADER
from eventhub.gateway import rows
from eventhub.gateway.controls import Surface, check_honoured, check_options
from eventhub.gateway.disconnection import while_connected
from eventhub.gateway.kept_files import MAKE_SECONDS, KeptFile
from eventhub.gateway.route import Route
from eventhub.identity.expiry import while_valid

METHODS: Final = ("GET", "HEAD", "OPTIONS")
SUFFIXES: Final = {
    "parquet": ("parquet", "application/vnd.apache.parquet"),
    "arrow": ("arrow_file", "application/vnd.apache.arrow.file"),
    "csv": ("csv", "text/csv; charset=utf-8"),
    "ndjson": ("ndjson", "application/x-ndjson; charset=utf-8"),
}
"""What follows the dot, with the format and the content type."""
_TAG = re.compile(r'(?:W/)?"([\x21\x23-\x7e]*)"')
_SUFFIX: Final = "bytes=-"
"""The last bytes: a tool that begins with them reads a footer, and wants to see the current rows.
Other ranges go on in the file that the client opened, by this or by a request without a range."""
_RANGE = re.compile(r"bytes=([0-9]{0,19})-([0-9]{0,19})")


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One request for a file."""

    route: Route
    view: View
    variant: str
    client: str
    key: Hashable
    head: int
    """The sequence that a new file has to include."""

    async def current(self) -> KeptFile:
        """Return a file of the current rows, which is made unless there is one.

        Raises:
            Rejected, Unavailable: as a read of rows, and as `KeptFiles.make`.
        """
        kept = self.route.shared.kept
        try:
            async with asyncio.timeout(2 * MAKE_SECONDS), kept.turn(self.key):
                file = kept.at(self.key, self.head) or await self._make()
        except TimeoutError:
            raise Unavailable("other clients wait for this file: try again later") from None
        kept.open(file, self.client)
        return file

    async def _make(self) -> KeptFile:
        body = rows.body_of(self.route, self.view, self.variant)
        async with self.route.channel.replays.open(
            self.view, self.head, row_format=body.row_format, client=self.client
        ) as past:
            position = self.view.position(past.sequence)
            parts = body.parts(past.parts())
            return await self.route.shared.kept.make(self.key, self.client, position, parts)


async def get(route: Route, suffix: str, request: web.Request) -> web.StreamResponse:
    """Answer with the file, with a part of it, or with why there is none.

    Raises:
        Rejected: as a GET of rows; `conflict`: the file that `If-Match` names is not kept.
        Unavailable: it cannot be made now.
    """
    visit = await route.admit(request)
    check_honoured(visit.asked, Surface.FILE)
    check_options(visit.asked, suffix)
    view = route.view(visit, Form.BARE)
    if view.history:
        raise Rejected("bad_request", "a file has rows, not their history", column="_replay")
    view = await rows.shape(route, visit, view, suffix)
    form, content_type = SUFFIXES[suffix]
    variant = rows.variant_of(visit, form)
    key = (route.endpoint.channel.name, variant, view.query)
    headers = {
        "Content-Type": content_type,
        "Content-Disposition": "attachment",
        "Accept-Ranges": "bytes",
        # A browser may keep it for this user, and asks each time whether it is still current.
        **rows.headers_of(route, request, cache="private, no-cache"),
    }
    async with while_connected(request), while_valid(visit.expires_at):
        head = await rows.head_of(route, view)
        wanted = _Wanted(route, view, variant, route.client(request, visit), key, head)
        return await _answer(wanted, request, headers)


async def _answer(
    wanted: _Wanted, request: web.Request, headers: dict[str, str]
) -> web.StreamResponse:
    """Decide by the conditions of the request (RFC 9110 section 13.2.2) what is sent."""
    kept, key = wanted.route.shared.kept, wanted.key
    prefix = kept.tag_prefix(key, wanted.view.position(wanted.head))
    for tag in _tags(request, "If-None-Match"):
        if tag.startswith(prefix):
            return web.Response(status=304, headers={**headers, "ETag": f'"{tag}"'})
    text = request.headers.get("Range") if request.method == "GET" else None
    file = None
    if (match := _tags(request, "If-Match")) and match != ["*"]:
        file = kept.tagged(key, match)
        if file is None:
            message = "this version of the file is no longer kept: read it again from its start"
            raise Conflict("conflict", message)
    elif text is not None and "If-Range" in request.headers:
        file = kept.tagged(key, _tags(request, "If-Range"))
        text = None if file is None else text
    elif text is not None and not text.startswith(_SUFFIX):
        file = kept.opened_by(wanted.client, key)
    file = file or await wanted.current()
    headers |= {"ETag": f'"{file.tag}"', POSITION_HEADER: str(file.position)}
    with kept.reading(file):
        span = None if text is None else _span(text, file.size)
        if span is not None and span[0] >= span[1]:
            error = Rejected("bad_range", f"the file has only {file.size} bytes", column="Range")
            response = rows.refused(error, wanted.route, request)
            response.headers["Content-Range"] = f"bytes */{file.size}"
            return response
        return await _send(file, span, request, headers)


async def _send(
    file: KeptFile, span: tuple[int, int] | None, request: web.Request, headers: dict[str, str]
) -> web.StreamResponse:
    start, stop = span or (0, file.size)
    response = web.StreamResponse(status=206 if span else 200, headers=headers)
    if span:
        response.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{file.size}"
    response.content_length = stop - start
    await response.prepare(request)
    if request.method != "HEAD":
        async for part in file.parts(start, stop):
            await response.write(part)
    await response.write_eof()
    return response


def _tags(request: web.Request, name: str) -> list[str]:
    """Return the entity tags of a header, or `*`; none if it was not sent.

    What is no tag counts as one that no file has.
    """
    if name not in request.headers:
        return []
    text = request.headers[name]
    return ["*"] if text.strip() == "*" else _TAG.findall(text) or [""]


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
