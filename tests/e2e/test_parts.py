"""Each part of a hub takes over what concerns it in a changed configuration."""

import asyncio
from pathlib import Path

import pytest

from tests.e2e.client import get, request
from tests.e2e.hub import Hub, HubFactory
from tests.e2e.reload import CHAT, OTHER, post, reload, until
from tests.integration.alerts.sink import Sink

SQL = """
  sql:
    pattern: /sql
    handler: SQLHandler
"""


@pytest.fixture
def hub(hub_factory: HubFactory) -> Hub:
    """A hub with one endpoint."""
    return hub_factory(CHAT)


async def test_queries_see_the_table_of_a_new_endpoint(hub: Hub) -> None:
    await reload(hub, CHAT + SQL)
    await reload(hub, CHAT + OTHER + SQL)
    await post(f"{hub.url}/other", word="new")
    assert await get(f"{hub.url}/sql", sql="SELECT word FROM other") == [{"word": "new"}]
    await reload(hub, CHAT + OTHER)
    assert (await request("GET", f"{hub.url}/sql"))[0] == 404


async def test_a_restarted_hub_has_what_was_written_through_an_endpoint_that_was_added(
    hub: Hub,
) -> None:
    await reload(hub, CHAT + OTHER)
    await post(f"{hub.url}/other", word="kept")
    hub.kill()
    await asyncio.to_thread(hub.start)
    assert [row["word"] for row in await get(f"{hub.url}/other")] == ["kept"]


async def test_a_new_alert_mails_the_next_message(hub: Hub) -> None:
    async with Sink.running() as sink:
        email = f"email: {{a: {{type: smtp, host: 127.0.0.1, port: {sink.port}}}}}\n"
        alert = "      alert: {to: ann@example.org, from: hub@example.org, subject: '{{ body }}'}\n"
        await reload(hub, email + CHAT + alert)
        await post(f"{hub.url}/chat", body="mailed")
        (taken,) = await sink.has(1)
        assert taken.mail["Subject"] == "mailed"


async def test_an_archive_that_is_added_has_the_tables_of_before_and_of_now(
    hub: Hub, tmp_path: Path
) -> None:
    await post(f"{hub.url}/chat", body="archived")
    archive = f"archive: {{to: {tmp_path}/archive}}\n"
    await reload(hub, archive + CHAT)
    await until(lambda: any((tmp_path / "archive" / "chat").rglob("*.parquet")))
    await reload(hub, archive + CHAT + OTHER)
    await post(f"{hub.url}/other", word="archived")
    await until(lambda: (tmp_path / "archive" / "other").exists())
    await reload(hub, CHAT + OTHER)
    assert await asyncio.to_thread(hub.stop) == 0
