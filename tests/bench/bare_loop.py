"""Bare loop: the least that a broadcast costs in this runtime, as a process of its own.

`python -m tests.bench.bare_loop FILE SIZE` writes its URL to FILE. A client that sends a number
has that many finished frames of SIZE bytes written to every other client, in one write each, and
is answered when it is done. Nothing is stored, filtered or encoded.
"""

import asyncio
import sys
from pathlib import Path

import uvloop
from aiohttp import web

from tests.bench.dialects import BARE_ACK, BARE_MARK
from tests.bench.wire import text_frame


async def main(address: Path, size: int) -> None:
    """Serve until killed."""
    frame = text_frame(BARE_MARK.ljust(size, b"b"))
    receivers: set[asyncio.Transport] = set()

    async def handle(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        transport = request.transport
        assert transport is not None
        receivers.add(transport)
        async for message in socket:
            receivers.discard(transport)  # it is a sender
            burst = frame * int(message.data)
            for receiver in receivers:
                receiver.write(burst)
            await socket.send_bytes(BARE_ACK)
        receivers.discard(transport)
        return socket

    app = web.Application()
    app.router.add_get("/", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/\n"
    await asyncio.to_thread(address.write_text, url)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1]), int(sys.argv[2])))
