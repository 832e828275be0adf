"""Writer: group commit. All appends to one stream of this process go through one queue.

Up to `SINGLES` waiting writes are published one by one, more as one atomic batch, which costs
one fsync for all (NATS ADR-50): 8 / 64 / 512 waiting messages are 9.5k / 41k / 78k a second for the
embedded broker (ADR-26). While one round is under way the next one gathers; once a whole batch of
others' writes waits, it is sent ahead, so that the server stores while the hub reads and answers. A
round is stored in the order of the queue, and no two that are under way have a row or a sender in
common: so one may fail and be sent again, and nothing of one sender is overtaken.

Every write carries its id (`Nats-Msg-Id`), so it may be sent again when its outcome is unknown.
"""

import asyncio
from collections import deque
from collections.abc import Hashable, Sequence
from contextlib import suppress
from itertools import count

import structlog

from eventhub.errors import EventHubError, Unavailable
from eventhub.jetstream.connection import Connection, Subscription
from eventhub.jetstream.parser import Message
from eventhub.jetstream.write import (
    ACK_SECONDS,
    NO_ROOM,
    WRONG_SEQUENCE,
    Ack,
    Batch,
    Round,
    Write,
    batch_of,
)
from eventhub.stream import Appended, WrongSequence

SINGLES = 3  # waiting writes; for more, an atomic batch costs less than their fsyncs
BATCH = 1000  # messages of one atomic batch: the server's limit
AHEAD = 192  # waiting writes that are sent while a batch is under way; 128 or 256 are no faster
MOST_UNDER_WAY = 4  # batches at once; the server stores one after the other
ROUND_BYTES = 4 << 20  # of payloads in one round
QUEUE_COUNT = 20_000  # writes waiting; when full, whoever writes next waits for room
QUEUE_BYTES = 64 << 20
UNAVAILABLE_SECONDS = 5.0  # that a write waits for the connection before it is refused
ROOM_SECONDS = 30.0  # to get into the queue, however many wait before
PAUSE_SECONDS = 0.05  # between attempts that the server refuses for now
GATHER_SECONDS = 0.0004  # between two looks whether those who were answered write again
MOST_GATHER_SECONDS = 0.004  # two batches of 64 take as long

logger = structlog.get_logger(__name__)


