"""Bare handler: the least that one small message costs in this runtime, as a process of its own.

`python -m tests.bench.bare_handler FILE` writes its URL to FILE. It reads the JSON of a POST or of
a WebSocket's text, and answers with a JSON receipt. Nothing is checked, stored or delivered.

With a FOLDER after FILE it does what no durable hub can leave out: it publishes each message to a
stream in that folder, and answers when the broker has acknowledged it. It runs the broker as the
hub does, and talks to it over the hub's own kind of connection.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import uvloop
from aiohttp import web

from eventhub import logs
from eventhub.broker import EmbeddedBroker
from eventhub.jetstream import JetStreamLog
from eventhub.jetstream.connection import Connection
from eventhub.jetstream.parser import Message
from tests.bench.events import channel_of

Store = Callable[[Any], Awaitable[int]]
"""Stores a message; returns its sequence."""


async def nothing(_: Any) -> int:
    """Store nothing."""
    return 1


@asynccontextmanager
async def stored(folder: Path) -> AsyncIterator[Store]:
    """Run a broker, and give what stores a message there."""
    channel = channel_of(folder)
    waiting: dict[str, asyncio.Future[int]] = {}
    numbers = count()

    def on_messages(messages: list[Message]) -> None:
        for message in messages:
            waiting.pop(message.subject).set_result(json.loads(message.data)["seq"])

    async with EmbeddedBroker(folder / "data") as broker:
        async with JetStreamLog.connect(broker.url, token=broker.token) as event_log:
            await event_log.open(channel)
        async with Connection.open(servers=broker.url, token=broker.token) as connection:
            inbox = connection.new_inbox()
            await connection.subscribe(f"{inbox}.*", on_messages, lambda: None)

            async def store(message: Any) -> int:
                number = next(numbers)
                reply = f"{inbox}.{number}"
                acknowledged: asyncio.Future[int] = asyncio.get_running_loop().create_future()
                waiting[reply] = acknowledged
                payload = json.dumps(message).encode()
                head = f"PUB {channel.subject(str(number))} {reply} {len(payload)}"
                connection.send(b"%b\r\n%b\r\n" % (head.encode(), payload))
                return await acknowledged

            yield store


async def serve(address: Path, store: Store) -> None:
    """Serve until killed."""

    async def post(request: web.Request) -> web.Response:
        message = await request.json()
        sequence = await store(message)
        return web.json_response({"id": message["body"][:22], "_seq": sequence}, status=201)

    async def websocket(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=("eventhub.v1.json",), compress=False)
        await socket.prepare(request)
        async for text in socket:
            message = text.json()
            receipt = {"_ack": message["_ref"], "id": message["body"][:22]}
            await socket.send_str(json.dumps({**receipt, "_seq": await store(message)}))
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


async def main(address: Path, folder: Path | None = None) -> None:
    """Serve, and store the messages in the folder, if one is given."""
    if folder is None:
        await serve(address, nothing)
    else:
        async with stored(folder) as store:
            await serve(address, store)


if __name__ == "__main__":
    logs.configure("warning", "auto")
    uvloop.run(main(*map(Path, sys.argv[1:])))
