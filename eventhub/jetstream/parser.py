"""NATS parser: cuts what a server sends into messages, many at a time.

nats-py 2.16 reads in a task, parses a message with four regular expressions, and hands it over
through a queue and a task of its own: 36,000 to 180,000 messages per CPU second. This parser takes
the place of all that, and hands the messages of one read to the function of their subscription.
Everything that is not a message (PING, INFO, errors) still goes to nats-py's reading task and
parser, so nats-py still connects, reconnects and authenticates.

It relies on `Client._ps`, `Client._read_loop`, `TcpTransport._io_reader`, `Client._process_msg` and
`Parser.parse` of the pinned version, and on `StreamReader._buffer`; a test compares it with
nats-py's own parser on the same bytes.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
from nats.aio.client import Client
from nats.protocol.parser import Parser

CRLF = b"\r\n"
_STATUS = b"NATS/1.0"


class Message(msgspec.Struct, gc=False):
    """A message of the server. Its texts are decoded on demand, because most are never needed."""

    raw_subject: bytes
    raw_reply: bytes
    raw_headers: bytes | None
    data: bytes

    @property
    def subject(self) -> str:
        """The subject that it was published to."""
        return self.raw_subject.decode()

    @property
    def reply(self) -> str:
        """The subject for an answer; in a delivery of JetStream, its place (NATS ADR-15)."""
        return self.raw_reply.decode()

    @property
    def headers(self) -> dict[str, str] | None:
        """Headers (NATS ADR-4), with `Status` and `Description` of its first line."""
        return None if self.raw_headers is None else _headers(self.raw_headers)

    @property
    def status(self) -> str | None:
        """The status of a message that the server itself made, such as "404"."""
        return (self.headers or {}).get("Status")


Handler = Callable[[list[Message]], None]
"""Called with the messages of one read for one subscription; must not raise or wait."""


def _headers(head: bytes) -> dict[str, str]:
    first, *lines = head.decode("utf-8", "replace").split("\r\n")
    fields = (line.partition(":") for line in lines)
    headers = {name: value.strip() for name, _, value in fields if name}
    status, _, description = first[len(_STATUS) :].strip().partition(" ")
    if status:
        headers |= {"Status": status, "Description": description}
    return headers


class BatchParser(Parser):
    """Replaces the parser of a client, before it connects."""

    def __init__(self, client: Client) -> None:
        self.handlers: dict[int, Handler] = {}
        """By the number of the subscription."""
        self._reader: asyncio.StreamReader | None = None
        """Of the present connection."""
        self._unread = 0
        """Bytes that wait in the reader, or are being parsed for nats-py."""
        super().__init__(client)

    @classmethod
    def install(cls, client: Client) -> "BatchParser":
        """Put a parser into a client that has not connected yet."""
        parser = cls(client)
        client._ps = parser
        return parser

    def reset(self) -> None:
        """Forget an incomplete message: the connection is a new one."""
        super().reset()
        self._parts: list[bytes] = []
        self._held = 0
        self._wanted = 0

    def take_over(self, reader: asyncio.StreamReader) -> None:
        """Parse messages as soon as the reader's connection has received them.

        Only what is no message, and all that comes until nats-py has read and parsed that, takes
        the way through the reader's buffer to nats-py's reading task and `parse`.
        """
        feed_reader = reader.feed_data
        self._reader, self._unread = reader, len(reader._buffer)  # type: ignore[attr-defined]

        def feed(data: bytes) -> None:
            if self._reader is reader and not self._unread:
                data = self.take(data)
                self._unread = len(data)
            elif self._reader is reader:
                self._unread += len(data)
            if data:
                feed_reader(data)

        reader.feed_data = feed  # type: ignore[method-assign, assignment]

    def take(self, data: bytes) -> bytes:
        """Hand on the complete messages of one read, up to the first bytes that are no message.

        Returns:
            Those bytes and all after them; empty if there are none.
        """
        data = self._joined(data)
        position, is_message = self._cut(data, 0)
        if not is_message:
            return data[position:]
        self._hold(data[position:])
        return b""

    async def parse(self, data: bytes = b"") -> None:
        """Take the bytes of one read, and hand on all messages that are complete."""
        read = len(data)
        data = self._joined(data)
        position, is_message = self._cut(data, 0)
        while not is_message:
            end = data.find(CRLF, position) + len(CRLF)
            await super().parse(data[position:end])
            position, is_message = self._cut(data, end)
        self._hold(data[position:])
        self._unread -= min(read, self._unread)

    def _joined(self, data: bytes) -> bytes:
        """Return the bytes of a read behind those that are held, or hold both: none."""
        if self._held:
            self._parts.append(data)
            self._held += len(data)
            if self._held < self._wanted:
                return b""
            data = b"".join(self._parts)
            self._parts, self._held, self._wanted = [], 0, 0
        return data

    def _hold(self, rest: bytes) -> None:
        """Keep the beginning of a message until the rest of it comes."""
        if rest:
            self._parts, self._held = [rest], len(rest)

    def _cut(self, data: bytes, position: int) -> tuple[int, bool]:
        """Hand on messages.

        Returns:
            Where the last one ends; and False if a complete line follows that is no message.
            `_wanted` is the size of a message that is cut off.
        """
        size, is_message = len(data), True
        number, batch = b"", list[Message]()
        while position < size:
            end = data.find(CRLF, position)
            if end < 0:
                break
            if data[position] not in b"MH":  # MSG, HMSG
                is_message = False
                break
            words = data[position:end].split()
            stop = end + 2 + int(words[-1])
            if stop + 2 > size:
                self._wanted = stop + 2 - position
                break
            if words[2] != number:
                self._hand_on(number, batch)
                number, batch = words[2], []
            batch.append(_message(words, data, end + 2, stop))
            position = stop + 2
        self._hand_on(number, batch)  # a PONG promises that all before it was handed on
        return position, is_message

    def _hand_on(self, number: bytes, batch: list[Message]) -> None:
        if batch and (handler := self.handlers.get(int(number))):
            handler(batch)


def _message(words: list[bytes], data: bytes, start: int, stop: int) -> Message:
    """Cut out a message: `MSG subject sid [reply] size`, `HMSG subject sid [reply] head size`."""
    if words[0] == b"MSG":
        reply = words[3] if len(words) == 5 else b""
        return Message(words[1], reply, None, data[start:stop])
    reply = words[3] if len(words) == 6 else b""
    body = start + int(words[-2])
    return Message(words[1], reply, data[start:body], data[body:stop])


def subscription_number(subscription: Any) -> int:
    """Return what the server calls a subscription of nats-py."""
    number: int = subscription._id
    return number
