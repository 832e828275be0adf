"""Writer: group commit. All appends to one stream of this process go through one queue.

Up to `SINGLES` waiting writes are published one by one, more as one atomic batch, which costs
one fsync for all (NATS ADR-50): 8 / 64 / 512 waiting messages are 9.5k / 41k / 78k a second for the
embedded broker (ADR 26). While one round is under way the next one gathers. A round is stored in
the order of the queue.

Every write carries its id (`Nats-Msg-Id`), so it may be sent again when its outcome is unknown.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from secrets import token_hex
from typing import Any

import msgspec
import structlog

from eventhub.errors import EventHubError, Unavailable
from eventhub.jetstream.connection import Connection, Subscription, publication
from eventhub.jetstream.parser import Message
from eventhub.stream import Appended, Told, WrongSequence

SINGLES = 3  # waiting writes; for more, an atomic batch costs less than their fsyncs
BATCH = 1000  # messages of one atomic batch: the server's limit
ROUND_BYTES = 4 << 20  # of payloads in one round
QUEUE_COUNT = 20_000  # writes waiting; when full, whoever writes next waits for room
QUEUE_BYTES = 64 << 20
ACK_SECONDS = 2.0  # until a write is sent again; usually 1 ms
UNAVAILABLE_SECONDS = 5.0  # that a write waits for the connection before it is refused
ROOM_SECONDS = 30.0  # to get into the queue, however many wait before
UNKNOWN_SECONDS = 15.0  # that a write is sent again; the server remembers ids for 10 minutes
PAUSE_SECONDS = 0.05  # between attempts that the server refuses for now
GATHER_SECONDS = 0.0004  # between two looks whether those who were answered write again
MOST_GATHER_SECONDS = 0.004  # a batch of 64 takes 3 ms, whatever has to wait for it

WRONG_SEQUENCE = 10071  # `err_code`s of nats-server
WRONG_LAST_ID = 10070
NO_ROOM = 10023  # "insufficient resources": a full disk, or a limit of the account
EXPECTED = b"Nats-Expected-Last-Subject-Sequence"
NEVER_AN_ID = b"-"  # as expected last id, makes the server refuse whatever it does not know

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


NO_SUCH_ID = Ack(error={"err_code": WRONG_LAST_ID})
_DECODE_ACK = msgspec.json.Decoder(Ack).decode


class Write:
    """One append that waits for its outcome."""

    __slots__ = ("_told", "expect", "give_up", "payload", "sent", "subject", "write_id")

    def __init__(
        self, subject: str, payload: bytes, expect: int, write_id: str, told: Told
    ) -> None:
        self.subject = subject
        self.payload = payload
        self.expect = expect
        self.write_id = write_id
        self.sent = False
        self.give_up = 0.0
        """When it is abandoned, on the loop's clock."""
        self._told: Told | None = told

    def command(self, reply: str, more: bytes = b"") -> bytes:
        """Return it as HPUB; few headers, for each is stored and sent to every reader."""
        head = b"NATS/1.0\r\nNats-Msg-Id: %b\r\n%b: %d\r\n%b\r\n" % (
            self.write_id.encode(),
            EXPECTED,
            self.expect,
            more,
        )
        return publication(self.subject, reply, head, self.payload)

    def question(self, reply: str) -> bytes:
        """Return what asks whether it is stored; never stored itself."""
        head = b"NATS/1.0\r\nNats-Msg-Id: %b\r\nNats-Expected-Last-Msg-Id: %b\r\n\r\n" % (
            self.write_id.encode(),
            NEVER_AN_ID,
        )
        return publication(self.subject, reply, head, b"")

    def begin(self, now: float) -> None:
        """Note that it may be stored from now on."""
        if not self.sent:
            self.sent = True
            self.give_up = now + UNKNOWN_SECONDS

    @property
    def is_settled(self) -> bool:
        """Its outcome was told, or nobody waits for it any more."""
        return self._told is None

    def forget(self) -> None:
        """Tell nobody; what was not sent yet is not sent."""
        self._told = None

    def settle(self, outcome: Appended | EventHubError) -> None:
        """Tell the outcome, if somebody still waits."""
        told, self._told = self._told, None
        if told is None:
            return
        try:
            told(outcome)
        except Exception:  # a bug there must not end all writing
            logger.exception("outcome_not_told", subject=self.subject)

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


