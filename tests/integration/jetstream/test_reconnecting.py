"""A connection that is lost again while it comes back leaves no error in the log."""

import asyncio
import gc
import socket
import struct
from typing import Any

from eventhub.jetstream.subscription import Peer

INFO = b'INFO {"server_id":"s","version":"2.15.1","max_payload":1024,"proto":1,"headers":true}\r\n'
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: the connection is not closed, but reset."""
LAST = 2
"""The connection, and the ping in it, with which the server goes away: the client pings once when
it connects, and once more when it is back."""


class Server:
    """Resets its second connection just before the client is back, and takes no others."""

    def __init__(self) -> None:
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number, pings = self.connections, 0
        if number <= LAST:
            writer.write(INFO)
        while number <= LAST and (line := await reader.readline()):
            pings += line.startswith(b"PING")
            if (number, pings) == (LAST, LAST):
                writer.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, RESET
                )
                break
            if line.startswith(b"PING"):
                writer.write(b"PONG\r\n")
        writer.close()

    async def tried_again(self) -> None:
        """Wait until the client has tried again."""
        async with asyncio.timeout(40):
            while self.connections <= LAST:
                await asyncio.sleep(0.01)


async def test_an_attempt_that_replaces_another_ends_without_an_error() -> None:
    server, errors = Server(), list[dict[str, Any]]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
    async with await asyncio.start_server(server.serve, "127.0.0.1") as listening:
        port = listening.sockets[0].getsockname()[1]
        client = Peer().client
        await client.connect(
            f"nats://127.0.0.1:{port}",
            error_cb=_ignore,
            reconnect_time_wait=1,
            max_reconnect_attempts=-1,
        )
        await client.force_reconnect()
        await server.tried_again()
        await client.close()
    del client
    await asyncio.sleep(0)
    gc.collect()
    assert errors == []


async def _ignore(_: Exception) -> None:
    """By default nats-py prints a traceback for each attempt that fails."""
