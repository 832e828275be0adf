"""Of a file, a client gets the part that it asks for, of the version that it began with."""

from collections.abc import AsyncIterator, Hashable
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from eventhub.errors import EventHubError
from eventhub.gateway import refusal
from eventhub.gateway.compression import Compression
from eventhub.gateway.file_answer import answer_file
from eventhub.gateway.kept_file import KeptFile, State
from eventhub.gateway.kept_files import KeptFiles
from tests.unit.gateway.serving import handling

DATA = b"0123456789"


class Versions:
    """Files of one key, of which a test makes new versions."""

    def __init__(self, kept: KeptFiles) -> None:
        self.kept = kept
        self.version = 1
        self.made = 0

    @property
    def key(self) -> Hashable:
        return "rows"

    @property
    def client(self) -> str:
        return "ann"

    @property
    def state(self) -> State:
        return State(f"e.{self.version}", (self.version,))

    def is_current(self, tag: str) -> bool:
        found = self.kept.tagged(self.key, [tag])
        return found is not None and found.state == self.state

    def find(self) -> KeptFile | None:
        found = self.kept.opened_by(self.client, self.key)
        return found if found is not None and found.state == self.state else None

    async def make(self) -> KeptFile:
        self.made += 1

        async def parts() -> AsyncIterator[bytes]:
            yield DATA
            yield b"%d" % self.version

        return await self.kept.make(self.key, self.client, self.state, parts())


class Asking:
    """A client of a server that answers with these files."""

    def __init__(self, port: int, http: aiohttp.ClientSession, versions: Versions) -> None:
        self._url = f"http://127.0.0.1:{port}/rows.csv"
        self._http = http
        self.versions = versions

    async def get(self, method: str = "GET", **headers: str) -> tuple[int, bytes, str]:
        """Return status, body, and the entity tag or the range."""
        asked = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self._http.request(method, self._url, headers=asked) as answer:
            found = answer.headers.get("Content-Range") or answer.headers.get("ETag")
            return answer.status, await answer.read(), found or ""


@pytest.fixture
async def asking(tmp_path: Path) -> AsyncIterator[Asking]:
    kept = KeptFiles(tmp_path)
    versions = Versions(kept)
    compression = Compression()

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            own = {"X-Own": "1"}
            return await answer_file(versions, kept, compression, request, "csv", own)
        except EventHubError as error:
            return refusal.answer(error)

    async with handling(handle) as port, aiohttp.ClientSession() as http:
        yield Asking(port, http, versions)
    kept.close()
    compression.close()


async def test_a_file_is_made_once_for_all_that_is_read_of_it(asking: Asking) -> None:
    status, body, tag = await asking.get()
    assert (status, body) == (200, DATA + b"1")
    assert await asking.get("HEAD") == (200, b"", tag)
    assert await asking.get(Range="bytes=2-4") == (206, b"234", "bytes 2-4/11")
    assert asking.versions.made == 1


@pytest.mark.parametrize(
    ("text", "status", "body"),
    [
        ("bytes=9-", 206, b"91"),
        ("bytes=-2", 206, b"91"),
        ("bytes=-100", 206, DATA + b"1"),
        ("bytes=0-99", 206, DATA + b"1"),
        ("bytes=5-4", 200, DATA + b"1"),
        ("bytes=0-1,3-4", 200, DATA + b"1"),
        ("lines=1-2", 200, DATA + b"1"),
    ],
)
async def test_a_range_is_a_part_or_what_is_no_range_the_whole(
    asking: Asking, text: str, status: int, body: bytes
) -> None:
    assert (await asking.get(Range=text))[:2] == (status, body)


async def test_a_range_beyond_the_end_is_refused_with_the_size(asking: Asking) -> None:
    status, body, size = await asking.get(Range="bytes=11-")
    assert (status, size) == (416, "bytes */11")
    assert b"the file has only 11 bytes" in body


async def test_a_client_goes_on_in_the_version_that_it_began(asking: Asking) -> None:
    _, _, tag = await asking.get()
    asking.versions.version = 2
    assert (await asking.get(Range="bytes=10-10"))[1] == b"1"
    assert (await asking.get(Range="bytes=10-10", If_Range=tag))[:2] == (206, b"1")
    assert (await asking.get(If_Match=tag))[1] == DATA + b"1"
    assert (await asking.get(Range="bytes=-1"))[1] == b"2"  # a footer is of the current rows


async def test_a_version_that_is_not_kept_is_read_again_whole_or_refused(asking: Asking) -> None:
    await asking.get()
    assert (await asking.get(Range="bytes=0-1", If_Range='"other"'))[:2] == (200, DATA + b"1")
    _, _, tag = await asking.get()
    assert (await asking.get(Range="bytes=0-1", If_Range=tag))[:2] == (206, b"01")
    assert (await asking.get(Range="bytes=0-1", If_Range=f"W/{tag}"))[:2] == (200, DATA + b"1")
    status, body, _ = await asking.get(If_Match='"other"')
    assert status == 412
    assert b"no longer kept" in body


async def test_a_client_that_has_the_current_file_gets_nothing(asking: Asking) -> None:
    _, _, tag = await asking.get()
    for known in (tag, f"W/{tag}"):  # a weak one is of compressed bytes, which the client keeps
        assert await asking.get(If_None_Match=known) == (304, b"", known)
    asking.versions.version = 2
    assert (await asking.get(If_None_Match=tag))[1] == DATA + b"2"
