"""`serve` starts the application of these tests with some rules; all are gone after the test."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from aiohttp import web

from eventhub.config import Auth
from tests.integration.identity.site import Serve, Site, application, started


@pytest.fixture
async def serve(tmp_path: Path) -> AsyncIterator[Serve]:
    runners: list[web.AppRunner] = []
    sites: list[Site] = []

    async def start(auth: Auth | None = None, origins: Sequence[str] = ()) -> Site:
        runner = web.AppRunner(application(auth or Auth(), tmp_path, origins))
        sites.append(await started(runner, runners))
        return sites[-1]

    yield start
    for site in sites:
        await site.client.close()
    for runner in runners:
        await runner.cleanup()
