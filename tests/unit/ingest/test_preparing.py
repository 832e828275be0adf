"""Hooks see a message by its method, and its keys that are no columns are named once."""

from pathlib import Path
from typing import Any

import pytest

from eventhub.channel import Endpoint
from eventhub.config import MessageEndpoint
from eventhub.errors import EventHubError
from eventhub.hooks import Hooks
from eventhub.ingest.command import Sender
from eventhub.ingest.preparing import Preparing
from tests.builders import channel
from tests.unit.ingest.writer import ALICE, NOW, handler

SENDER = Sender(handler(ALICE))


def preparing(**endpoint: Any) -> Preparing:
    config = MessageEndpoint(name="chat", pattern="/chat", table="chat", **endpoint)
    return Preparing(Endpoint(config, channel()), Hooks(config, Path()), lambda: NOW)


@pytest.mark.parametrize(
    ("method", "names"),
    [
        ("POST", {"id", "text", "user", "timestamp"}),
        ("PUT", {"id", "text"}),
        ("SEND", {"id", "text", "user", "timestamp"}),
    ],
)
async def test_what_the_hub_sets_depends_on_the_method(method: str, names: set[str]) -> None:
    prepared = preparing()
    sent = {"_method": method, "id": "a", "text": "x"}
    message, broadcast = await prepared.hooked(sent, SENDER, prepared.utc())
    assert message.keys() == names
    assert broadcast is None


async def test_a_value_of_a_hook_that_is_no_json_is_the_hubs_failure() -> None:
    prepared = preparing(prepare="msg.update(other={1, 2}.__class__)")
    with pytest.raises(EventHubError, match="not JSON"):
        await prepared.hooked({"_method": "POST"}, SENDER, prepared.utc())


def test_a_key_that_is_no_column_is_ignored_if_the_client_sent_it() -> None:
    kept = {"text": "x", "mine": 1, "hooks": 2}
    assert preparing().ignored({"text": "x", "mine": 1}, kept, SENDER) == ("mine",)


def test_the_time_is_utc_with_microseconds() -> None:
    assert preparing().utc() == "2026-11-23T10:00:00.000005"
