"""Compression: the content coding of large answers (RFC 9110 section 12.5.3).

A piece is compressed by a thread while the loop serves others, and the next one is not read before
it was sent: an answer needs the memory of one piece and of its compressor. Answers beyond
`MAX_ANSWERS` at once are sent as they are, which every client understands (ADR-63).
"""

import asyncio
import re
import sys
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import Final, Protocol

from aiohttp import web

from eventhub.cores import half_of_cores

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MIN_BYTES: Final = 8 << 10
"""A smaller answer is not worth the work: it takes a packet or some less."""
MAX_ANSWERS: Final = 64
"""Compressed at once; each compressor takes up to 2 MB."""
PIECE_BYTES: Final = 256 << 10
"""Compressed at once."""
GZIP_LEVEL: Final = 3
"""Rows shrink to a fifth, at 120 MB a second; the default level takes more than twice as long."""
ZSTD_OPTIONS: Final[dict[int, int]] = {
    zstd.CompressionParameter.compression_level: 1,  # 500 MB a second
    zstd.CompressionParameter.window_log: 20,  # browsers allow 23 (RFC 9659)
}
_PREFERRED: Final = ("zstd", "gzip")
"""What the hub can do, the fastest first."""
_ITEM: Final = re.compile(
    r"\s*([!#$%&'*+.^_`|~0-9a-z-]+)\s*(?:;\s*q\s*=\s*(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*)?",
    re.IGNORECASE | re.ASCII,
)
_TEXTS: Final = (
    "text/",
    "application/json",
    "application/x-ndjson",
    "application/javascript",
    "application/xml",
    "application/manifest+json",
    "application/wasm",
    "image/svg+xml",
)
"""The beginnings of types whose content shrinks; Parquet and images are packed already."""
_OWN_PAGES: Final = (None, "none", "same-origin")


def is_compressible(headers: Mapping[str, str]) -> bool:
    """Return whether the content of an answer with these headers shrinks, and may be coded."""
    kind = headers.get("Content-Type", "").lower()
    return kind.startswith(_TEXTS) and "Content-Encoding" not in headers


class Compressor(Protocol):
    """One coding of one answer."""

    def compress(self, data: bytes, /) -> bytes:
        """Return what is ready after more data. Blocking."""

    def flush(self) -> bytes:
        """Return the rest. Blocking."""


def qualities_of(accept: str) -> dict[str, float]:
    """Return what `Accept-Encoding` says of each coding; what is malformed is left out."""
    found = (_ITEM.fullmatch(item) for item in accept.split(","))
    named = ((item[1].lower(), float(item[2] or 1)) for item in found if item)
    return {name.removeprefix("x-"): quality for name, quality in named}


def preferred(accept: str) -> str | None:
    """Return the coding that a client prefers among those of the hub; None for no coding."""
    qualities = qualities_of(accept)
    best, best_quality = None, qualities.get("identity", 0.0)
    for name in _PREFERRED:
        # A client that accepts anything may be older than zstd.
        quality = qualities.get(name, qualities.get("*", 0.0) if name == "gzip" else 0.0)
        if quality > best_quality or (quality == best_quality > 0 and best is None):
            best, best_quality = name, quality
    return best


def compressor(coding: str) -> Compressor:
    """Return a new compressor of a coding."""
    if coding == "gzip":
        return zlib.compressobj(GZIP_LEVEL, wbits=31)
    return zstd.ZstdCompressor(options=ZSTD_OPTIONS)


class Compression:
    """Sends the answers of a gateway, compressed where that helps."""

    def __init__(self) -> None:
        self.is_enabled = True
        """Otherwise nothing is compressed; it may change at any time."""
        self._count = 0
        self._threads = ThreadPoolExecutor(
            max_workers=half_of_cores(), thread_name_prefix="compression"
        )

    def close(self) -> None:
        """Start no more work."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def coding_of(self, request: web.BaseRequest) -> str | None:
        """Return the coding for a large answer to a request; None for none.

        Nothing is compressed for a page of another site that has not named itself in `Origin`: the
        size of what it makes a browser ask for must not depend on a secret next to its own text.
        """
        if not self.is_enabled or self._count >= MAX_ANSWERS or "Range" in request.headers:
            return None
        if request.headers.get("Sec-Fetch-Site") not in _OWN_PAGES and (
            "Origin" not in request.headers
        ):
            return None
        return preferred(",".join(request.headers.getall("Accept-Encoding", [])))

    async def send(
        self,
        request: web.BaseRequest,
        parts: AsyncIterator[bytes],
        headers: Mapping[str, str],
        *,
        status: int = 200,
        size: int | None = None,
    ) -> web.StreamResponse:
        """Send an answer part by part; HEAD gets its headers only, and reads no part.

        Args:
            request: decides on the coding.
            parts: the bytes of the answer.
            headers: of the answer without a coding. A strong entity tag becomes a weak one if it is
                compressed, because the bytes differ.
            status: of the answer.
            size: bytes of all parts, if that is known.
        """
        response = web.StreamResponse(status=status, headers=headers)
        coding = self.coding_of(request) if is_compressible(response.headers) else None
        if size is not None and (coding is None or size < MIN_BYTES):
            response.content_length, coding = size, None
        if request.method == "HEAD":
            if coding is not None and size is not None:
                _announce(response, coding)
            await response.prepare(request)
        elif coding is None:
            await response.prepare(request)
            async for part in parts:
                await _write(response, part)
        else:
            await self._send_coded(request, response, parts, coding)
        await response.write_eof()
        return response

    async def send_whole(
        self,
        request: web.BaseRequest,
        body: bytes,
        headers: Mapping[str, str],
        *,
        status: int = 200,
    ) -> web.StreamResponse:
        """Send an answer that is complete; see `send`."""
        return await self.send(request, _pieces(body), headers, status=status, size=len(body))

    async def _send_coded(
        self,
        request: web.BaseRequest,
        response: web.StreamResponse,
        parts: AsyncIterator[bytes],
        coding: str,
    ) -> None:
        begun = bytearray()
        async for part in parts:
            begun += part
            if len(begun) >= MIN_BYTES:
                break
        else:
            response.content_length = len(begun)
            await response.prepare(request)
            await _write(response, bytes(begun))
            return
        _announce(response, coding)
        await response.prepare(request)
        async with aclosing(self.coded(chained(bytes(begun), parts), coding)) as coded:
            async for piece in coded:
                await response.write(piece)

    async def coded(self, parts: AsyncIterator[bytes], coding: str) -> AsyncGenerator[bytes, None]:
        """Iterate over the compressed bytes of an answer, none of them empty."""
        loop, packer = asyncio.get_running_loop(), compressor(coding)
        self._count += 1
        try:
            async for part in parts:
                async for piece in _pieces(part):
                    if packed := await loop.run_in_executor(self._threads, packer.compress, piece):
                        yield packed
            yield await loop.run_in_executor(self._threads, packer.flush)
        finally:
            self._count -= 1


def _announce(response: web.StreamResponse, coding: str) -> None:
    response.headers["Content-Encoding"] = coding
    response.headers.popall("Accept-Ranges", None)
    tag = response.headers.get("ETag", "")
    if tag.startswith('"'):
        response.headers["ETag"] = f"W/{tag}"


async def _write(response: web.StreamResponse, part: bytes) -> None:
    if part:  # an empty chunk would end the answer
        await response.write(part)


async def chained(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Iterate over one part, then over others."""
    yield first
    async for part in rest:
        yield part


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), PIECE_BYTES):
        yield data[start : start + PIECE_BYTES]