class Writer:
    """Appends to one stream. `run` does the work and belongs to the log's background tasks."""

    def __init__(self, connection: Connection, stream: str, *, atomic: bool) -> None:
        self._connection = connection
        self._stream = stream
        self._atomic = atomic
        self._queue: deque[Write] = deque()
        self._queued_bytes = 0
        self._wake = asyncio.Event()
        self._drained = asyncio.Event()
        self._entrance = asyncio.Lock()  # first come, first served
        self._batches: dict[str, Batch] = {}  # under way, by reply subject
        self._doubtful: deque[Sequence[Write]] = deque()  # of batches that were not stored
        self._busy: set[Hashable] = set()  # subjects and senders of what is under way
        self._latest = 0  # writes of the round that was begun last
        self.newest = 0
        """Highest sequence that was acknowledged."""
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
        if not self._batches:
            self._wake.set()
        if len(self._queue) % AHEAD == 0:
            self._send_ahead()

    async def run(self) -> None:
        """Store what is queued, round after round, until cancelled."""
        writes: Sequence[Write] = []
        try:
            while True:
                if self._doubtful:
                    writes = self._doubtful.popleft()
                elif self._queue and not self._batches:
                    await self._gather()
                    writes = self._take()
                    if await self._begin(writes):
                        continue
                else:  # while batches are under way, what comes gathers
                    self._wake.clear()
                    await self._wake.wait()
                    continue
                await self._store(writes)
                self._release(writes)
        finally:
            self._closed = True
            begun = [batch.writes for batch in self._batches.values()]
            for group in (writes, *begun, *self._doubtful, self._queue):
                for write in group:
                    write.abandon()

    async def _gather(self) -> None:
        """After a batch, wait as long as more comes: who was answered in it may write again.

        Those who are first would else be a small round, for whose fsyncs all others wait.
        """
        give_up = self._now() + MOST_GATHER_SECONDS
        seen = 0 if self._latest > SINGLES else self._latest
        while seen < len(self._queue) < self._latest and self._now() < give_up:
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

    def _take(self, least: int = 1) -> list[Write]:
        """Take the next round: the front of the queue, each subject once.

        It ends where something of the same row or sender is under way. Nothing is taken if there
        are not so many writes.
        """
        subjects: set[str] = set()
        count = size = 0
        for write in self._queue:
            if write.subject in subjects or count == BATCH or size >= ROUND_BYTES:
                break
            if write.subject in self._busy or write.sender in self._busy:
                break
            subjects.add(write.subject)
            size += len(write.payload)
            count += 1
        if count < least:
            return []
        taken = [self._queue.popleft() for _ in range(count)]
        self._queued_bytes -= size
        self._drained.set()
        taken = [write for write in taken if not write.is_settled]
        self._latest = len(taken)
        self._busy.update([write.subject for write in taken])
        self._busy.update([write.sender for write in taken if write.sender is not None])
        return taken

    def _release(self, writes: Sequence[Write]) -> None:
        """Let others of the same rows and senders go on."""
        self._busy.difference_update([write.subject for write in writes])
        self._busy.difference_update([write.sender for write in writes])
        if len(self._queue) >= AHEAD:
            self._send_ahead()
        if self._queue and not self._batches:
            self._wake.set()

    def _send_ahead(self) -> None:
        """Send a whole batch now, if the server can be reached."""
        if self._atomic and self._is_listening and len(self._batches) < MOST_UNDER_WAY:
            writes = self._take(AHEAD)
            if writes and not self._send_batch(writes):
                self._doubt(writes)

    async def _begin(self, writes: Sequence[Write]) -> bool:
        """Send a round as a batch, if it is worth one and the server can be reached."""
        if not self._atomic or len(writes) <= SINGLES:
            return False
        return await self._prepare(writes) and self._send_batch(writes)

    def _send_batch(self, writes: Sequence[Write]) -> bool:
        """Publish an atomic batch; `_on_ack` tells what became of it."""
        reply = self._next_reply()
        if not self._send(writes, batch_of(writes, reply)):
            return False
        loop = asyncio.get_running_loop()
        expiry = loop.call_later(ACK_SECONDS, self._on_ack, reply, None)
        self._batches[reply] = Batch(writes, expiry)
        return True

    def _on_ack(self, reply: str, ack: Ack | None) -> None:
        """Tell the writes of a batch their outcome. One conflict rejects it all."""
        writes, expiry = self._batches.pop(reply)
        expiry.cancel()
        if ack is None:
            self._doubt(writes)
        elif ack.error is not None:
            for write in writes:
                write.sent = False  # nothing of it is stored
            self._doubt(writes)
        else:
            self.newest = max(self.newest, ack.seq)
            for sequence, write in enumerate(writes, ack.seq - len(writes) + 1):
                write.settle(Appended(sequence, duplicate=False))
            self._release(writes)

    def _doubt(self, writes: Sequence[Write]) -> None:
        """Have writes stored one by one, before anything else."""
        self._doubtful.append(writes)
        self._wake.set()

    async def _store(self, writes: Sequence[Write]) -> None:
        """Store writes one by one, until each has its outcome."""
        writes = [write for write in writes if not write.is_settled]
        while writes:
            if writes := await self._store_singly(writes):
                await asyncio.sleep(PAUSE_SECONDS)

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
        if not self._is_listening:
            await self._listen(min(write.give_up for write in writes))
        self._round = Round()
        return self._is_listening

    @property
    def _is_listening(self) -> bool:
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
            self._settle_stored(write, ack.seq, duplicate=ack.duplicate)
            return True
        if ack.number != WRONG_SEQUENCE:
            logger.warning("append_refused", subject=write.subject, reason=ack.error)
            write.sent = was_sent
            return ack.number == NO_ROOM and await self._settle_no_room(write, was_sent=was_sent)
        return await self._settle_conflict(write)

    async def _settle_no_room(self, write: Write, *, was_sent: bool) -> bool:
        """Refuse a write that the server has no room for, unless it was stored before."""
        refusal = Unavailable("the event log has no room; nothing was stored")
        if was_sent:
            return await self._settle_unless_stored(write, refusal)
        write.settle(refusal)
        return True

    async def _settle_conflict(self, write: Write) -> bool:
        """Tell a retried write from a conflict.

        A single server checks the expected sequence before it looks for the id, so a write that
        is stored looks like a conflict. With replicas the id is looked for first.
        """
        return await self._settle_unless_stored(
            write, WrongSequence("the row has another last event")
        )

    async def _settle_unless_stored(self, write: Write, refusal: EventHubError) -> bool:
        """Tell the refusal, unless the write was stored by an earlier attempt.

        If it was, it is the row's first event after the one that it expected. The server could be
        asked for the id alone, in a message that expects an impossible last id, but with replicas
        that message stops the stream for good (ADR-52).
        """
        query = {"seq": write.expect + 1, "next_by_subj": write.subject}
        try:
            next_event = await self._connection.direct_get(self._stream, query)
        except Unavailable:
            return False
        headers = (next_event.headers or {}) if next_event is not None else {}
        if headers.get("Nats-Msg-Id") == write.write_id:
            self._settle_stored(write, int(headers["Nats-Sequence"]), duplicate=True)
        else:
            write.settle(refusal)
        return True

    def _settle_stored(self, write: Write, sequence: int, *, duplicate: bool) -> None:
        self.newest = max(self.newest, sequence)
        write.settle(Appended(sequence, duplicate))

    def _on_replies(self, messages: list[Message]) -> None:
        for message in messages:
            ack = Ack.read(message.data)
            if (reply := message.subject) in self._batches:
                self._on_ack(reply, ack)
            else:
                self._round.receive(reply, ack)

    def _on_reconnect(self) -> None:
        self._round.interrupt()
        for reply in tuple(self._batches):
            self._on_ack(reply, None)
