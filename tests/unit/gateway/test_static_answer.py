"""A file is sent whole, in part or not at all, as the conditions of RFC 9110 say."""

import gzip
import os
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from eventhub.gateway.compression import MIN_BYTES, Compression
from eventhub.gateway.static_answer import StaticAnswer
from tests.unit.gateway.serving import handling

TEXT = b"let x = 'lorem ipsum';\n" * MIN_BYTES
SCRIPT = {"Content-Type": "text/javascript; charset=utf-8"}


class Site:
    """Serves one file."""

    def __init__(self, path: Path, client: aiohttp.ClientSession, port: int) -> None:
        self.path = path
        self._client = client
        self._url = f"http://127.0.0.1:{port}/"

    async def ask(self, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        skip = ["Accept-Encoding"]
        async with self._client.request(
            method, self._url, headers=sent, skip_auto_headers=skip
        ) as got:
            return got.status, {k.lower(): v for k, v in got.headers.items()}, await got.read()


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    path = tmp_path / "app.js"
    path.write_bytes(TEXT)
    compression = Compression()

    async def handle(_: web.Request) -> web.StreamResponse:
        return StaticAnswer(path, SCRIPT, compression)

    async with handling(handle) as port, aiohttp.ClientSession(auto_decompress=False) as client:
        yield Site(path, client, port)
    compression.close()


async def test_large_text_is_compressed_with_a_weak_tag_that_revalidates(site: Site) -> None:
    status, headers, body = await site.ask(Accept_Encoding="gzip")
    assert (status, headers["content-encoding"]) == (200, "gzip")
    assert gzip.decompress(body) == TEXT
    assert headers["etag"].startswith('W/"')
    assert "accept-ranges" not in headers
    again = {"Accept_Encoding": "gzip", "If_None_Match": headers["etag"]}
    status, unchanged, body = await site.ask(**again)
    assert (status, unchanged["etag"], body) == (304, headers["etag"], b"")
    os.utime(site.path, (1, 1))
    assert (await site.ask(**again))[0] == 200
    seen = {"If_Modified_Since": headers["last-modified"]}
    assert (await site.ask(**seen))[0] == 304


async def test_head_of_compressed_text_has_its_headers(site: Site) -> None:
    (_, got, _), (status, head, body) = [
        await site.ask(method, Accept_Encoding="gzip") for method in ("GET", "HEAD")
    ]
    assert (status, body) == (200, b"")
    assert [head[name] for name in ("etag", "content-encoding", "last-modified")] == [
        got[name] for name in ("etag", "content-encoding", "last-modified")
    ]


async def test_a_part_is_never_compressed(site: Site) -> None:
    status, headers, body = await site.ask(Accept_Encoding="gzip", Range="bytes=4-8")
    assert (status, body, headers.get("content-encoding")) == (206, TEXT[4:9], None)


async def test_a_part_of_another_version_is_the_whole_file(site: Site) -> None:
    _, headers, _ = await site.ask()
    tag, modified = headers["etag"], headers["last-modified"]
    for condition, status in [
        (tag, 206),
        (f"W/{tag}", 200),
        ('"other"', 200),
        (modified, 206),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 200),
    ]:
        got = await site.ask(Range="bytes=0-3", If_Range=condition)
        assert (got[0], got[2]) == (status, TEXT[:4] if status == 206 else TEXT), condition


async def test_a_packed_file_beside_it_is_sent_unless_the_client_refuses_it(site: Site) -> None:
    site.path.with_suffix(".js.gz").write_bytes(gzip.compress(b"packed"))
    status, headers, body = await site.ask(Accept_Encoding="gzip;q=0.5")
    assert (status, headers["content-encoding"], gzip.decompress(body)) == (200, "gzip", b"packed")
    status, headers, body = await site.ask(Accept_Encoding="gzip;q=0")
    assert (headers.get("content-encoding"), body) == (None, TEXT)


async def test_small_text_is_sent_as_it_is(site: Site) -> None:
    site.path.write_bytes(TEXT[: MIN_BYTES - 1])
    _, headers, body = await site.ask(Accept_Encoding="gzip")
    assert (headers.get("content-encoding"), body) == (None, TEXT[: MIN_BYTES - 1])
    assert headers["etag"].startswith('"')


@pytest.mark.parametrize("wanted", ["lines=1-2", "bytes=", "bytes=-", "bytes=0-1,3-4", "bytes=x"])
async def test_what_is_not_one_range_of_bytes_has_no_effect(site: Site, wanted: str) -> None:
    status, _, body = await site.ask(Range=wanted)
    assert (status, body) == (200, TEXT)


async def test_a_range_after_the_end_is_refused(site: Site) -> None:
    status, headers, _ = await site.ask(Range=f"bytes={len(TEXT)}-")
    assert (status, headers["content-range"]) == (416, f"bytes */{len(TEXT)}")
