"""Each client gets what was written to it, in order, with and without the system call."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, closing
from typing import Any, cast

import pytest
import structlog
import uvloop
from hypothesis import example, given
from hypothesis import strategies as st

from eventhub.delivery import broadcast as broadcast_module
from eventhub.delivery import io_submit
from eventhub.delivery.broadcast import MAX_ONE_BY_ONE, Broadcast, Sink, Sinks

SOCKET_BYTES = 4096
"""The send buffer that each socket asks for; the kernel keeps several times as much."""
RECEIVED_BYTES = 32 << 10
"""A smaller window closes between two segments, and is probed again only after some seconds."""
DEADLINE_SECONDS = 40.0
LOOPS: dict[str, Callable[[Coroutine[Any, Any, None]], None]] = {
    "asyncio": asyncio.run,
    "uvloop": uvloop.run,
}


class Counting(asyncio.WriteTransport):
    """A transport that counts its writes."""

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__()
        self.writes = 0
        self._transport = transport

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def get_write_buffer_size(self) -> int:
        return self._transport.get_write_buffer_size()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes += 1
        self._transport.write(data)


class Client(asyncio.Protocol):
    """Both ends of a connection, and the server's protocol."""

    def __init__(self) -> None:
        self.is_lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport = cast("asyncio.Transport", transport)
        self.counting = Counting(self.transport)
        self.sink = Sink(self.counting)

    def connection_lost(self, exc: Exception | None) -> None:
        self.sink.leave()
        self.is_lost = True

    def connect(self, end: socket.socket) -> None:
        self.end = end
        self.expected = b""

    async def received(self, size: int) -> bytes:
        """Read as much as was written, or to the end."""
        got = b""
        while len(got) < size:
            if not (part := await asyncio.get_running_loop().sock_recv(self.end, 1 << 16)):
                break
            got += part
        return got


