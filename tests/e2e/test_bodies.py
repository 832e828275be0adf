"""One body, however it is made, does not delay other clients."""

import asyncio
import gzip
import zlib
from collections.abc import Callable, Iterator

import pytest

from tests.e2e.hub import Hub, running_hub
from tests.e2e.test_hostile import slowest_answer
from tests.e2e.wire import Answer, ask, connected, head, read_answer, with_body

CONFIG = """
url:
  rows:
    pattern: /rows
    handler: MessageHandler
    kwargs: {columns: {body: TEXT, data: JSON}}
  guarded:
    pattern: /guarded
    handler: MessageHandler
    kwargs: {auth: true}
"""
MIB = 1 << 20
SLOWEST_SECONDS = 0.5
"""Limit of another client's request in the meantime; a blocked loop took 0.8 s and more."""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """One hub for all tests of this file."""
    with running_hub(tmp_path_factory.mktemp("hub"), CONFIG) as hub:
        yield hub


def bomb() -> bytes:
    """About 300 KB that inflate to 300 MB."""
    compressor = zlib.compressobj(9, wbits=31)
    block = b" " * MIB
    return b"".join([compressor.compress(block) for _ in range(300)]) + compressor.flush()


def parts() -> bytes:
    one = b'--x\r\nContent-Disposition: form-data; name="b"\r\n\r\n\r\n'
    return one * (MIB // len(one) - 1) + b"--x--\r\n"


FORM = "Content-Type: application/x-www-form-urlencoded"
PARTS = "Content-Type: multipart/form-data; boundary=x"
GZIP = "Content-Encoding: gzip"


@pytest.mark.parametrize(
    ("lines", "make", "status"),
    [
        ([GZIP], bomb, 413),
        ([GZIP], lambda: gzip.compress(b"") * 40_000, 400),
        ([PARTS], parts, 413),
        ([PARTS], lambda: b"--x\r\n" + b"a: b\r\n" * 170_000, 413),
        ([PARTS], lambda: b"--y\r\n" * 200_000, 400),
        ([PARTS.replace("=x", "=" + "-" * 60)], lambda: b"-" * (MIB - 1), 400),
        ([FORM], lambda: b"b=&" * 349_000, 413),
        ([FORM], lambda: b"body=" + b"%41" * 349_000, 201),
        ([], lambda: b'{"body": "' + b"\\u00e9" * 174_000 + b'"}', 201),
        ([], lambda: b'{"data": [' + b"[]," * 340_000 + b"[]]}", 201),
        ([GZIP], lambda: gzip.compress(b'{"body": "' + b"x" * (MIB - 100) + b'"}'), 201),
    ],
    ids=range(11),
)
async def test_a_body_does_not_delay_other_clients(
    hub: Hub, lines: list[str], make: Callable[[], bytes], status: int
) -> None:
    done = asyncio.Event()
    request = with_body("POST /rows HTTP/1.1", make(), *lines)
    async with asyncio.TaskGroup() as group:
        others = group.create_task(slowest_answer(hub.url, done))
        answer = await asyncio.to_thread(ask, hub.url, request)
        done.set()
    assert answer.status == status, answer.body[:300]
    assert others.result() < SLOWEST_SECONDS


def test_the_body_of_a_client_that_is_not_admitted_is_neither_requested_nor_inflated(
    hub: Hub,
) -> None:
    body = b"this is no gzip"
    answer = ask(hub.url, with_body("POST /guarded HTTP/1.1", body, GZIP))
    assert (answer.status, answer.code) == (401, "unauthorized")
    waiting = head("POST /guarded HTTP/1.1", "Content-Length: 500000", "Expect: 100-continue")
    answer = ask(hub.url, waiting)
    assert answer.status == 401
    assert answer.headers["connection"] == "close"


def test_a_body_is_requested_once_its_sender_is_admitted(hub: Hub) -> None:
    body = b'{"body": "x"}'
    with connected(hub.url) as wire:
        wire.sendall(
            head("POST /rows HTTP/1.1", f"Content-Length: {len(body)}", "Expect: 100-continue")
        )
        assert wire.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        wire.sendall(body)
        answer: Answer = read_answer(wire)
    assert answer.status == 201
