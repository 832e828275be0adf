"""A connection has deadlines, limits and waits before its first request."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack

import pytest
from aiohttp import web

from eventhub.background import background
from eventhub.config import Limits, Server
from eventhub.gateway import arrivals as arrivals_module
from eventhub.gateway import newcomers, not_http, turned_away
from eventhub.gateway.arrivals import Arrivals
from eventhub.gateway.server import Runner
from eventhub.gateway.sockets import Sockets
from eventhub.gateway.throttle import BUSY, Key
from eventhub.gateway.turned_away import ANSWER
from eventhub.identity.proxies import Proxies
from tests.subscribing import eventually
from tests.unit.gateway.serving import connected

GET = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
HALF = b"GET / HTTP/1.1\r\nHost: "


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deadlines that a test can wait for."""
    monkeypatch.setattr(newcomers, "CHECK_SECONDS", 0.01)
    monkeypatch.setattr(arrivals_module, "BUSY_SECONDS", 0.05)
    monkeypatch.setattr(turned_away, "SECONDS", 0.05)


class Site:
    """Arrivals of a server that answers 200."""

    def __init__(self, arrivals: Arrivals, port: int) -> None:
        self.arrivals = arrivals
        self.port = port

    @property
    def open(self) -> int:
        """Connections that are counted."""
        return sum(self.arrivals._of_address.values())


@pytest.fixture
def server() -> Server:
    return Server(host="127.0.0.1", port=0)


@pytest.fixture
async def site(server: Server) -> AsyncIterator[Site]:
    """A server behind `Arrivals`."""

    async def handle(request: web.Request) -> web.StreamResponse:
        return web.Response(text="answered")

    app = web.Application()
    app.router.add_get("/", handle)
    runner = Runner(app, shutdown_timeout=0.1)
    await runner.setup()
    async with background() as tasks:
        arrivals = Arrivals(runner.connection, tasks.spawn, Proxies(), server)
        sockets = Sockets.bound(server)
        arrivals.open(sockets)
        made = Site(arrivals, int(sockets.url.rpartition(":")[2]))
        yield made
        arrivals.close()
        await runner.cleanup()
        arrivals.end()
        await eventually(lambda: made.open == 0)


async def test_a_request_is_answered_and_its_connection_counted_until_it_closes(site: Site) -> None:
    async with connected(site.port) as client:
        client.writer.write(GET)
        assert b" 200 " in await client.head()
        await client.rest()
    await eventually(lambda: site.open == 0)


@pytest.mark.parametrize(("sent", "limit"), [(b"", "FIRST_BYTE_SECONDS"), (HALF, "HEAD_SECONDS")])
async def test_a_connection_without_a_request_is_closed_in_time(
    site: Site, monkeypatch: pytest.MonkeyPatch, sent: bytes, limit: str
) -> None:
    async with connected(site.port) as client:
        client.writer.write(sent)
        await eventually(lambda: site.open == 1)
        await eventually(lambda: bool(site.arrivals.newcomers._heads) is bool(sent))
        monkeypatch.setattr(newcomers, limit, 0.0)
        assert await client.rest() == b""
    await eventually(lambda: site.open == 0)


def limited_to(most: int, **limits: float) -> Server:
    return Server(
        host="127.0.0.1", port=0, max_connections_per_address=most, limits=Limits(**limits)
    )


@pytest.mark.parametrize("server", [limited_to(2)])
async def test_one_address_has_no_more_connections_than_its_limit(site: Site) -> None:
    async with connected(site.port) as first, connected(site.port):
        await eventually(lambda: site.open == 2)
        async with connected(site.port) as third:
            assert await third.rest() == ANSWER
        first.writer.write(GET)
        assert b" 200 " in await first.head()


@pytest.mark.parametrize("server", [limited_to(2)])
async def test_the_addresses_of_a_network_of_ipv6_share_the_limit_of_one(site: Site) -> None:
    with ExitStack() as stack:
        for address in ("2001:db8::1", "2001:db8::2", "2001:db8::f:3", "2001:db8:0:1::1"):
            ours, theirs = socket.socketpair()
            stack.callback(theirs.close)
            site.arrivals._on_accepted(ours, address)
        assert site.arrivals._of_address == {"2001:db8::/64": 2, "2001:db8:0:1::/64": 1}


@pytest.mark.parametrize("server", [limited_to(100, connects=0.001, burst=3000)])
async def test_one_address_opens_no_more_connections_a_second_than_its_limit(site: Site) -> None:
    """Three at once, one that is paid later, then one each thousand seconds."""
    for _ in range(4):
        async with connected(site.port) as client:
            client.writer.write(GET)
            assert b" 200 " in await client.head()
    async with connected(site.port) as late:
        late.writer.write(GET)
        head = await late.head()
        assert b" 429 " in head
        assert b"Retry-After: 5" in head
        assert b'"too_many_connections"' in await late.rest()


async def test_loopback_has_no_limit_unless_one_is_configured(site: Site) -> None:
    site.arrivals._most_of_address = 1
    async with connected(site.port), connected(site.port):
        await eventually(lambda: site.open == 2)


async def test_a_client_that_was_refused_too_often_waits_for_its_answer(site: Site) -> None:
    key = site.arrivals.refused.key("127.0.0.1", GET)
    while not site.arrivals.refused.note(key):
        pass
    async with connected(site.port) as client:
        client.writer.write(GET)
        await eventually(lambda: site.arrivals._busy == 1)
        assert await client.rest() == BUSY
    await eventually(lambda: site.arrivals._busy == 0)
    async with connected(site.port) as client:
        client.writer.write(GET.replace(b"GET /", b"GET /other"))
        assert b" 404 " in await client.head()


async def test_of_those_that_wait_only_so_many_are_kept(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrivals_module, "MAX_BUSY", 1)
    monkeypatch.setattr(arrivals_module, "BUSY_SECONDS", 0.5)
    key = site.arrivals.refused.key("127.0.0.1", GET)
    while not site.arrivals.refused.note(key):
        pass
    async with connected(site.port) as first, connected(site.port) as second:
        first.writer.write(GET)
        await eventually(lambda: site.arrivals._busy == 1)
        second.writer.write(GET)
        assert await second.rest() == b""
        assert site.open == 1


async def test_after_close_open_connections_go_on(site: Site) -> None:
    async with connected(site.port) as client:
        await eventually(lambda: site.open == 1)
        site.arrivals.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", site.port)
        client.writer.write(GET)
        assert b" 200 " in await client.head()


async def test_what_is_not_http_is_answered_and_after_too_much_of_it_only_closed(
    site: Site,
) -> None:
    for _ in range(2):
        async with connected(site.port) as client:
            client.writer.write(b"\x16\x03\x01 garbage")
            assert await client.rest() == not_http.ANSWER
    while not site.arrivals.refused.note(Key("127.0.0.1", b"", has_credentials=False)):
        pass
    async with connected(site.port) as client:
        client.writer.write(b"\x16\x03\x01 garbage")
        assert await client.rest() == b""
    async with connected(site.port) as client:  # of the same address, and a request
        client.writer.write(GET)
        assert b" 200 " in await client.head()