@asynccontextmanager
async def clients(count: int) -> AsyncIterator[list[Client]]:
    """Connect clients that read only when they are asked to."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(DEADLINE_SECONDS), AsyncExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        found = []
        for _ in range(count):
            end = stack.enter_context(socket.socket())
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVED_BYTES)
            end.connect(listener.getsockname())
            end.setblocking(False)
            accepted, _ = listener.accept()
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BYTES)
            transport, client = await loop.connect_accepted_socket(Client, accepted)
            stack.callback(transport.abort)
            client.connect(end)
            found.append(client)
        yield found


def sinks_of(found: Sequence[Client]) -> Sinks:
    made = Sinks()
    for client in found:
        made.add(client.sink)
    return made


steps = st.one_of(
    st.tuples(st.just("all"), st.integers(1, 40_000), st.just(0)),
    st.tuples(st.sampled_from(["one", "away"]), st.integers(1, 40_000), st.integers(0, 4)),
    st.tuples(st.just("read"), st.integers(1, 40_000), st.integers(0, 4)),
)


@pytest.mark.parametrize("loop", LOOPS)
@example(script=[("all", 667, 0), ("all", 1949, 0), ("all", 9746, 0)], at_once=2, is_alone=False)
@given(
    script=st.lists(steps, max_size=12), at_once=st.sampled_from([2, 512]), is_alone=st.booleans()
)
def test_each_client_gets_everything_that_was_written_to_it_in_order(
    loop: str, script: list[tuple[str, int, int]], at_once: int, is_alone: bool
) -> None:
    """Whatever else is written to some of them, and however little they read."""

    async def scenario() -> None:
        async with clients(5) as found:
            broadcast, everybody = Broadcast(), sinks_of(found)
            if is_alone:
                broadcast.close()
            with closing(broadcast):
                for number, (what, size, which) in enumerate(script):
                    data = bytes([number + 1]) * size
                    concerned = found if what == "all" else [found[which]]
                    if what == "read":
                        unread = len(concerned[0].expected)
                        got = await concerned[0].received(min(size, unread))
                        assert concerned[0].expected.startswith(got)
                        concerned[0].expected = concerned[0].expected[len(got) :]
                        continue
                    if what == "all":
                        broadcast.write(everybody, data)
                    elif what == "one":
                        concerned[0].sink.write(data)
                    else:  # one leaves, is written to alone, and comes back
                        everybody.discard(concerned[0].sink)
                        concerned[0].sink.write(data)
                        everybody.add(concerned[0].sink)
                    for client in concerned:
                        client.expected += data
                for client in found:
                    assert await client.received(len(client.expected)) == client.expected

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(broadcast_module, "MAX_ONE_BY_ONE", 0)
        patch.setattr(io_submit, "MAX_WRITES", at_once)
        LOOPS[loop](scenario())


@pytest.mark.parametrize("loop", LOOPS)
def test_a_client_with_nothing_waiting_needs_no_write_of_its_own(loop: str) -> None:
    """A client with bytes waiting is written to through its transport."""

    async def scenario() -> None:
        async with clients(MAX_ONE_BY_ONE + 4) as found:
            everybody, full = sinks_of(found), found[3]
            full.sink.write(b"x" * (1 << 20))
            assert full.transport.get_write_buffer_size()
            with closing(Broadcast()) as broadcast:
                for _ in range(2):
                    broadcast.write(everybody, b"hello")
                assert [client.counting.writes for client in found] == [
                    3 * (client is full) for client in found
                ]
                for client in found:
                    size = 10 + (1 << 20) * (client is full)
                    assert (await client.received(size))[-10:] == b"hellohello"
                broadcast.write(everybody, b"again")
            assert full.counting.writes == 3  # nothing waits any more
            assert await full.received(5) == b"again"

    LOOPS[loop](scenario())


@pytest.mark.parametrize("loop", LOOPS)
def test_a_lost_client_is_removed_and_the_others_are_written_to(loop: str) -> None:
    async def scenario() -> None:
        async with clients(MAX_ONE_BY_ONE + 4) as found:
            gone, aborted = found[2], found[5]
            gone.end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            gone.end.close()  # a reset, which the loop has not seen yet at the next write
            aborted.transport.abort()
            others = [client for client in found if client not in (gone, aborted)]
            with closing(Broadcast()) as broadcast:
                everybody = sinks_of(found)
                broadcast.write(everybody, b"hello")
                for client in others:
                    assert await client.received(5) == b"hello"
                while not (gone.is_lost and aborted.is_lost):
                    await asyncio.sleep(0)
                assert set(everybody) == {client.sink for client in others}
                broadcast.write(everybody, b"again")
            for client in others:
                assert await client.received(5) == b"again"

    LOOPS[loop](scenario())


@pytest.mark.parametrize("loop", LOOPS)
def test_a_new_connection_with_the_descriptor_of_an_old_one_gets_nothing(loop: str) -> None:
    async def scenario() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as newcomer:
            newcomer.connect(listener.getsockname())
            newcomer.settimeout(DEADLINE_SECONDS)
            async with clients(MAX_ONE_BY_ONE + 4) as found:
                everybody, left = sinks_of(found), found[3]
                with closing(Broadcast()) as broadcast:
                    broadcast.write(everybody, b"hello")
                    left.transport.abort()
                    while not left.is_lost:
                        await asyncio.sleep(0)
                    await asyncio.sleep(0)  # the transport closes it now
                    with ExitStack() as accepted:
                        at = accepted.enter_context(listener.accept()[0])
                        while at.fileno() < left.sink.fd:  # the lowest free descriptor
                            at = accepted.enter_context(at.dup())
                        assert at.fileno() == left.sink.fd
                        broadcast.write(everybody, b"secret")
                        at.sendall(b"welcome")
                        assert newcomer.recv(100) == b"welcome"

    LOOPS[loop](scenario())


async def test_without_the_system_call_each_client_is_written_to_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(io_submit, "_CALLS", {})
    async with clients(MAX_ONE_BY_ONE + 1) as found:
        broadcast, everybody = Broadcast(), sinks_of(found)
        with structlog.testing.capture_logs() as logs:
            for _ in range(2):
                broadcast.write(everybody, b"hello")
        for client in found:
            assert await client.received(10) == b"hellohello"
        assert [entry["event"] for entry in logs] == ["broadcast_without_aio"]


async def test_encrypted_connections_are_written_to_through_their_transport() -> None:
    class Encrypted(asyncio.Transport):
        def get_extra_info(self, name: str, default: Any = None) -> Any:
            return {"socket": found[0].end, "sslcontext": object()}.get(name, default)

    async with clients(1) as found:
        assert Sink(Encrypted()).fd == -1
        assert Sink(asyncio.Transport()).fd == -1
        assert Sink(found[0].transport).fd >= 0
