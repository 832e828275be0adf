"""Reload: changes the file of a running hub, and waits for what becomes of it."""

import asyncio
import json
import os
import signal
from collections.abc import Callable
from typing import Any

from tests.e2e.client import request
from tests.e2e.hub import DEADLINE_SECONDS, Hub

CHAT = """
url:
  chat:
    pattern: /chat
    handler: MessageHandler
    kwargs:
      columns: {body: TEXT, n: INTEGER}
"""
OTHER = """
  other:
    pattern: /other
    handler: MessageHandler
    kwargs: {columns: {word: TEXT}}
"""


def said(hub: Hub, event: str) -> list[dict[str, Any]]:
    """What the hub has logged as this event."""
    lines = (json.loads(line) for line in hub.stderr().splitlines() if line.startswith("{"))
    return [line for line in lines if line["event"] == event]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not condition():
            await asyncio.sleep(0.01)


async def reload(hub: Hub, text: str | None = None, *, refused: int = 0) -> list[str]:
    """Change the file, and wait for the end of the reload; return the reasons of a refusal."""
    if text is not None:
        hub.config.write_text(text)
    done, wrong = len(said(hub, "reloaded")), len(said(hub, "reload_refused"))
    assert hub.process is not None
    os.kill(hub.process.pid, signal.SIGHUP)
    if refused:
        await until(lambda: len(said(hub, "reload_refused")) >= wrong + refused)
        return [line["problem"] for line in said(hub, "reload_refused")[wrong:]]
    await until(lambda: len(said(hub, "reloaded") + said(hub, "reload_refused")) > done + wrong)
    assert said(hub, "reload_refused")[wrong:] == []
    return []


async def post(url: str, **message: Any) -> int:
    status, _ = await request("POST", url, json=message)
    return status
