"""Mails are composed before they take their turn at the mail server, and few wait for it."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Event
from types import ModuleType
from typing import Any

import pytest

from eventhub.alerts import smtp
from eventhub.alerts.sender import MAX_COMPOSED
from eventhub.jetstream import JetStreamLog
from tests.integration.alerts.sink import DEADLINE_SECONDS, Sink
from tests.integration.alerts.test_worker import make_hub
from tests.unit.alerts.builders import make_endpoint


class Gate(ModuleType):
    """A module that templates import: rendering waits in it, or is counted."""

    def __init__(self) -> None:
        super().__init__("gate")
        self.opened = Event()
        self.rendered = 0

    def wait(self) -> str:
        """Block a template until the test opens the gate."""
        assert self.opened.wait(DEADLINE_SECONDS)
        return ""

    def count(self) -> str:
        """Count a rendered mail."""
        self.rendered += 1
        return ""


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    made = Gate()
    monkeypatch.setitem(sys.modules, "gate", made)
    yield made
    made.opened.set()


def endpoint(**alert: Any) -> Any:
    return make_endpoint(**{"to": "a@example.org", "subject": "{{ text }}", **alert})


async def test_a_mail_that_is_being_composed_does_not_occupy_the_server(
    log: JetStreamLog, sink: Sink, tmp_path: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp, "MAX_DIALOGUES", 1)
    slow = "{% import gate %}{% if text == 'slow' %}{{ gate.wait() }}{% endif %}"
    hub = await make_hub(log, tmp_path, {"main": sink}, endpoint(body=slow))
    async with hub.working():
        await hub.post("slow")
        await hub.post("quick")
        await sink.has(1)
        assert [str(taken.mail["Subject"]) for taken in sink.taken] == ["quick"]
        gate.opened.set()
        await sink.has(2)


async def test_few_composed_mails_wait_for_a_server_that_hangs(
    log: JetStreamLog, sink: Sink, tmp_path: Path, gate: Gate
) -> None:
    body = "{% import gate %}{{ gate.count() }}"
    hub = await make_hub(log, tmp_path, {"main": sink}, endpoint(body=body))
    sink.hang()
    async with hub.working():
        for number in range(2 * MAX_COMPOSED):
            await hub.post(f"{number}")
        await sink.has_waiting(smtp.MAX_DIALOGUES)
        async with asyncio.timeout(DEADLINE_SECONDS):
            while gate.rendered < MAX_COMPOSED:
                await asyncio.sleep(0.01)
        with suppress(TimeoutError):
            async with asyncio.timeout(0.2):
                while gate.rendered == MAX_COMPOSED:
                    await asyncio.sleep(0.01)
        assert gate.rendered == MAX_COMPOSED
        sink.resume()
        await sink.has(2 * MAX_COMPOSED)
