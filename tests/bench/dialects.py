"""Dialects: how a load speaks to a hub, to nats-server and to the bare loop, as finished bytes."""

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

from tests.bench.wire import BINARY, masked

V1 = "eventhub.v1.json"
V2 = "eventhub.v2.json"
MESSAGE_BYTES = 300
"""Of what a subscriber gets, frame header aside, where nothing else is said."""
ENVELOPE_BYTES = 111
"""A broadcast message with an empty body: its method, id, user and timestamp."""
BARE_MARK, BARE_ACK = b"<message>", b"<done>"
NATS_SUBJECT = b"bench"
_NATS_CONNECT = b'CONNECT {"verbose":false,"pedantic":false,"echo":false}\r\n'


def body_of(size: int) -> str:
    """Return the body that makes a broadcast message as long as this, if that is possible."""
    return "b" * max(0, size - ENVELOPE_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect(ABC):
    """What a publisher and its subscribers send, and by what they know an answer."""

    subprotocol: str = ""
    """Of the publisher."""
    subscriber_subprotocol: str = ""
    publish_query: str = ""
    """Of the publisher's URL: what keeps the broadcast from it."""
    subscribe_query: str = ""
    publisher_hello: bytes = b""
    """Sent once connected."""
    subscriber_hello: bytes = b""
    hello_answer: bytes = b""
    """In what answers a hello; empty if nothing does."""
    delivery: bytes
    """Once in each message that a subscriber gets."""
    ack: bytes
    """What the publisher gets."""

    @abstractmethod
    def burst(self, count: int, size: int) -> tuple[bytes, int]:
        """Return the bytes of a burst of messages, sent at once, and how many acks answer it."""


class HubDialect(Dialect):
    """v1 writes, each answered once it is fsynced; bare reads."""

    def burst(self, count: int, size: int) -> tuple[bytes, int]:
        """One frame a message, one receipt a message."""
        message = masked(json.dumps({"body": body_of(size), "_ref": 1}).encode())
        return message * count, count


class NatsDialect(Dialect):
    """NATS over WebSocket: PUB, and PING for an ack: its PONG comes when all is passed on."""

    def burst(self, count: int, size: int) -> tuple[bytes, int]:
        """All in one frame, as NATS clients flush; one PONG."""
        message = b"PUB %s %d\r\n%s\r\n" % (NATS_SUBJECT, size, b"b" * size)
        return masked(message * count + b"PING\r\n", BINARY), 1


class BareDialect(Dialect):
    """The bare loop: a number of messages."""

    def burst(self, count: int, size: int) -> tuple[bytes, int]:
        """The size was told to the loop when it started."""
        del size
        return masked(b"%d" % count), 1


_HUB = HubDialect(
    subprotocol=V1,
    publish_query="?_since=now&id=nobody",
    subscribe_query="?_since=now",
    delivery=b'"_method"',
    ack=b'"_ack"',
)
DIALECTS: dict[str, Dialect] = {
    "hub": _HUB,
    "hub v1": replace(_HUB, subscriber_subprotocol=V1),
    "hub v2": replace(_HUB, subscriber_subprotocol=V2),
    "nats": NatsDialect(
        publisher_hello=masked(_NATS_CONNECT + b"PING\r\n", BINARY),
        subscriber_hello=masked(_NATS_CONNECT + b"SUB %s 1\r\nPING\r\n" % NATS_SUBJECT, BINARY),
        hello_answer=b"PONG\r\n",
        delivery=b"MSG bench ",
        ack=b"PONG\r\n",
    ),
    "bare": BareDialect(delivery=BARE_MARK, ack=BARE_ACK),
}
