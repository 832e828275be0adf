"""Bare handler: the least that one small message costs in this runtime, as a process of its own.

`python -m tests.bench.bare_handler FILE` writes its URL to FILE. It reads the JSON of a POST or of
a WebSocket's text, and answers with a JSON receipt. Nothing is checked, stored or delivered.
"""

import asyncio
import json
import sys
from pathlib import Path

import uvloop
from aiohttp import web


async def main(address: Path) -> None:
    """Serve until killed."""

    async def post(request: web.Request) -> web.Response:
        message = await request.json()
        return web.json_response({"id": message["body"][:22], "_seq": 1}, status=201)

    async def websocket(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=("eventhub.v1.json",), compress=False)
        await socket.prepare(request)
        async for text in socket:
            message = text.json()
            receipt = {"_ack": message["_ref"], "id": message["body"][:22], "_seq": 1}
            await socket.send_str(json.dumps(receipt))
        return socket

    app = web.Application()
    app.router.add_post("/", post)
    app.router.add_get("/", websocket)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/\n"
    await asyncio.to_thread(address.write_text, url)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1])))
