"""Live rows: a mapping that is what a GET answers, over lost connections too."""

import asyncio

import pytest

from eventhub_client import AsyncHub, ClosedError
from tests.e2e.eventhub_client.conftest import get, through_proxy
from tests.e2e.hub import Hub

pytestmark = pytest.mark.xdist_group("eventhub_client")


async def test_rows_are_a_mapping_in_the_order_of_a_get_and_follow_writes(
    hub: AsyncHub, server: Hub, path: str
) -> None:
    for n in range(5):
        await hub.post(path, {"id": f"m{n}", "topic": "ab"[n % 2], "n": n})
    rows = hub.rows(path, where={"topic": "a"}, sort="-n", limit=2)
    assert list(await rows.ready(20)) == ["m4", "m2"]
    assert (rows["m4"]["n"], rows["m4"]["_seq"], "m0" in rows, len(rows)) == (4, 5, False, 2)
    await hub.delete(path, "m4")
    await hub.put(path, {"id": "m0", "n": 9})
    async with asyncio.timeout(20):
        async for shown in rows.updates():
            if list(shown) == ["m0", "m2"]:
                break
    plain = [{key: each[key] for key in each if key != "_seq"} for each in rows.values()]
    assert plain == get(server, f"{path}?topic=a&_sort=-n&_limit=2")


async def test_while_it_is_offline_rows_stay_and_then_have_what_was_missed(
    server: Hub, path: str
) -> None:
    async with through_proxy(server) as (proxy, hub), AsyncHub(server.url) as writer:
        await writer.post(path, {"id": "a"})
        rows = hub.rows(path)
        await rows.ready(20)
        proxy.is_swallowing = True
        await writer.post(path, {"id": "b"})
        proxy.abort()
        async with asyncio.timeout(30):
            async for shown in rows.updates():
                if rows.state != "live" and proxy.is_swallowing:  # it may be trying again already
                    assert list(shown) == ["a"]
                    proxy.is_swallowing = False
                    proxy.abort()
                if rows.state == "live" and "b" in shown:
                    break


async def test_updates_come_again_after_their_time_though_nothing_has_changed(
    hub: AsyncHub, path: str
) -> None:
    async with asyncio.timeout(20):
        rows = hub.rows(path)
        seen = 0
        async for shown in rows.updates(timeout=0.01):
            assert not shown
            seen += 1
            if seen == 3:
                break


async def test_rows_that_are_closed_end_their_loops(hub: AsyncHub, path: str) -> None:
    rows = hub.rows(path)
    async with asyncio.timeout(20):
        async for _ in rows.updates():
            await rows.close()
    assert (rows.state, rows.error) == ("ended", None)
    with pytest.raises(ClosedError):
        await rows.ready()
