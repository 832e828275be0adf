"""Large answers are compressed as the client prefers, and only those."""

import gzip
import json
import random
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from backports import zstd

from eventhub.gateway import compression as module
from eventhub.gateway.compression import MIN_BYTES, PIECE_BYTES, Compression, preferred
from tests.unit.gateway.serving import handling

JSON = {"Content-Type": "application/json", "ETag": '"7"', "Accept-Ranges": "bytes"}
LARGE = json.dumps([{"n": n, "body": "lorem ipsum"} for n in range(20_000)]).encode()
UNPACK: dict[str | None, Callable[[bytes], bytes]] = {
    None: bytes,
    "gzip": gzip.decompress,
    "zstd": zstd.decompress,
}


@pytest.fixture
def compression() -> Iterator[Compression]:
    made = Compression()
    yield made
    made.close()


@pytest.mark.parametrize(
    ("accept", "coding"),
    [
        ("", None),
        ("gzip", "gzip"),
        ("GZIP", "gzip"),
        ("x-gzip", "gzip"),
        ("gzip, deflate, br", "gzip"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("br", None),
        ("deflate", None),
        ("*", "gzip"),
        ("*;q=0", None),
        ("*;q=0, gzip", "gzip"),
        ("gzip;q=0", None),
        ("gzip;q=0.0, *", None),
        ("gzip;q=0.5, zstd;q=0.4", "gzip"),
        ("gzip;q=0.5,zstd;q=0.5", "zstd"),
        ("zstd;q=0, gzip;q=0.001", "gzip"),
        ("gzip ; q=1.000", "gzip"),
        ("gzip;q=0.5, identity", None),
        ("gzip, identity", "gzip"),
        ("identity;q=0.5, gzip;q=1.0", "gzip"),
        ("identity;q=0", None),
        ("gzip;q=2", None),
        ("gzip;q=x, zstd", "zstd"),
        (", ,gzip,,", "gzip"),
        ("gzip, gzip;q=0", None),
    ],
)
def test_the_coding_is_what_the_client_prefers(accept: str, coding: str | None) -> None:
    assert preferred(accept) == coding


async def answer(
    compression: Compression,
    parts: list[bytes],
    *,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    **about: Any,
) -> tuple[int, dict[str, str], bytes]:
    """Return an answer as it comes over the wire, with its headers in lower case."""

    async def each() -> AsyncIterator[bytes]:
        for part in parts:
            yield part

    async def handle(request: web.Request) -> web.StreamResponse:
        return await compression.send(request, each(), about.pop("own", JSON), **about)

    async with (
        handling(handle) as port,
        aiohttp.ClientSession(auto_decompress=False) as client,
        client.request(
            method,
            f"http://127.0.0.1:{port}/",
            headers=headers,
            skip_auto_headers=["Accept-Encoding"],
        ) as got,
    ):
        return got.status, {k.lower(): v for k, v in got.headers.items()}, await got.read()


@pytest.mark.parametrize("coding", ["gzip", "zstd", None])
@pytest.mark.parametrize("cut", [1000, PIECE_BYTES, len(LARGE)])
@pytest.mark.parametrize("is_size_known", [True, False])
async def test_a_large_answer_is_compressed_however_it_is_cut(
    compression: Compression, coding: str | None, cut: int, is_size_known: bool
) -> None:
    parts = [LARGE[start : start + cut] for start in range(0, len(LARGE), cut)]
    status, headers, body = await answer(
        compression,
        [b"", *parts],
        headers={"Accept-Encoding": coding or "br"},
        size=len(LARGE) if is_size_known else None,
    )
    assert (status, headers.get("content-encoding")) == (200, coding)
    assert UNPACK[coding](body) == LARGE
    if coding:
        assert len(body) < len(LARGE) / 4
        assert (headers["etag"], headers.get("accept-ranges")) == ('W/"7"', None)
    else:
        assert (headers["etag"], headers["accept-ranges"]) == ('"7"', "bytes")


@pytest.mark.parametrize(
    ("size", "headers", "own"),
    [
        (MIN_BYTES - 1, {}, JSON),
        (MIN_BYTES, {"Range": "bytes=0-"}, JSON),
        (MIN_BYTES, {"Sec-Fetch-Site": "cross-site"}, JSON),
        (MIN_BYTES, {"Sec-Fetch-Site": "same-site"}, JSON),
        (MIN_BYTES, {}, {"Content-Type": "application/vnd.apache.parquet"}),
        (MIN_BYTES, {}, {"Content-Type": "image/png"}),
        (MIN_BYTES, {}, {"Content-Type": "text/html", "Content-Encoding": "br"}),
    ],
)
async def test_other_answers_are_sent_as_they_are(
    compression: Compression, size: int, headers: dict[str, str], own: dict[str, str]
) -> None:
    sent = {"Accept-Encoding": "gzip, zstd", **headers}
    for known in (size, None):
        _, got, body = await answer(compression, [b"x" * size], headers=sent, own=own, size=known)
        assert got.get("content-encoding") == own.get("Content-Encoding")
        assert body == b"x" * size


async def test_a_page_that_named_its_origin_gets_compressed_answers(
    compression: Compression,
) -> None:
    page = {"Sec-Fetch-Site": "cross-site", "Origin": "https://app.example"}
    sent = {"Accept-Encoding": "gzip", **page}
    assert (await answer(compression, [LARGE], headers=sent))[1]["content-encoding"] == "gzip"


@pytest.mark.parametrize("accept", ["gzip", "br"])
async def test_head_has_the_headers_of_get(compression: Compression, accept: str) -> None:
    sent = {"Accept-Encoding": accept}
    (_, got, _), (_, headers, body) = [
        await answer(compression, [LARGE], method=method, headers=sent, size=len(LARGE))
        for method in ("GET", "HEAD")
    ]
    left_out = {"date", "transfer-encoding"}
    assert body == b""
    assert {k: v for k, v in headers.items() if k not in left_out} == {
        k: v for k, v in got.items() if k not in left_out
    }


async def test_answers_beyond_the_limit_are_not_compressed(
    compression: Compression, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = {"Accept-Encoding": "gzip"}
    monkeypatch.setattr(module, "MAX_ANSWERS", 1)

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield random.randbytes(MIN_BYTES)

    first = compression.coded(endless(), "gzip")
    await anext(first)
    assert "content-encoding" not in (await answer(compression, [LARGE], headers=sent))[1]
    await first.aclose()
    assert "content-encoding" in (await answer(compression, [LARGE], headers=sent))[1]


async def test_compression_can_be_turned_off() -> None:
    off = Compression()
    off.is_enabled = False
    sent = {"Accept-Encoding": "gzip"}
    assert "content-encoding" not in (await answer(off, [LARGE], headers=sent))[1]
    off.close()


async def test_an_answer_that_fails_before_it_is_large_can_still_be_an_error(
    compression: Compression,
) -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield b"["
        raise web.HTTPConflict

    async def handle(request: web.Request) -> web.StreamResponse:
        return await compression.send(request, failing(), JSON)

    async with (
        handling(handle) as port,
        aiohttp.ClientSession() as client,
        client.get(f"http://127.0.0.1:{port}/") as got,
    ):
        assert got.status == 400
