"""JetStreamLog: the event log on NATS JetStream. One stream per channel, one subject per row.

    async with JetStreamLog.connect(broker.url, token=broker.token) as log:
        stream = await log.open(channel)

It makes the streams, and reads single events.
"""

import asyncio
from collections.abc import AsyncIterator, Hashable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any, Self

import structlog

from eventhub.background import Background, background
from eventhub.channel import Channel
from eventhub.errors import Damaged, EventHubError, Misconfigured, Rejected
from eventhub.event import Event, SealedEvent, StoredEvent, encode
from eventhub.jetstream.connection import STREAM_NOT_FOUND, ApiError, Connection, Renew
from eventhub.jetstream.credentials import read_credentials
from eventhub.jetstream.follower import (
    Follower,
    Marks,
    Read,
    T,
    epoch_of,
    report_holes,
    state_in_epoch,
)
from eventhub.jetstream.parser import Message
from eventhub.jetstream.pull import NANOSECONDS
from eventhub.jetstream.work_queue import WorkQueue, enlist
from eventhub.jetstream.write import Write
from eventhub.jetstream.writer import Writer
from eventhub.stream import MAX_PAYLOAD, Appended, Bounds, Delivery, OnAppended

logger = structlog.get_logger(__name__)

HEADERS_BYTES = 1024  # most that the headers of one message take
READ_EVENTS = 1000  # of one reading, at most
DEDUPLICATION_SECONDS = 600  # that the server remembers ids of writes


