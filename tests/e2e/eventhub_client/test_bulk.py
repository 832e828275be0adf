"""Many rows: in order, each once, whatever happens to the connection; refusals by their place."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import date
from decimal import Decimal
from typing import Any
from urllib.request import urlopen

import pytest

from eventhub_client import AsyncHub, BulkError, UnauthorizedError
from tests.e2e.eventhub_client.conftest import get, through_proxy
from tests.e2e.hub import Hub

pytestmark = pytest.mark.xdist_group("eventhub_client")


async def test_rows_are_stored_once_and_in_order_over_cuts_and_a_hub_with_small_bodies(
    server: Hub, path: str
) -> None:
    """The hub of these tests takes 256 KiB in one body."""
    async with through_proxy(server) as (proxy, hub):

        async def rows() -> AsyncIterator[dict[str, Any]]:
            for n in range(9000):
                if n % 2500 == 2499:  # some of them were sent, and had no answer yet
                    proxy.abort()
                    await asyncio.sleep(0)
                yield {"n": n, "body": "x" * 90}

        assert await hub.bulk(path, rows()) == 9000
    assert [row["n"] for row in get(server, path)] == list(range(9000))


async def test_a_batch_whose_answer_is_lost_is_stored_once(server: Hub, path: str) -> None:
    async with through_proxy(server) as (proxy, hub):
        proxy.drops_answers = True
        async with asyncio.TaskGroup() as group:
            writing = group.create_task(hub.bulk(path, [{"n": n} for n in range(100)]))
            while not await asyncio.to_thread(get, server, path):
                await asyncio.sleep(0.01)
            proxy.drops_answers = False
            proxy.abort()
    assert writing.result() == 100
    assert [row["n"] for row in get(server, path)] == list(range(100))


async def test_the_next_rows_are_taken_only_when_those_before_are_stored(
    hub: AsyncHub, server: Hub, path: str
) -> None:
    most_ahead = 0

    def rows() -> Iterator[dict[str, Any]]:
        nonlocal most_ahead
        for n in range(10_000):
            if n % 500 == 0:
                with urlopen(f"{server.url}/{path}?_limit=0", timeout=20) as answer:
                    stored = int(answer.headers["EventHub-Position"].partition(".")[2])
                most_ahead = max(most_ahead, n - stored)
            yield {"n": n}

    await hub.bulk(path, rows())
    assert most_ahead <= 4000


async def test_refused_rows_are_named_and_do_not_keep_others_from_being_stored(
    hub: AsyncHub, server: Hub, path: str
) -> None:
    too_large = {"body": "x" * 300_000}
    with pytest.raises(BulkError, match="2 rows are stored, 2 were refused") as raised:
        await hub.bulk(path, [{"n": 0}, {"n": "many"}, too_large, {"n": 3}])
    assert [(each.index, each.error.code) for each in raised.value.refused] == [
        (1, "bad_value"),
        (2, "too_large"),
    ]
    assert raised.value.stored == 2
    assert [row["n"] for row in get(server, path)] == [0, 3]


async def test_rows_that_a_hub_did_not_look_at_are_sent_again(
    hub: AsyncHub, server: Hub, path: str
) -> None:
    """After a thousand refusals a hub looks at no more of a body, and a bulk write ends."""
    wrong = [{"n": "many"}] * 1005
    with pytest.raises(BulkError, match="3 rows are stored, 1,005 were refused") as raised:
        await hub.bulk(path, [*wrong, {"n": 1}, {"n": 2}, {"n": 3}])
    assert {each.error.code for each in raised.value.refused} == {"bad_value"}
    assert sorted(row["n"] for row in get(server, path)) == [1, 2, 3]


async def test_what_cannot_go_on_says_what_is_stored(server: Hub, path: str) -> None:
    async with AsyncHub(server.url) as hub:
        with pytest.raises(BulkError, match=r"0 rows are stored.*unauthorized") as raised:
            await hub.bulk("private", [{"n": 1}])
    assert isinstance(raised.value.__cause__, UnauthorizedError)


async def test_rows_may_be_changed_or_created_or_deleted(
    hub: AsyncHub, server: Hub, path: str
) -> None:
    first = [{"id": "a", "n": Decimal(1), "body": date(2026, 11, 30)}, {"id": "b", "n": 1}]
    assert await hub.bulk(path, first) == 2
    assert await hub.bulk(path, [{"id": "b", "n": 2}, {"id": "c", "n": 2}], upsert=True) == 2
    assert await hub.bulk(path, [{"id": "a"}], method="DELETE") == 1
    assert {row["id"]: row["n"] for row in get(server, path)} == {"b": 2, "c": 2}


async def test_what_has_no_json_is_an_error_before_anything_is_sent(
    hub: AsyncHub, server: Hub, path: str
) -> None:
    with pytest.raises(TypeError, match="a set has no JSON"):
        await hub.bulk(path, [{"n": 1}, {"n": {1}}])
    with pytest.raises(ValueError, match="not JSON compliant"):
        await hub.post(path, {"n": float("nan")})
    assert get(server, path) == []
