"""Bare loop: the least that a broadcast costs in this runtime, as a process of its own.

`bare_loop.py SUBSCRIBERS MESSAGES BURST` prints its URL, waits for the subscribers, writes a
frame of 300 bytes to each socket, and prints the CPU seconds that the writes took.
"""

import asyncio
import sys
import time

import uvloop
from aiohttp import web

SUBSCRIBERS, MESSAGES, BURST = (int(argument) for argument in sys.argv[1:])
FRAME = b"\x81\x7e" + (300).to_bytes(2) + b'{"_method":"POST","body":"'.ljust(298, b"b") + b'"}'


async def main() -> None:
    """Serve, broadcast once, and end."""
    transports: list[asyncio.Transport] = []
    complete = asyncio.Event()

    async def handle(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        assert request.transport is not None
        transports.append(request.transport)
        if len(transports) == SUBSCRIBERS:
            complete.set()
        async for _ in socket:
            pass
        return socket

    app = web.Application()
    app.router.add_get("/", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}/", flush=True)
    await complete.wait()
    await asyncio.sleep(0.5)
    began = time.process_time()
    for _ in range(MESSAGES // BURST):
        for transport in transports:
            transport.write(FRAME * BURST)
        await asyncio.sleep(0)
        while any(transport.get_write_buffer_size() for transport in transports):
            await asyncio.sleep(0.001)
    print(time.process_time() - began, flush=True)


uvloop.run(main())
