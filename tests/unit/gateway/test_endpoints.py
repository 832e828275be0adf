"""A subscription finds the endpoint that a connection to its path would open."""

from pathlib import Path

from tests.subscribing import append
from tests.unit.gateway.sharing import opened


async def test_a_row_of_the_endpoint_has_a_path_of_its_own(tmp_path: Path) -> None:
    async with opened(tmp_path) as (hub, client):
        await append(hub.stream, _method="POST", id="ä", text="a")
        await append(hub.stream, _method="POST", id="b", text="b")
        client.send({"_subscribe": 1, "path": "/chat/%C3%A4", "query": "_c=text"})
        assert (await client.json())["_rows"] == [{"_seq": 1, "_created": 1, "text": "a"}]
