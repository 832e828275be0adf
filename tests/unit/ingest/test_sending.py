"""A message that is not stored passes hooks, columns and rules as a POST does."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from eventhub.channel import Endpoint
from eventhub.config import MessageEndpoint
from eventhub.errors import EventHubError
from eventhub.hooks import Hooks
from eventhub.ingest.command import Precondition, Sender
from eventhub.ingest.permission import UNLIMITED, ColumnAccess, Permission
from eventhub.ingest.sending import MAX_SENT_BYTES, Passing, Sending, Sent, is_send
from eventhub.memory import MemoryStream
from eventhub.memory_signals import MemorySignals
from tests.builders import channel
from tests.subscribing import Frame, eventually
from tests.unit.ingest.writer import ALICE, NOW, Writer, handler

CHANNEL = channel()
HOOKS: dict[str, Any] = {
    "message_default": {"SEND": {"votes": "len(msg['text'])"}, "POST": {"votes": "99"}},
    "prepare": "msg.update(text=msg['text'].upper()) if msg['_method'] == 'SEND' else None",
    "modify": "msg.update(extra='seen')",
}


class Process:
    """Sends for Alice, and keeps what processes hear."""

    def __init__(self, signals: MemorySignals) -> None:
        self._signals = signals
        self.heard: list[bytes] = []
        self.spent: list[int] = []

    async def send(
        self,
        message: Frame,
        permission: Permission = UNLIMITED,
        precondition: Precondition | None = None,
        **endpoint: Any,
    ) -> Sent:
        keys = {"send": True, **endpoint}
        config = MessageEndpoint(name="chat", pattern="/chat", table="chat", **keys)
        hooks = Hooks(config, Path())
        sending = Sending(Endpoint(config, CHANNEL), hooks, self._signals, lambda: NOW)
        sender = Sender(
            handler(ALICE), permission=permission, spend=self.spent.append, client="user alice"
        )
        return await sending.send({"_method": "SEND", **message}, sender, precondition)

    async def passing(self) -> Passing:
        """Return the next message that is heard."""
        await eventually(lambda: self.heard)
        return msgspec.json.decode(self.heard.pop(0), type=Passing)

    async def refusal(self, message: Frame, **given: Any) -> tuple[str, str | None]:
        """Return code and column of the error that a message gets."""
        with pytest.raises(EventHubError) as raised:
            await self.send(message, **given)
        return raised.value.code, getattr(raised.value, "column", None)


@pytest.fixture
async def process() -> AsyncIterator[Process]:
    signals = MemorySignals()
    started = Process(signals)
    async with signals.hear(CHANNEL, "sent", started.heard.extend, lambda: None):
        yield started


async def test_a_message_is_sent_with_user_and_time_and_needs_no_id(process: Process) -> None:
    sent = await process.send(
        {"text": "typing", "votes": "7", "other": [1], "user": "eve", "id": ""}
    )
    assert sent.as_dict() == {"sent": True, "ignored": ("other",)}
    passing = await process.passing()
    assert passing.client == "user alice"
    assert passing.outgoing == {
        "text": "typing",
        "votes": 7,
        "other": [1],
        "user": "alice",
        "timestamp": "2026-11-23T10:00:00.000005",
    }
    assert process.spent == [len(msgspec.json.encode(passing))]


async def test_the_hooks_of_a_message_run_and_know_that_it_is_not_stored(process: Process) -> None:
    assert (await process.send({"text": "abc", "id": "m1"}, **HOOKS)).as_dict() == {"sent": True}
    passing = await process.passing()
    assert passing.message == {
        "text": "ABC",
        "votes": 3,
        "id": "m1",
        "user": "alice",
        "timestamp": "2026-11-23T10:00:00.000005",
    }
    assert passing.outgoing == {**passing.message, "extra": "seen"}


@pytest.mark.parametrize(
    ("message", "given", "expected"),
    [
        ({}, {"send": False}, ("bad_method", None)),
        ({"votes": "many"}, {}, ("bad_value", "votes")),
        ({"id": "a\n"}, {}, ("bad_id", "id")),
        ({"_key": "k"}, {}, ("bad_control", "_key")),
        ({"_if_seq": 3}, {}, ("bad_control", "_if_seq")),
        ({"_upsert": True}, {}, ("bad_control", "_upsert")),
        ({"_reff": 1}, {}, ("bad_control", "_reff")),
        ({"other": 1}, {"unknown": "refuse"}, ("bad_value", "other")),
        ({"text": "x" * MAX_SENT_BYTES}, {}, ("too_large", None)),
        ({f"k{n}": n for n in range(1001)}, {}, ("too_large", None)),
        ({"text": "x"}, {"prepare": "msg['nothing']"}, ("internal", None)),
        ({}, {"precondition": Precondition(match="*")}, ("bad_control", None)),
    ],
)
async def test_a_message_that_cannot_be_sent_is_refused(
    process: Process, message: Frame, given: dict[str, Any], expected: tuple[str, str | None]
) -> None:
    assert await process.refusal(message, **given) == expected
    assert not process.heard
    assert not process.spent


async def test_what_decides_on_sending_is_asked_with_the_row_that_it_would_be(
    process: Process,
) -> None:
    asked: list[tuple[object, Any, Any]] = []

    def only_short(old: object, row: Any, message: Any) -> bool:
        asked.append((old, row, message))
        return len(row["text"]) < 3

    mine = Permission(sends=only_short)
    await process.send({"text": "ab"}, mine)
    assert await process.refusal({"text": "abc"}, permission=mine) == ("forbidden", None)
    old, row, message = asked[0]
    assert old is None
    assert row == {"votes": None, "id": None, **message}


async def test_a_column_that_the_sender_may_not_set_is_refused_and_an_unknown_one_dropped(
    process: Process,
) -> None:
    closed = Permission(columns=ColumnAccess(closed=frozenset({"votes"})))
    assert await process.refusal({"votes": 1}, permission=closed) == ("forbidden", "votes")
    names = frozenset({"votes"})
    unknown = Permission(columns=ColumnAccess(hidden=names, closed=names))
    await process.send({"votes": 1}, unknown)
    assert "votes" not in (await process.passing()).message


def test_a_message_is_sent_by_its_method_in_any_case() -> None:
    assert is_send({"_method": "send"}, "POST")
    assert is_send({}, "SEND")
    assert not is_send({"_method": "POST"}, "SEND")
    assert not is_send({"_method": ["SEND"]}, None)
    assert not is_send("SEND", "SEND")


async def test_nothing_of_an_array_is_stored_but_what_is_to_be_stored() -> None:
    write = Writer(MemoryStream(CHANNEL), send=True)
    outcomes = await write.all(
        {"id": "1"}, {"_method": "SEND"}, {"_method": "SEND", "_key": "k"}, {"id": "2"}
    )
    kinds = [getattr(each, "code", type(each).__name__) for each in outcomes]
    assert kinds == ["Receipt", "Sent", "bad_control", "Receipt"]
    assert write.stream.length == 2
