"""Every hub serves the JavaScript client: small, typed strictly, revalidated, for every site."""

import gzip
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from eventhub.gateway.client_module import MODULES, PATH
from tests.e2e.hub import Hub, running_hub

CONFIG = "url: {pages: {pattern: /pages/(.*), handler: FileHandler, kwargs: {path: $YAMLPATH}}}"
MOST_BYTES = 5000
"""Compressed: what a page waits for before its first line runs."""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with running_hub(tmp_path_factory.mktemp("hub"), CONFIG) as hub:
        yield hub


def test_the_module_is_small() -> None:
    assert len(gzip.compress(MODULES[PATH].read_bytes(), 9, mtime=0)) <= MOST_BYTES


@pytest.mark.parametrize("path", MODULES)
async def test_each_module_is_served_once_and_then_revalidated(hub: Hub, path: str) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(hub.url + path) as answer:
            assert await answer.read() == MODULES[path].read_bytes()
            assert answer.content_type == "text/javascript"
            assert answer.charset == "utf-8"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
            assert answer.headers["Cache-Control"] == "no-cache"
            tag = answer.headers["ETag"]
        async with session.get(hub.url + path, headers={"If-None-Match": tag}) as answer:
            assert (answer.status, await answer.read()) == (304, b"")
        async with session.head(hub.url + path) as answer:
            assert (answer.status, answer.headers["ETag"]) == (200, tag)
        async with session.post(hub.url + path) as answer:
            assert answer.status == 405


async def test_a_module_that_is_not_there_is_not_found(hub: Hub) -> None:
    async with aiohttp.ClientSession() as session:
        for path in ("/-/client/nope.js", "/-/client/", "/-/client/..%2feventhub.js"):
            async with session.get(hub.url + path) as answer:
                assert answer.status == 404


@pytest.mark.parametrize(("name", "own"), [("-/client.js", True), ("index.html", False)])
async def test_a_file_of_the_path_is_served_instead(tmp_path: Path, name: str, own: bool) -> None:
    pages = "{pattern: '/(.*)', handler: FileHandler, kwargs: {path: $YAMLPATH/page}}"
    (tmp_path / "page" / "-").mkdir(parents=True)
    text = f"url: {{pages: {pages}}}"
    with running_hub(tmp_path, text, {f"page/{name}": "// mine"}) as hub:
        async with aiohttp.ClientSession() as session, session.get(hub.url + PATH) as answer:
            assert (await answer.text() == "// mine") is own
