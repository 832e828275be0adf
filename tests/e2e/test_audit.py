"""Each refused request leaves a line in the log, and no client can fill the log."""

import asyncio
import json
from typing import Any

import aiohttp

from eventhub.logs import FIRST
from tests.e2e.client import connect
from tests.e2e.command import output
from tests.e2e.hub import Hub, HubFactory
from tests.e2e.test_tail import tail

CONFIG = """
log: {format: json}
auth: {jwt: {secret: 0123456789abcdef0123456789abcdef}, session: {cookie: eventhub}}
url:
  open:
    pattern: /open
    handler: MessageHandler
    kwargs: {columns: {body: TEXT}}
  closed:
    pattern: /closed
    handler: MessageHandler
    kwargs: {columns: {body: TEXT}, auth: true}
"""
BAD = {"Authorization": "Bearer eyJhbGciOiJub25lIn0.e30."}


def audit(hub: Hub) -> list[dict[str, Any]]:
    """Return the log lines about denied access."""
    lines = [json.loads(line) for line in hub.stderr().splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] in ("access_refused", "cookie_refused")]


async def statuses(url: str, times: int, **headers: str) -> set[int]:
    found = set()
    async with aiohttp.ClientSession() as session:
        for _ in range(times):
            async with session.get(url, headers={**headers}) as answer:
                found.add(answer.status)
    return found


async def test_each_kind_of_refusal_is_logged_and_repeated_ones_are_counted(
    hub_factory: HubFactory,
) -> None:
    hub = hub_factory(CONFIG)
    assert await statuses(f"{hub.url}/open", 100, **BAD) == {401}
    assert await statuses(f"{hub.url}/open", 3, Origin="https://evil.example") == {403}
    assert await statuses(f"{hub.url}/open", 50, Cookie="eventhub=forged") == {200}
    async with connect(f"{hub.url}/closed") as client:
        assert await client.receive() == {"_auth": "required"}  # and it leaves
    await asyncio.to_thread(hub.stop)
    lines = audit(hub)
    assert all(line["by"] == "127.0.0.1" for line in lines)
    noted = [line for line in lines if "left_out" not in line]
    kinds = [line.get("reason", line["event"]) for line in noted]
    assert kinds == [
        *["unauthorized"] * FIRST,
        *["forbidden"] * 3,
        *["cookie_refused"] * FIRST,
    ]
    assert {line["endpoint"] for line in noted if "endpoint" in line} == {"open"}
    assert {line.get("origin") for line in noted} == {None, "https://evil.example"}
    counts = {line["event"]: line["left_out"] for line in lines if "left_out" in line}
    assert counts == {"access_refused": 100 + 1 - FIRST, "cookie_refused": 50 - FIRST}
    assert hub.stderr().count("\n") < 40  # and no library logs each cookie


def test_a_tail_prints_no_terminal_control_sequences(hub_factory: HubFactory) -> None:
    hub = hub_factory(CONFIG)
    nasty = "\x1b]0;x\x07\x9b2J\x7f\u202e\u2028é👍"
    receipt = json.loads(output("post", f"{hub.url}/open", json.dumps({"body": nasty})))
    with tail(f"{hub.url}/open") as tailing:
        line = tailing.line().rstrip("\n")
    assert line.isprintable()
    assert "é👍" in line
    assert json.loads(line)["body"] == nasty
    assert json.loads(line)["id"] == receipt["id"]