class JetStreamLog:
    """A connection to NATS servers and the streams on them."""

    def __init__(self, connection: Connection, tasks: Background, replicas: int | None) -> None:
        self._connection = connection
        self._tasks = tasks
        self._replicas = replicas
        self._writers: dict[str, Writer] = {}

    @classmethod
    @asynccontextmanager
    async def connect(
        cls,
        servers: str | Sequence[str],
        *,
        token: str | None = None,
        login: tuple[str | None, str | None] = (None, None),
        credentials: str | None = None,
        replicas: int | None = None,
        renew: Renew | None = None,
    ) -> AsyncIterator[Self]:
        """Connect to NATS servers; writes still waiting at the end fail as unavailable.

        Args:
            servers: `nats://host:port`, one or several of a cluster.
            token: for servers that ask for one.
            login: user and password.
            credentials: text of a `.creds` file.
            replicas: copies of each stream, on as many servers; None leaves those that a stream
                has, and gives a new one a single copy. They are never lowered.
            renew: what to do with a server that lost its way in a stream; else it is only told.

        Raises:
            Unavailable: no server answers in some seconds.
            Misconfigured: the server refuses the credentials, or they are none.
        """
        async with (
            Connection.open(
                renew=renew,
                servers=servers if isinstance(servers, str) else list(servers),
                token=token,
                user=login[0],
                password=login[1],
                user_credentials=None if credentials is None else read_credentials(credentials),
            ) as connection,
            background() as tasks,
        ):
            yield cls(connection, tasks, replicas)

    @property
    def is_connected(self) -> bool:
        """Tell whether the broker answers."""
        return self._connection.is_connected

    async def open(self, channel: Channel) -> "JetStreamStream":
        """Return the stream of a channel, made or brought up to date if need be.

        Raises:
            Unavailable: the broker does not answer.
            Misconfigured: the broker refuses the stream.
        """
        info = await self._ensure(
            {
                "name": channel.stream,
                "subjects": [f"{channel.prefix}*"],
                "discard": "new",
                "duplicate_window": DEDUPLICATION_SECONDS * NANOSECONDS,
                "allow_atomic": True,
            }
        )
        atomic = bool(info["config"].get("allow_atomic"))  # servers before 2.12 ignore it
        writer = self._writer(channel.stream, atomic=atomic)
        epoch = epoch_of(info["created"])
        await report_holes(self._connection, channel, epoch, info["state"])
        return JetStreamStream(channel, self._connection, writer, epoch)

    async def records(
        self, name: str, *, max_age_seconds: float | None = None
    ) -> "JetStreamRecords":
        """Return a store of records, made or brought up to date if need be; errors as `open`."""
        stream, prefix = f"EVENTHUB_{name}", f"eventhub.{name}."
        await self._ensure(
            {
                "name": stream,
                "subjects": [f"{prefix}>"],
                "discard": "old",
                "max_msgs_per_subject": 1,
                "max_age": int((max_age_seconds or 0) * NANOSECONDS),
            }
        )
        return JetStreamRecords(self._connection, stream, prefix)

    def _writer(self, stream: str, *, atomic: bool) -> Writer:
        writer = self._writers.get(stream)
        if writer is None:
            writer = self._writers[stream] = Writer(self._connection, stream, atomic=atomic)
            self._tasks.start(writer.run(), name=f"writer-{stream}")
        return writer

    async def _ensure(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """Return the information of a stream that has the wanted settings."""
        name = wanted["name"]
        wanted |= {"storage": "file", "allow_direct": True}
        try:
            info = await self._info(name)
            if info is None:
                wanted["num_replicas"] = self._replicas or 1
                return await self._connection.api(f"STREAM.CREATE.{name}", wanted)
            wanted["num_replicas"] = self._replicas_of(name, info["config"]["num_replicas"])
            changed = {k: v for k, v in wanted.items() if info["config"].get(k) != v}
            if changed:
                logger.info("stream_changed", stream=name, **changed)
                settings = info["config"] | wanted
                info = await self._connection.api(f"STREAM.UPDATE.{name}", settings)
        except ApiError as error:
            raise Misconfigured(f"stream {name}: {error.message}") from error
        return info

    def _replicas_of(self, name: str, present: int) -> int:
        """Return how many replicas a stream should have.

        A process with an older configuration, or a command without one, must not take copies
        away: to lower them is for an operator, with `nats stream edit`.
        """
        if self._replicas is not None and self._replicas < present:
            logger.warning("replicas_kept", stream=name, configured=self._replicas, present=present)
        return max(present, self._replicas or 1)

    async def _info(self, name: str) -> dict[str, Any] | None:
        try:
            return await self._connection.api(f"STREAM.INFO.{name}")
        except ApiError as error:
            if error.number == STREAM_NOT_FOUND:
                return None
            raise


class JetStreamStream:
    """The log of one channel; see `eventhub.stream.EventStream`."""

    def __init__(
        self, channel: Channel, connection: Connection, writer: Writer, epoch: str
    ) -> None:
        self.channel = channel
        self._connection = connection
        self._writer = writer
        self._marks = Marks(lambda: writer.newest)
        self._epoch = epoch
        self._readable = 0  # the last sequence that `bounds` has found readable
        self._found = 0  # the highest sequence that was read singly

    @property
    def epoch(self) -> str:
        """Equal only within one life of the stream."""
        return self._epoch

    @property
    def newest(self) -> int:
        """Highest sequence that this process appended or read singly."""
        return max(self._writer.newest, self._found)

    async def append(self, event: Event, *, expect: int) -> Appended:
        """Append an event durably."""
        outcome: asyncio.Future[Appended] = asyncio.get_running_loop().create_future()
        write = self._write(event, expect, partial(_settle, outcome))
        await self._writer.room()
        self._writer.put(write)
        try:
            return await outcome
        finally:
            write.forget()

    def submit(
        self, event: Event, *, expect: int, sender: Hashable, on_appended: OnAppended
    ) -> bool:
        """Begin to append an event, if there is room."""
        if self._writer.has_room:
            self._writer.put(self._write(event, expect, on_appended, sender))
            return True
        return False

    def _write(
        self, event: Event, expect: int, on_appended: OnAppended, sender: Hashable = None
    ) -> Write:
        payload = encode(event)
        if len(payload) > min(MAX_PAYLOAD, self._connection.max_payload - HEADERS_BYTES):
            raise Rejected("too_large", f"the event has {len(payload)} bytes, which is too large")
        return Write(
            self.channel.subject(event.id), payload, expect, event.write, on_appended, sender
        )

    @asynccontextmanager
    async def follow(self, after: int) -> AsyncIterator[AsyncIterator[list[StoredEvent]]]:
        """Iterate over all events after a sequence."""
        async with self._follower(StoredEvent.read, after) as follower:
            yield follower

    @asynccontextmanager
    async def follow_sealed(self, after: int) -> AsyncIterator[AsyncIterator[list[SealedEvent]]]:
        """Iterate over all events after a sequence, without decoding them."""
        async with self._follower(SealedEvent.read, after) as follower:
            yield follower

    @asynccontextmanager
    async def _follower(self, read: Read[T], after: int) -> AsyncIterator[Follower[T]]:
        follower = Follower(read, self._connection, self.channel, self._epoch, after, self._marks)
        try:
            yield follower
        finally:
            await follower.close()

    async def last(self, row_id: str) -> StoredEvent | None:
        """Return the last event of a row."""
        return await self._read({"last_by_subj": self.channel.subject(row_id)})

    async def get(self, sequence: int) -> StoredEvent | None:
        """Return the event at a sequence."""
        return await self._read({"seq": sequence}) if sequence > 0 else None

    async def read(self, after: int, max_bytes: int) -> list[StoredEvent]:
        """Return the next events after a sequence."""
        subjects = f"{self.channel.prefix}*"
        query = {"seq": after + 1, "batch": READ_EVENTS, "next_by_subj": subjects}
        found = await self._connection.direct_get_batch(
            self.channel.stream, {**query, "max_bytes": max_bytes}
        )
        events: list[StoredEvent] = []
        with suppress(Damaged):
            for expected, message in enumerate(found, after + 1):
                if _sequence_of(message) != expected:
                    break
                events.append(StoredEvent.read(expected, message.data, self.channel.columns))
        return events

    async def bounds(self) -> Bounds:
        """Return what the stream holds now."""
        state = await state_in_epoch(self._connection, self.channel.stream, self._epoch)
        first, last = state["first_seq"], state["last_seq"]
        if not state["messages"]:
            return Bounds(last + 1, last)
        while last >= first and last != self._readable and not await self._is_readable(last):
            last -= 1
        self._readable = last
        return Bounds(first, last)

    async def end(self) -> int:
        """Return the last sequence that was ever given out."""
        state = await state_in_epoch(self._connection, self.channel.stream, self._epoch)
        return int(state["last_seq"])

    async def _is_readable(self, sequence: int) -> bool:
        try:
            return await self.get(sequence) is not None
        except Damaged:
            return False  # reported by who follows

    async def sequence_before(self, moment: datetime) -> int:
        """Return the last sequence stored before an instant."""
        last = (await self.bounds()).last  # before the question: what comes later is later
        start = moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
        message = await self._connection.direct_get(
            self.channel.stream, {"start_time": start, "next_by_subj": f"{self.channel.prefix}*"}
        )
        return last if message is None else _sequence_of(message) - 1

    async def enlist(self, worker: str) -> None:
        """Make the durable work queue of a worker, if it is new."""
        await enlist(self._connection, self.channel, worker)

    @asynccontextmanager
    async def work(self, worker: str) -> AsyncIterator[AsyncIterator[Delivery]]:
        """Iterate over the deliveries of a work queue."""
        queue = WorkQueue(self._connection, self.channel, self._epoch, worker)
        try:
            yield queue
        finally:
            await queue.close()

    async def _read(self, query: dict[str, Any]) -> StoredEvent | None:
        message = await self._connection.direct_get(self.channel.stream, query)
        if message is None:
            return None
        stored = StoredEvent.read(_sequence_of(message), message.data, self.channel.columns)
        self._found = max(self._found, stored.sequence)  # what is damaged never comes by
        return stored


class JetStreamRecords:
    """Records in a stream that keeps the last message of each subject."""

    def __init__(self, connection: Connection, stream: str, prefix: str) -> None:
        self._connection = connection
        self._stream = stream
        self._prefix = prefix

    async def put(self, key: str, value: bytes) -> None:
        """Store a value durably."""
        await self._connection.store(self._prefix + key, value)

    async def get(self, key: str) -> bytes | None:
        """Return the value, or None."""
        query = {"last_by_subj": self._prefix + key}
        message = await self._connection.direct_get(self._stream, query)
        return None if message is None else message.data

    async def delete(self, key: str) -> None:
        """Forget a key."""
        body = {"filter": self._prefix + key}
        await self._connection.api(f"STREAM.PURGE.{self._stream}", body)

    async def items(self, prefix: str) -> list[tuple[str, bytes]]:
        """Return the keys below a prefix with their values, oldest first."""
        found: list[tuple[str, bytes]] = []
        query = {"seq": 1, "next_by_subj": f"{self._prefix}{prefix}.>"}
        while message := await self._connection.direct_get(self._stream, query):
            subject = (message.headers or {})["Nats-Subject"]
            found.append((subject.removeprefix(self._prefix), message.data))
            query["seq"] = _sequence_of(message) + 1
        return found


def _settle(outcome: asyncio.Future[Appended], result: Appended | EventHubError) -> None:
    if outcome.done():  # whoever waited was cancelled
        return
    if isinstance(result, EventHubError):
        outcome.set_exception(result)
    else:
        outcome.set_result(result)


def _sequence_of(message: Message) -> int:
    return int((message.headers or {})["Nats-Sequence"])
