"""What a decoded message becomes before it meets its row."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from eventhub.channel import Endpoint
from eventhub.config import MessageEndpoint
from eventhub.errors import EventHubError
from eventhub.hooks import Hooks
from eventhub.ingest.accepting import Accepting
from eventhub.ingest.command import Precondition, Sender
from eventhub.ingest.draft import Draft, Drafting
from eventhub.ingest.receipts import Receipts
from eventhub.ingest.row_cache import RowCache
from eventhub.ingest.sending import Sending
from eventhub.ingest.settling import Settling
from eventhub.ingest.upserting import Upserting
from eventhub.memory import MemoryStream
from eventhub.memory_signals import MemorySignals
from tests.unit.ingest.writer import CHANNEL, handler

SENDER = Sender(handler())


def accepting(**hooks: Any) -> Accepting:
    stream = MemoryStream(CHANNEL)
    config = MessageEndpoint(name="front", pattern="/chat", table="chat", **hooks)
    endpoint, compiled = Endpoint(config, CHANNEL), Hooks(config, Path())

    def now() -> datetime:
        return datetime.now(UTC)

    drafting = Drafting(endpoint, compiled, now)
    settling = Settling(stream, RowCache(stream), Receipts(stream, after=0))
    sending = Sending(endpoint, compiled, MemorySignals(), now)
    return Accepting(endpoint, stream, drafting, sending, Upserting(settling, drafting), now)


@pytest.mark.parametrize("message", [{"text": "a"}, {"id": "1", "_key": "k"}, {"_method": "post"}])
def test_a_post_that_depends_on_no_row_is_drafted_at_once(message: dict[str, Any]) -> None:
    assert isinstance(accepting().plain(message, SENDER), Draft)


@pytest.mark.parametrize(
    "message",
    [
        {"_method": "PUT", "id": "1"},
        {"_method": "SEND"},
        {"_upsert": True, "id": "1"},
        {"_if_seq": 0, "id": "1"},
        {"_method": "nothing"},
        "text",
    ],
)
def test_any_other_message_is_not_plain(message: object) -> None:
    assert accepting().plain(message, SENDER) is None


def test_method_and_precondition_of_the_transport_count() -> None:
    one = accepting()
    assert one.plain({"id": "1"}, SENDER, "PUT") is None
    assert one.plain({"id": "1"}, SENDER, "POST", Precondition(none_match="*")) is None


def test_a_post_that_hooks_change_is_not_plain() -> None:
    assert accepting(prepare="msg").plain({"text": "a"}, SENDER) is None


def test_a_value_that_does_not_fit_is_a_refusal() -> None:
    refusal = accepting().plain({"votes": "many"}, SENDER)
    assert isinstance(refusal, EventHubError)
    assert refusal.code == "bad_value"


async def test_a_message_whose_hook_fails_is_an_error_and_nothing_is_raised() -> None:
    refusal = await accepting(prepare="1 / 0").any({"text": "a"}, SENDER, None, None)
    assert isinstance(refusal, EventHubError)
    assert refusal.code == "internal"


async def test_a_key_that_is_no_column_must_be_json_as_well() -> None:
    """A field of a form need not be UTF-8."""
    refusal = accepting().plain({"other": b"\xff".decode(errors="surrogateescape")}, SENDER)
    assert isinstance(refusal, EventHubError)
    assert refusal.code == "internal"
