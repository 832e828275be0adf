"""Log work: appends to a log in one process, without a gateway, and the least that they could cost.

A child (see `child`) with a nats-server of its own, as the hub starts it: same settings, same
fsync. It fills logs for other measurements, too.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import nats
import uvloop

from eventhub import logs as log
from eventhub.broker import EmbeddedBroker
from eventhub.channel import Channel
from eventhub.event import Event, encode
from eventhub.jetstream import JetStreamLog
from tests.bench.child import answer, setup
from tests.bench.events import channel_of, post
from tests.bench.machine import spending

SINGLES = 3
"""Up to here messages sent one by one are faster than an atomic batch."""
ACK_SECONDS = 10.0
INBOX = b"_INBOX.bench"


async def append(folder: Path, *, appenders: int, events: int, size: int) -> dict[str, Any]:
    """Append finished events from so many tasks, each waiting for its receipt."""
    channel = channel_of(folder)
    made = [post(channel, number, size) for number in range(events)]
    return await _append(folder, channel, appenders, iter(made))


async def fill(folder: Path, *, appenders: int, events: int, size: int) -> dict[str, Any]:
    """Do the same with events made on the way: a million would not fit in memory."""
    channel = channel_of(folder)
    made = (post(channel, number, size) for number in range(events))
    return await _append(folder, channel, appenders, made)


async def _append(
    folder: Path, channel: Channel, appenders: int, events: Iterator[Event]
) -> dict[str, Any]:
    async with (
        EmbeddedBroker(folder / "data") as broker,
        JetStreamLog.connect(broker.url, token=broker.token) as event_log,
    ):
        stream = await event_log.open(channel)
        await broker.stage_in_memory()
        appended = 0

        async def write() -> None:
            nonlocal appended
            for event in events:
                await stream.append(event, expect=0)
                appended += 1

        with spending(os.getpid()) as spent:
            async with asyncio.TaskGroup() as group:
                for _ in range(appenders):
                    group.create_task(write())
    return {"count": appended, "seconds": spent.wall, "cpu": spent.cpu}


async def age(folder: Path) -> dict[str, Any]:
    """Let the server forget the ids of what was written, as it does after ten minutes."""
    channel = channel_of(folder)
    async with EmbeddedBroker(folder / "data") as broker:
        client = await nats.connect(broker.url, token=broker.token)
        info = await client.jetstream().stream_info(channel.stream)
        info.config.duplicate_window = 0.1
        await client.jetstream().update_stream(info.config)
        await client.close()
    return {}


async def raw_commit(folder: Path, *, waiting: int, events: int, size: int) -> dict[str, Any]:
    """Send finished rounds of messages, each when the one before is acknowledged.

    A round has as many messages as there would be writers waiting, and is an atomic batch where
    the hub would make one; no client can do with less than to send it and to read what answers.
    """
    channel = channel_of(folder)
    is_atomic = waiting > SINGLES
    rounds = list(_rounds(channel, waiting=waiting, events=events, size=size))
    async with EmbeddedBroker(folder / "data") as broker:
        async with JetStreamLog.connect(broker.url, token=broker.token) as event_log:
            await event_log.open(channel)
            await broker.stage_in_memory()
        async with _raw(broker) as (reader, writer):
            with spending(os.getpid()) as spent:
                for messages in rounds:
                    writer.write(messages)
                    await _acknowledged(reader, 1 if is_atomic else waiting)
    done = len(rounds) * waiting
    return {"count": done, "seconds": spent.wall, "cpu": spent.cpu}


def _rounds(channel: Channel, *, waiting: int, events: int, size: int) -> Iterator[bytes]:
    numbers = count()
    for batch in range(events // waiting):
        made = [post(channel, next(numbers), size) for _ in range(waiting)]
        if waiting > SINGLES:
            yield b"".join(_hpub(channel, *each) for each in _as_batch(made, f"{batch:016x}"))
        else:
            yield b"".join(_hpub(channel, event, "", INBOX) for event in made)


def _as_batch(made: Sequence[Event], name: str) -> Iterator[tuple[Event, str, bytes]]:
    """Return the headers of an atomic batch (NATS ADR-50); the last message commits it."""
    for place, event in enumerate(made, 1):
        headers = f"Nats-Batch-Id: {name}\r\nNats-Batch-Sequence: {place}\r\n"
        if place < len(made):
            yield event, headers, b""
        else:
            yield event, f"{headers}Nats-Batch-Commit: 1\r\n", INBOX


def _hpub(channel: Channel, event: Event, more_headers: str, reply: bytes) -> bytes:
    """Return a message with the headers that the hub sends."""
    headers = (
        f"NATS/1.0\r\nNats-Msg-Id: {event.write}\r\n"
        f"Nats-Expected-Last-Subject-Sequence: 0\r\n{more_headers}\r\n"
    ).encode()
    payload = encode(event)
    sizes = b"%d %d" % (len(headers), len(headers) + len(payload))
    head = b"HPUB %s %s %s" % (channel.subject(event.id).encode(), reply, sizes)
    return b"\r\n".join((head, headers + payload, b""))


@asynccontextmanager
async def _raw(
    broker: EmbeddedBroker,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    host, _, port = broker.url.removeprefix("nats://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    connect = json.dumps({"verbose": False, "headers": True, "auth_token": broker.token})
    writer.write(b"CONNECT %s\r\nSUB %s 1\r\n" % (connect.encode(), INBOX))
    try:
        yield reader, writer
    finally:
        writer.close()


async def _acknowledged(reader: asyncio.StreamReader, acks: int) -> None:
    async with asyncio.timeout(ACK_SECONDS):
        while acks:
            if (await reader.readline()).startswith(b"MSG "):
                ack = await reader.readline()
                assert b'"error"' not in ack, ack
                acks -= 1


WORK: dict[str, Callable[..., Coroutine[Any, Any, dict[str, Any]]]] = {
    "append": append,
    "fill": fill,
    "raw_commit": raw_commit,
    "age": age,
}


def main(*, work: str, folder: str) -> None:
    """Answer each question with a run of the work on the folder."""

    log.configure("warning", "auto")  # standard output is for the answers

    def respond(**question: Any) -> dict[str, Any]:
        return uvloop.run(WORK[work](Path(folder), **question))

    answer(respond)


if __name__ == "__main__":
    main(**setup())
