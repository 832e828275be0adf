"""Shared sockets for tests: opened, and with subscriptions."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.subscribing import Frame
from tests.unit.gateway.serving import V2, Client, Running, connected, running

PATH = b"/-/socket"


@asynccontextmanager
async def opened(
    folder: Path, headers: bytes = V2, **endpoint: Any
) -> AsyncIterator[tuple[Running, Client]]:
    async with running(folder, **endpoint) as hub, connected(hub.port) as client:
        head = await client.upgrade(headers, path=PATH)
        assert b" 101 " in head
        yield hub, client


def subscribe(client: Client, number: object, query: str = "", **more: Any) -> None:
    client.send({"_subscribe": number, "path": "/chat", "query": query, **more})


async def until(client: Client, key: str) -> list[Frame]:
    """Return the frames up to the first with a key."""
    frames = [await client.json()]
    while key not in frames[-1]:
        frames.append(await client.json())
    return frames


async def close_code(client: Client) -> int:
    kind, payload = await client.frame()
    while kind != 8:
        kind, payload = await client.frame()
    return int.from_bytes(payload[:2])
