"""The parser hands on what nats-py's own parser hands on, however the bytes are cut."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.aio.client import Client
from nats.protocol.parser import Parser

from eventhub.jetstream.parser import BatchParser, Message

HandedOn = list[tuple[Any, ...]]
TOKENS = st.text("abcXYZ0123456789_-=$.>", min_size=1, max_size=20)
HEADERS = st.sampled_from(
    [
        None,
        b"NATS/1.0\r\nNats-Msg-Id: w1\r\nNats-Expected-Last-Subject-Sequence: 0\r\n\r\n",
        b"NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 7\r\n\r\n",
        b"NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: 3\r\n\r\n",
        b"NATS/1.0 503\r\n\r\n",
    ]
)
MESSAGES = st.lists(
    st.tuples(TOKENS, st.sampled_from([1, 2]), st.none() | TOKENS, HEADERS, st.binary(max_size=80)),
    max_size=12,
)


class Recorder(Client):
    """A client that is not connected, and notes what its parser hands on."""

    def __init__(self) -> None:
        super().__init__()
        self.handed_on: HandedOn = []

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None
    ) -> None:
        head = None if headers is None else await self._process_headers(headers)
        self.handed_on.append((sid, subject.decode(), reply.decode(), head, data))

    async def _process_ping(self) -> None:
        self.handed_on.append(("PING",))

    async def _process_pong(self) -> None:
        self.handed_on.append(("PONG",))

    async def _process_err(self, err_msg: str) -> None:
        self.handed_on.append(("ERR", err_msg))


def wire(messages: list[tuple[Any, ...]]) -> bytes:
    """Return messages as a server writes them, with other lines between."""
    parts = [b"+OK\r\n"]
    for subject, sid, reply, head, data in messages:
        words = [subject.encode(), b"%d" % sid, *([reply.encode()] if reply else [])]
        if head is None:
            parts += [b"MSG ", b" ".join([*words, b"%d" % len(data)]), b"\r\n", data, b"\r\n"]
        else:
            sizes = [b"%d" % len(head), b"%d" % (len(head) + len(data))]
            parts += [b"HMSG ", b" ".join([*words, *sizes]), b"\r\n", head, data, b"\r\n"]
        parts.append(b"PONG\r\n" if len(data) % 3 == 0 else b"PING\r\n")
    return b"".join([*parts, b"-ERR 'Permissions Violation'\r\n"])


def recording(handed_on: HandedOn, sid: int) -> Any:
    """Return a handler that notes messages as `Recorder` does."""

    def handle(messages: list[Message]) -> None:
        handed_on.extend((sid, m.subject, m.reply, m.headers, m.data) for m in messages)

    return handle


@given(MESSAGES, st.lists(st.integers(1, 60), min_size=1, max_size=20))
async def test_the_same_messages_in_the_same_order(
    messages: list[tuple[Any, ...]], cuts: list[int]
) -> None:
    theirs, ours = Recorder(), Recorder()
    parser = BatchParser.install(ours)
    parser.handlers |= {sid: recording(ours.handed_on, sid) for sid in (1, 2)}
    data = wire(messages)
    await Parser(theirs).parse(data)
    position = 0
    while position < len(data):
        size = cuts[position % len(cuts)]
        await parser.parse(data[position : position + size])
        position += size
    assert [_plain(each) for each in ours.handed_on] == [_plain(each) for each in theirs.handed_on]


@given(MESSAGES, st.lists(st.integers(1, 60), min_size=1, max_size=20), st.integers(1, 30))
async def test_messages_that_are_parsed_on_arrival_come_in_the_same_order(
    messages: list[tuple[Any, ...]], cuts: list[int], read_size: int
) -> None:
    theirs, ours = Recorder(), Recorder()
    parser = BatchParser.install(ours)
    parser.handlers |= {sid: recording(ours.handed_on, sid) for sid in (1, 2)}
    reader = asyncio.StreamReader()

    async def read_as_nats_py_does() -> None:
        while not reader.at_eof():
            await parser.parse(await reader.read(read_size))

    data = wire(messages)
    await Parser(theirs).parse(data)
    position = len(data) // 3
    reader.feed_data(data[:position])  # it came before the handshake was over
    parser.take_over(reader)
    async with asyncio.TaskGroup() as group:
        group.create_task(read_as_nats_py_does())
        while position < len(data):
            size = cuts[position % len(cuts)]
            reader.feed_data(data[position : position + size])
            for _ in range(size % 4):
                await asyncio.sleep(0)
            position += size
        reader.feed_eof()
    assert [_plain(each) for each in ours.handed_on] == [_plain(each) for each in theirs.handed_on]


async def test_a_message_needs_no_reading_task() -> None:
    client, reader = Recorder(), asyncio.StreamReader()
    parser = BatchParser.install(client)
    parser.handlers[1] = recording(client.handed_on, 1)
    parser.take_over(reader)
    reader.feed_data(b"MSG a 1 2\r\nhi\r\nMSG a 1 2\r\nh")
    assert client.handed_on == [(1, "a", "", None, b"hi")]
    reader.feed_data(b"o\r\nPING\r\nMSG a 1 2\r\nhe\r\n")
    assert client.handed_on[1:] == [(1, "a", "", None, b"ho")]
    await parser.parse(await reader.read(100))
    assert client.handed_on[2:] == [("PING",), (1, "a", "", None, b"he")]
    reader.feed_data(b"MSG a 1 2\r\nhu\r\n")
    assert client.handed_on[4:] == [(1, "a", "", None, b"hu")]


def _plain(handed_on: tuple[Any, ...]) -> tuple[Any, ...]:
    """nats-py leaves out an empty description."""
    if len(handed_on) != 5 or handed_on[3] is None:
        return handed_on
    return (*handed_on[:3], {k: v for k, v in handed_on[3].items() if v}, handed_on[4])


async def test_messages_without_a_subscription_are_dropped() -> None:
    client = Recorder()
    parser = BatchParser.install(client)
    await parser.parse(b"MSG a 9 2\r\nhi\r\nPING\r\n")
    assert client.handed_on == [("PING",)]


async def test_a_new_connection_forgets_the_incomplete_message_of_the_old() -> None:
    client = Recorder()
    parser = BatchParser.install(client)
    parser.handlers[1] = recording(client.handed_on, 1)
    await parser.parse(b"MSG a 1 100\r\nhalf of")
    parser.reset()
    await parser.parse(b"MSG a 1 2\r\nhi\r\n")
    assert client.handed_on == [(1, "a", "", None, b"hi")]


@pytest.mark.parametrize("size", [1 << 20, 8 << 20])
async def test_a_large_message_comes_in_pieces(size: int) -> None:
    client = Recorder()
    parser = BatchParser.install(client)
    parser.handlers[1] = recording(client.handed_on, 1)
    data = b"MSG a 1 %d\r\n%s\r\n" % (size, b"x" * size)
    for start in range(0, len(data), 65536):
        await parser.parse(data[start : start + 65536])
    [(_, _, _, _, body)] = client.handed_on
    assert body == b"x" * size
