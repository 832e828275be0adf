"""A write whose answer is lost is stored once, and one without an outcome says so."""

import asyncio

import pytest

from eventhub_client import AsyncHub, UnavailableError, UnknownOutcomeError
from tests.e2e.eventhub_client.conftest import get, through_proxy
from tests.e2e.hub import Hub
from tests.faults.proxy import Proxy
from tests.ports import free_port

pytestmark = pytest.mark.xdist_group("eventhub_client")


async def stored_without_an_answer(proxy: Proxy, server: Hub, path: str) -> None:
    """Cut the connections once a row is there, whose writer has not heard of it."""
    async with asyncio.timeout(20):
        while not await asyncio.to_thread(get, server, path):
            await asyncio.sleep(0.01)
    proxy.abort()


async def test_a_write_whose_answer_is_lost_is_sent_again_and_stored_once(
    server: Hub, path: str
) -> None:
    async with through_proxy(server) as (proxy, hub):
        proxy.drops_answers = True
        async with asyncio.TaskGroup() as group:
            write = group.create_task(hub.post(path, {"n": 1}))
            await stored_without_an_answer(proxy, server, path)
            proxy.drops_answers = False
    assert write.result()["duplicate"] is True
    assert [row["id"] for row in get(server, path)] == [write.result()["id"]]


async def test_a_write_that_may_be_stored_is_not_said_to_have_failed(
    server: Hub, path: str
) -> None:
    async with through_proxy(server, patience=0.0) as (proxy, hub):
        proxy.drops_answers = True
        async with asyncio.TaskGroup() as group:
            cutting = group.create_task(stored_without_an_answer(proxy, server, path))
            with pytest.raises(UnknownOutcomeError, match="may be stored"):
                await hub.post(path, {"n": 1})
            await cutting
    assert len(get(server, path)) == 1


async def test_a_hub_that_is_not_there_is_unavailable_after_the_patience() -> None:
    async with AsyncHub(f"http://127.0.0.1:{free_port()}", patience=0.5) as hub:
        with pytest.raises(UnavailableError, match="does not answer"):
            await hub.post("messages", {})
