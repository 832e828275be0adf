"""Write: one append that waits for its outcome, as a message of its own or as part of a batch.

A `Round` collects the acknowledgements of messages that were published together.
"""

import asyncio
from collections.abc import Hashable, Sequence
from secrets import token_hex
from typing import Any, NamedTuple

import msgspec
import structlog

from eventhub.errors import EventHubError, Unavailable
from eventhub.jetstream.connection import publication
from eventhub.stream import Appended, OnAppended

ACK_SECONDS = 2.0  # until a write is sent again; usually 1 ms
UNKNOWN_SECONDS = 15.0  # that a write is sent again; the server remembers ids for 10 minutes

WRONG_SEQUENCE = 10071  # `err_code`s of nats-server
NO_ROOM = 10023  # "insufficient resources": a full disk, or a limit of the account
EXPECTED = b"Nats-Expected-Last-Subject-Sequence"

logger = structlog.get_logger(__name__)


class Ack(msgspec.Struct, frozen=True):
    """What the server answers to a publish (NATS ADR-6)."""

    seq: int = 0
    duplicate: bool = False
    error: dict[str, Any] | None = None

    @property
    def number(self) -> int:
        """The server's `err_code`; 0 if it stored the message."""
        return 0 if self.error is None else int(self.error.get("err_code", -1))

    @classmethod
    def read(cls, data: bytes) -> "Ack | None":
        """Return what a reply says; None if that is nothing."""
        try:
            return _DECODE(data) if data else None
        except msgspec.DecodeError:
            return None


_DECODE = msgspec.json.Decoder(Ack).decode


class Write:
    """One append that waits for its outcome."""

    __slots__ = (
        "_on_appended",
        "expect",
        "give_up",
        "payload",
        "sender",
        "sent",
        "subject",
        "write_id",
    )

    def __init__(
        self,
        subject: str,
        payload: bytes,
        expect: int,
        write_id: str,
        on_appended: OnAppended,
        sender: Hashable = None,
    ) -> None:
        self.sender = sender
        """Whose writes must be stored in the order they were put; None: it waits for each."""
        self.subject = subject
        self.payload = payload
        self.expect = expect
        self.write_id = write_id
        self.sent = False
        self.give_up = 0.0
        """When it is abandoned, on the loop's clock."""
        self._on_appended: OnAppended | None = on_appended

    def command(self, reply: str, more: bytes = b"") -> bytes:
        """Return it as HPUB; few headers, for each is stored and sent to every reader."""
        head = b"NATS/1.0\r\nNats-Msg-Id: %b\r\n%b: %d\r\n%b\r\n" % (
            self.write_id.encode(),
            EXPECTED,
            self.expect,
            more,
        )
        return publication(self.subject, reply, head, self.payload)

    def begin(self, now: float) -> None:
        """Note that it may be stored from now on."""
        if not self.sent:
            self.sent = True
            self.give_up = now + UNKNOWN_SECONDS

    @property
    def is_settled(self) -> bool:
        """Its outcome was told, or nobody waits for it any more."""
        return self._on_appended is None

    def forget(self) -> None:
        """Tell nobody; what was not sent yet is not sent."""
        self._on_appended = None

    def settle(self, outcome: Appended | EventHubError) -> None:
        """Tell the outcome, if somebody still waits."""
        on_appended, self._on_appended = self._on_appended, None
        if on_appended is None:
            return
        try:
            on_appended(outcome)
        except Exception:  # a bug there must not end all writing
            logger.exception("outcome_call_back_failed", subject=self.subject)

    def abandon(self) -> None:
        """Fail for want of an answer."""
        if self.sent:
            text = "the event log did not answer in time: the event may or may not be stored"
            self.settle(Unavailable(text, code="unknown_outcome"))
        else:
            self.settle(Unavailable("the event log cannot be reached; nothing was stored"))


class Round:
    """The acknowledgements of messages that were published together."""

    def __init__(self) -> None:
        self.acks: dict[str, Ack | None] = {}
        """By reply subject; None until it came."""
        self._waiting = 0
        self._over = asyncio.Event()

    def expect(self, reply: str) -> None:
        """Wait for this reply too."""
        self.acks[reply] = None
        self._waiting += 1

    def receive(self, reply: str, ack: Ack | None) -> None:
        """Take a reply; one of an earlier round is dropped."""
        if reply in self.acks and self.acks[reply] is None:
            self.acks[reply] = ack
            self._waiting -= 1
            if not self._waiting:
                self._over.set()

    def interrupt(self) -> None:
        """Stop waiting: what has not come will not."""
        self._over.set()

    async def wait(self) -> None:
        """Wait until all replies came, the round was interrupted, or for `ACK_SECONDS`."""
        try:
            async with asyncio.timeout(ACK_SECONDS):
                await self._over.wait()
        except TimeoutError:
            pass


class Batch(NamedTuple):
    """An atomic batch that is under way."""

    writes: Sequence[Write]
    expiry: asyncio.TimerHandle
    """Gives it up."""


def batch_of(writes: Sequence[Write], reply: str) -> bytes:
    """Return writes as the messages of one atomic batch (NATS ADR-50); the last commits it."""
    batch_id = token_hex(8).encode()
    *first, last = [
        (write, b"Nats-Batch-Id: %b\r\nNats-Batch-Sequence: %d\r\n" % (batch_id, number))
        for number, write in enumerate(writes, 1)
    ]
    commands = [write.command("", place) for write, place in first]
    write, place = last
    return b"".join([*commands, write.command(reply, place + b"Nats-Batch-Commit: 1\r\n")])
