"""A signal reaches whoever listens now, in order, and nobody else."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from eventhub.signals import MAX_SIGNAL_BYTES, Signals, Topic
from eventhub.stream import Log
from tests.builders import channel

CHAT, OTHER = channel(), channel("other table")
DEADLINE_SECONDS = 40.0


@pytest.fixture
def signals(any_log: Log) -> Signals:
    return any_log.signals


@asynccontextmanager
async def hearing(
    signals: Signals, topic: Topic = "sent", name: str = "chat"
) -> AsyncIterator[list[bytes]]:
    """What is heard within the block."""
    heard: list[bytes] = []
    async with signals.hear(channel(name), topic, heard.extend, lambda: None):
        yield heard


async def until(is_done: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not is_done():
            await asyncio.sleep(0.001)


async def test_each_listener_hears_every_signal_in_order(signals: Signals) -> None:
    said = [b"%d" % number for number in range(300)]
    async with hearing(signals) as one, hearing(signals) as other:
        for signal in said:
            await signals.say(CHAT, "sent", signal)
        await until(lambda: len(one) == len(other) == len(said))
    assert one == other == said


async def test_a_signal_is_of_one_channel_and_one_topic(signals: Signals) -> None:
    async with (
        hearing(signals) as sent,
        hearing(signals, "presence") as presence,
        hearing(signals, name="other table") as other,
    ):
        await signals.say(CHAT, "sent", b"1")
        await signals.say(CHAT, "presence", b"2")
        await signals.say(OTHER, "sent", b"3")
        await until(lambda: bool(sent and presence and other))
    assert (sent, presence, other) == ([b"1"], [b"2"], [b"3"])


async def test_signals_about_the_hub_are_those_of_no_table(signals: Signals) -> None:
    """Not even of tables that are called like their topic."""
    about_hub = list[bytes]()
    async with (
        signals.hear(None, "processes", about_hub.extend, lambda: None),
        hearing(signals, "processes", name="processes") as of_table,
    ):
        await signals.say(channel("processes"), "processes", b"1")
        await signals.say(None, "processes", b"2")
        await until(lambda: bool(about_hub and of_table))
    assert (about_hub, of_table) == ([b"2"], [b"1"])


async def test_whoever_comes_later_or_left_before_hears_nothing(signals: Signals) -> None:
    async with hearing(signals) as left:
        await signals.say(CHAT, "sent", b"before")
        await until(lambda: bool(left))
    async with hearing(signals) as heard:
        await signals.say(CHAT, "sent", b"after")
        await until(lambda: bool(heard))
    assert (left, heard) == ([b"before"], [b"after"])


async def test_a_signal_may_have_the_most_bytes(signals: Signals) -> None:
    async with hearing(signals) as heard:
        await signals.say(CHAT, "sent", bytes(MAX_SIGNAL_BYTES))
        await until(lambda: bool(heard))
    assert len(heard[0]) == MAX_SIGNAL_BYTES
