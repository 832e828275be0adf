"""Fixtures of the Python client: one hub for all its tests, and a path of its own for each."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any
from urllib.request import urlopen

import pytest

from eventhub_client import AsyncHub
from tests.e2e.hub import Hub, running_hub
from tests.faults.proxy import Proxy
from tests.tokens import SECRET

COLUMNS = "{topic: TEXT, body: TEXT, n: INTEGER}"
MORE = "send: true, presence: true"
PATHS = 50
CONFIG = f"""
auth: {{jwt: {{secret: "{SECRET}"}}}}
server: {{max_message: 262144, heartbeat: 0.5}}
url:
  private: {{pattern: /private, handler: MessageHandler, kwargs:
    {{columns: {COLUMNS}, auth: true}}}}
  closed: {{pattern: /closed, handler: MessageHandler, kwargs:
    {{columns: {COLUMNS}, auth: {{membership: {{role: admin}}}}}}}}
""" + "".join(
    f"  t{n}: {{pattern: /t{n}, handler: MessageHandler, kwargs: {{columns: {COLUMNS}, {MORE}}}}}\n"
    for n in range(PATHS)
)
_NUMBERS = count()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub with many empty tables, and small limits."""
    with running_hub(tmp_path_factory.mktemp("hub"), CONFIG) as hub:
        yield hub


@pytest.fixture
def path() -> str:
    """The path of a table that no other test uses."""
    number = next(_NUMBERS)
    assert number < PATHS, "more tests than tables"
    return f"t{number}"


@pytest.fixture
async def hub(server: Hub) -> AsyncIterator[AsyncHub]:
    async with AsyncHub(server.url) as hub:
        yield hub


@asynccontextmanager
async def through_proxy(server: Hub, **options: Any) -> AsyncIterator[tuple[Proxy, AsyncHub]]:
    """Yield a relay to a hub, and a client that goes through it."""
    port = int(server.url.rpartition(":")[2])
    async with Proxy(port).running() as proxy:
        url = proxy.url.replace("nats", "http")
        async with AsyncHub(url, **options) as hub:
            yield proxy, hub


def get(server: Hub, path: str) -> list[dict[str, Any]]:
    """Return what a GET answers."""
    with urlopen(f"{server.url}/{path}", timeout=20) as answer:
        rows: list[dict[str, Any]] = json.load(answer)
    return rows
