"""What a process does not have is not offered by its gateway."""

from pathlib import Path

import aiohttp

from eventhub.gateway.configuration import PATH, REHEARSAL_PATH
from tests.unit.gateway.serving import running


async def test_a_gateway_without_rehearsals_offers_none(tmp_path: Path) -> None:
    async with running(tmp_path) as hub, aiohttp.ClientSession() as session:
        url = hub.url.removesuffix("/chat")
        async with session.post(f"{url}{PATH}", data="") as answer:
            assert answer.status == 200
        async with session.post(f"{url}{REHEARSAL_PATH}", data="") as answer:
            assert answer.status == 404
