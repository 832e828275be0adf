"""Static answer: one static file, whole or in part, or that it has not changed.

aiohttp decides on conditions and ranges, and sends `name.gz` or `name.br` if it is there. This adds
what it leaves out: `q=0` in `Accept-Encoding`, tags in `If-Range`, other units in `Range`, and
compression of text.
It overrides three methods of the pinned aiohttp; tests/unit/gateway/test_static_answer.py fails if
another version lacks them.
"""

import asyncio
import io
import os
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Final

from aiohttp import ETag, web
from aiohttp.abc import AbstractStreamWriter

from eventhub.errors import Rejected
from eventhub.gateway.compression import (
    MIN_BYTES,
    PIECE_BYTES,
    Compression,
    is_compressible,
    qualities_of,
)
from eventhub.handler import Validity
from eventhub.identity.expiry import while_valid

_RANGE: Final = re.compile(r"bytes=(?:[0-9]{1,19}-[0-9]{0,19}|-[0-9]{1,19})", re.ASCII)


class StaticAnswer(web.FileResponse):
    """The answer to a GET or HEAD of a file; its `Content-Type` is among `headers`."""

    def __init__(
        self,
        path: Path,
        headers: Mapping[str, str],
        packing: Compression,
        validity: Validity | None = None,
    ) -> None:
        super().__init__(path, headers=headers)
        self._packing = packing
        self._validity = validity

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send the file, as long as the login of its reader holds."""
        try:
            async with while_valid(self._validity):
                return await super().prepare(request)
        except Rejected:  # the client has a part of it, which must not look whole
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError("the login has ended") from None

    def _get_file_path_stat_encoding(
        self, accept_encoding: str
    ) -> tuple[Path | None, os.stat_result, str | None]:
        usable = [name for name, quality in qualities_of(accept_encoding).items() if quality]
        return super()._get_file_path_stat_encoding(" ".join(usable))

    async def _not_modified(
        self, request: web.BaseRequest, etag_value: str, last_modified: float
    ) -> AbstractStreamWriter | None:
        """Keep a weak tag weak: the client has compressed bytes."""
        self.set_status(304)
        self._length_check = False
        self.etag = ETag(etag_value, is_weak=_has_weak(request, etag_value))
        self.last_modified = last_modified
        return await web.StreamResponse.prepare(self, request)

    async def _prepare_open_file(
        self,
        request: web.BaseRequest,
        fobj: io.BufferedReader,
        st: os.stat_result,
        file_encoding: str | None,
    ) -> AbstractStreamWriter | None:
        tag = f"{st.st_mtime_ns:x}-{st.st_size:x}"
        if "Range" in request.headers and not _is_honoured(request, tag):
            request = request.clone(headers=_without_range(request))
        coding = None
        if file_encoding is None and st.st_size >= MIN_BYTES and is_compressible(self.headers):
            coding = self._packing.coding_of(request)
        if coding is None:
            return await super()._prepare_open_file(request, fobj, st, file_encoding)
        self.headers["Content-Encoding"] = coding
        self.etag = ETag(tag, is_weak=True)
        self.last_modified = st.st_mtime
        writer = await web.StreamResponse.prepare(self, request)
        if request.method != "HEAD":
            async with aclosing(self._packing.coded(_parts(fobj), coding)) as coded:
                async for piece in coded:
                    await self.write(piece)
        await self.write_eof()
        return writer


def _has_weak(request: web.BaseRequest, value: str) -> bool:
    return any(tag.is_weak and tag.value == value for tag in request.if_none_match or ())


def _is_honoured(request: web.BaseRequest, tag: str) -> bool:
    """Return whether `Range` is one range of bytes (RFC 9110 section 14.2), of this version.

    aiohttp knows dates in `If-Range`, but would take any tag for the current one.
    """
    if not _RANGE.fullmatch(request.headers["Range"].strip()):
        return False
    condition = request.headers.get("If-Range", "").strip()
    return not condition.startswith(('"', "W/")) or condition == f'"{tag}"'


def _without_range(request: web.BaseRequest) -> dict[str, str]:
    return {name: value for name, value in request.headers.items() if name.lower() != "range"}


async def _parts(file: io.BufferedReader) -> AsyncIterator[bytes]:
    while part := await asyncio.to_thread(file.read, PIECE_BYTES):
        yield part