class Writer:
    """Appends to one stream. `run` does the work and belongs to the log's background tasks."""

    def __init__(self, connection: Connection, *, atomic: bool) -> None:
        self._connection = connection
        self._atomic = atomic
        self._queue: deque[Write] = deque()
        self._queued_bytes = 0
        self._filled = asyncio.Event()
        self._drained = asyncio.Event()
        self._entrance = asyncio.Lock()  # first come, first served
        self._round = Round()
        self._replies: Subscription | None = None
        self._numbers = count()
        self._now = asyncio.get_running_loop().time
        self._closed = False

    @property
    def has_room(self) -> bool:
        """`put` may be called now."""
        return not (self._is_full or self._entrance.locked())

    async def room(self) -> None:
        """Wait until there is room, first come, first served.

        Raises:
            Unavailable: the broker is slower than what is written.
        """
        if not self.has_room:
            async with self._entrance:
                await self._wait_for_room()

    def put(self, write: Write) -> None:
        """Queue a write; what becomes of it is told."""
        if self._closed:
            write.settle(Unavailable("the event log is closed; nothing was stored"))
            return
        write.give_up = self._now() + UNAVAILABLE_SECONDS
        self._queue.append(write)
        self._queued_bytes += len(write.payload)
        self._filled.set()

    async def run(self) -> None:
        """Store what is queued, round after round, until cancelled."""
        current: list[Write] = []
        try:
            while True:
                await self._filled.wait()
                await self._gather(len(current))
                current = self._take()
                await self._store(current)
        finally:
            self._closed = True
            for write in (*current, *self._queue):
                write.abandon()

    async def _gather(self, before: int) -> None:
        """After a batch, wait as long as more comes: who was answered in it may write again.

        Those who are first would else be a small round, for whose fsyncs all others wait.
        """
        give_up = self._now() + MOST_GATHER_SECONDS
        seen = 0 if before > SINGLES else before
        while seen < len(self._queue) < before and self._now() < give_up:
            seen = len(self._queue)
            await asyncio.sleep(GATHER_SECONDS)

    @property
    def _is_full(self) -> bool:
        return len(self._queue) >= QUEUE_COUNT or self._queued_bytes >= QUEUE_BYTES

    async def _wait_for_room(self) -> None:
        """Wait for room in the queue: while the broker stores, a burst is slow and not refused."""
        try:
            async with asyncio.timeout(ROOM_SECONDS):
                while self._is_full:
                    self._drained.clear()
                    await self._drained.wait()
        except TimeoutError:
            raise Unavailable("the event log is too slow; nothing was stored") from None

    def _take(self) -> list[Write]:
        """Take the next round: the front of the queue, each subject once."""
        taken: list[Write] = []
        subjects: set[str] = set()
        size = 0
        while self._queue and len(taken) < BATCH and size < ROUND_BYTES:
            if self._queue[0].subject in subjects:
                break
            write = self._queue.popleft()
            self._queued_bytes -= len(write.payload)
            if not write.is_settled:
                subjects.add(write.subject)
                size += len(write.payload)
                taken.append(write)
        if not self._queue:
            self._filled.clear()
        self._drained.set()
        return taken

    async def _store(self, writes: Sequence[Write]) -> None:
        if self._atomic and len(writes) > SINGLES and await self._store_as_one(writes):
            return
        while True:
            writes = await self._store_singly(writes)
            if not writes:
                return
            await asyncio.sleep(PAUSE_SECONDS)

    async def _store_as_one(self, writes: Sequence[Write]) -> bool:
        """Publish an atomic batch; tell whether it was stored. One conflict rejects it all."""
        if not await self._prepare(writes):
            return False
        reply = self._next_reply()
        self._round.expect(reply)
        if not self._send(writes, _batch(writes, reply)):
            return False
        await self._round.wait()
        ack = self._round.acks[reply]
        if ack is None:
            return False
        if ack.error is not None:
            for write in writes:
                write.sent = False  # nothing of it is stored
            return False
        for sequence, write in enumerate(writes, ack.seq - len(writes) + 1):
            write.settle(Appended(sequence, duplicate=False))
        return True

    async def _store_singly(self, writes: Sequence[Write]) -> list[Write]:
        """Publish writes one by one, in order; return those to try again."""
        if not await self._prepare(writes):
            return self._still_wanted(writes)
        retried = [write.sent for write in writes]
        replies = [self._next_reply() for _ in writes]
        for reply in replies:
            self._round.expect(reply)
        pairs = zip(writes, replies, strict=True)
        if self._send(writes, b"".join(write.command(reply) for write, reply in pairs)):
            await self._round.wait()
        acks = self._round.acks
        again = [
            write
            for write, reply, was_sent in zip(writes, replies, retried, strict=True)
            if not await self._settle(write, acks[reply], was_sent=was_sent)
        ]
        return self._still_wanted(again)

    def _send(self, writes: Sequence[Write], commands: bytes) -> bool:
        try:
            self._connection.send(commands)
        except Unavailable:
            return False
        now = self._now()
        for write in writes:
            write.begin(now)
        return True

    async def _prepare(self, writes: Sequence[Write]) -> bool:
        """Begin a round once connected; tell whether it has begun."""
        if not (self._connection.up.is_set() and self._replies):
            await self._listen(min(write.give_up for write in writes))
        self._round = Round()
        return self._replies is not None and self._connection.up.is_set()

    async def _listen(self, deadline: float) -> None:
        """Wait for the connection, and subscribe to replies once there is one."""
        with suppress(TimeoutError, Unavailable):
            async with asyncio.timeout_at(deadline):
                await self._connection.up.wait()
            if self._replies is None:
                self._replies = await self._connection.subscribe(
                    f"{self._connection.new_inbox()}.*", self._on_replies, self._on_reconnect
                )

    def _still_wanted(self, writes: Sequence[Write]) -> list[Write]:
        now = self._now()
        for write in writes:
            if now >= write.give_up:
                write.abandon()
        return [write for write in writes if not write.is_settled]

    def _next_reply(self) -> str:
        assert self._replies is not None  # noqa: S101 - `_prepare` has seen to it
        return f"{self._replies.subject[:-1]}{next(self._numbers)}"

    async def _settle(self, write: Write, ack: Ack | None, *, was_sent: bool) -> bool:
        """Tell a write its outcome, if it is known."""
        if ack is None:
            return False
        if ack.error is None:
            write.settle(Appended(ack.seq, duplicate=ack.duplicate))
            return True
        if ack.number != WRONG_SEQUENCE:
            logger.warning("append_refused", subject=write.subject, reason=ack.error)
            write.sent = was_sent
            return ack.number == NO_ROOM and await self._settle_no_room(write, was_sent=was_sent)
        return await self._settle_conflict(write, was_sent=was_sent)

    async def _settle_no_room(self, write: Write, *, was_sent: bool) -> bool:
        """Refuse a write that the server has no room for, unless it was stored before."""
        known = await self._ask_for(write) if was_sent else NO_SUCH_ID
        if known is None:
            return False
        if known.error is None:
            write.settle(Appended(known.seq, duplicate=True))
        else:
            write.settle(Unavailable("the event log has no room; nothing was stored"))
        return True

    async def _settle_conflict(self, write: Write, *, was_sent: bool) -> bool:
        """Tell a retried write from a conflict.

        A single server checks the expected sequence before it looks for the id, so a write that
        is stored looks like a conflict. It is asked for the id alone, in a message that it
        refuses if it does not know the id: it expects a last id that never is one.
        """
        ack = await self._ask_for(write)
        if ack is None:
            return False
        if ack.error is None:
            write.settle(Appended(ack.seq, duplicate=True))
        else:
            write.settle(WrongSequence("the row has another last event"))
        return True

    async def _ask_for(self, write: Write) -> Ack | None:
        if not await self._prepare([write]):
            return None
        reply = self._next_reply()
        self._round.expect(reply)
        try:
            self._connection.send(write.question(reply))
        except Unavailable:
            return None
        await self._round.wait()
        ack = self._round.acks[reply]
        return ack if ack is None or ack.number in (0, WRONG_LAST_ID) else None

    def _on_replies(self, messages: list[Message]) -> None:
        for message in messages:
            try:
                ack = _DECODE_ACK(message.data) if message.data else None
            except msgspec.DecodeError:
                ack = None
            self._round.receive(message.subject, ack)

    def _on_reconnect(self) -> None:
        self._round.interrupt()


def _batch(writes: Sequence[Write], reply: str) -> bytes:
    """Return writes as the messages of one atomic batch (NATS ADR-50); the last commits it."""
    batch_id = token_hex(8).encode()
    *first, last = [
        (write, b"Nats-Batch-Id: %b\r\nNats-Batch-Sequence: %d\r\n" % (batch_id, number))
        for number, write in enumerate(writes, 1)
    ]
    commands = [write.command("", place) for write, place in first]
    write, place = last
    return b"".join([*commands, write.command(reply, place + b"Nats-Batch-Commit: 1\r\n")])
