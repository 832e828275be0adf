"""Arguments that contradict each other are refused, on an endpoint's path and in a subscription."""

from pathlib import Path

import pytest

from tests.unit.gateway.serving import V2, connected, running
from tests.unit.gateway.sharing import opened, subscribe


@pytest.mark.parametrize(
    ("query", "code", "column"),
    [
        ("_speed=2", "bad_request", "_speed"),
        ("_as_of=0&_since=now", "bad_request", "_as_of"),
        ("_as_of=0&_replay=log", "bad_request", "_as_of"),
        ("_as_of=99", "bad_position", "_as_of"),
        ("_format=csv", "bad_request", "_format"),
        ("_wait=3", "bad_filter", "_wait"),
    ],
)
async def test_contradictions_are_refused(
    tmp_path: Path, query: str, code: str, column: str
) -> None:
    async with running(tmp_path) as hub, connected(hub.port) as client:
        await client.upgrade(V2, f"?{query}".encode())
        error = (await client.json())["_error"]
    async with opened(tmp_path) as (_, client):
        subscribe(client, 1, query)
        of_subscription = (await client.json())["_error"]
    assert (error["code"], error["column"]) == (code, column)
    assert error == of_subscription
