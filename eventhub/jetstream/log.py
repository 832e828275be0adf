"""JetStreamLog: the event log on NATS JetStream. One stream per channel, one subject per row.

    async with JetStreamLog.connect(broker.url, token=broker.token) as log:
        stream = await log.open(channel)

It connects, and makes the streams or brings their settings up to date.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from typing import Any, Self

import structlog

from eventhub.background import Background, background
from eventhub.channel import Channel
from eventhub.jetstream.api import (
    NANOSECONDS,
)
from eventhub.jetstream.certificates import TlsFiles
from eventhub.jetstream.connection import Connection, Renew
from eventhub.jetstream.copying import Copies
from eventhub.jetstream.credentials import name_of, read_credentials
from eventhub.jetstream.damage import report_holes
from eventhub.jetstream.health import Health
from eventhub.jetstream.making import ensure, try_to_ensure
from eventhub.jetstream.metadata import COLUMNS, EPOCH, claimed, epoch_of, new_epoch, own
from eventhub.jetstream.objects import JetStreamObjects
from eventhub.jetstream.permissions import SEGMENTS, STORES, inbox_of, store_of
from eventhub.jetstream.records import JetStreamRecords
from eventhub.jetstream.requests import NotPermitted
from eventhub.jetstream.retained import Retained
from eventhub.jetstream.sealing import (
    JetStreamSealing,
    Manifests,
    SegmentFiles,
    segment_objects,
)
from eventhub.jetstream.signalling import NatsSignals
from eventhub.jetstream.stream import JetStreamStream
from eventhub.jetstream.writer import Writer
from eventhub.segments import SegmentFormat
from eventhub.stream import MAX_PAYLOAD

DEDUPLICATION_SECONDS = 600
"""How long the server remembers the ids of writes."""

LARGEST_MESSAGE = MAX_PAYLOAD
"""Bytes that servers have to take in one message; otherwise large events are refused."""

logger = structlog.get_logger(__name__)


class JetStreamLog:
    """A connection to NATS servers, and the streams on them."""

    def __init__(
        self,
        connection: Connection,
        tasks: Background,
        replicas: int | None,
        segments: SegmentFormat | None = None,
    ) -> None:
        objects = segment_objects(connection)
        self.segments = None if segments is None else SegmentFiles(objects, segments)
        self._connection = connection
        self._health: Health | None = None
        self._tasks = tasks
        self._replicas = replicas
        self._writers: dict[str, Writer] = {}

    @classmethod
    @asynccontextmanager
    async def connect(  # noqa: PLR0913 - one for each key of `broker:`
        cls,
        servers: str | Sequence[str],
        *,
        token: str | None = None,
        login: tuple[str | None, str | None] = (None, None),
        credentials: str | None = None,
        replicas: int | None = None,
        tls: TlsFiles | None = None,
        domain: str | None = None,
        inbox_prefix: str | None = None,
        name: str = "eventhub",
        segments: SegmentFormat | None = None,
        renew: Renew | None = None,
    ) -> AsyncIterator[Self]:
        """Connect to NATS servers; writes that still wait at the end fail as unavailable.

        Args:
            servers: `nats://host:port`, one or several of a cluster.
            token: for servers that ask for one.
            login: user and password.
            credentials: text of a `.creds` file.
            tls: for servers whose URLs begin with `tls://`.
            replicas: copies of each stream, on as many servers; None keeps the number that a
                stream has, and gives a new one a single copy. The number is never lowered.
            domain: of JetStream, if the servers are connected to it as a leaf node.
            inbox_prefix: what the subjects of answers begin with; by default one for each user.
            name: of this client, for the lists of the servers.
            segments: the format of sealed events; without it, they cannot be read.
            renew: restarts a server that reads a damaged stream wrongly; without it, the damage is
                only reported.

        Raises:
            Unavailable: no server answers within some seconds.
            Misconfigured: the server refuses the credentials, or the text holds none; a file of
                `tls` cannot be used.
        """
        context = None if tls is None else tls.context()
        options = {} if context is None else {"tls": context}
        user = login[0] if credentials is None else name_of(credentials)
        async with Connection.open(
            renew=renew,
            servers=servers if isinstance(servers, str) else list(servers),
            token=token,
            user=login[0],
            password=login[1],
            user_credentials=None if credentials is None else read_credentials(credentials),
            inbox_prefix=inbox_prefix or inbox_of(user),
            domain=domain,
            name=name,
            **options,
        ) as connection:
            with ExitStack() as after_tasks:
                async with background() as tasks:
                    log = cls(connection, tasks, replicas, segments)
                    after_tasks.callback(log._close)
                    yield log

    def _close(self) -> None:
        for writer in self._writers.values():
            writer.close()

    @property
    def copies(self) -> Copies:
        """Streams as bytes, and back."""
        return Copies(self._connection, self._replicas)

    @property
    def signals(self) -> NatsSignals:
        """What processes say to each other."""
        return NatsSignals(self._connection)

    @property
    def is_connected(self) -> bool:
        """Tell whether the broker answers."""
        return self._connection.is_connected

    def watch(self, *, writes: bool) -> None:
        """Ask the leaders of all streams from now on how they are: see `EventStream.trouble`.

        Args:
            writes: this process writes to them, and has to have the right to do so.
        """
        if (largest := self._connection.max_payload) < LARGEST_MESSAGE:
            logger.warning("max_payload_small", bytes=largest, needed=LARGEST_MESSAGE)
        self._health = Health(self._connection, writes=writes)
        self._tasks.start(self._health.run(), name="stream-health")

    async def open(self, channel: Channel) -> JetStreamStream:
        """Return the stream of a channel; make it, or update its settings, if necessary.

        Raises:
            Unavailable: the broker does not answer.
            Misconfigured: the broker refuses the stream.
        """
        info = await self._opened(channel)
        atomic = bool(info["config"].get("allow_atomic"))  # servers before 2.12 ignore it
        writer = self._writer(channel.stream, atomic=atomic)
        epoch, state = epoch_of(info), info["state"]
        manifests = Manifests(self._connection, channel.stream, epoch)
        retained = Retained(channel, manifests, self.segments)
        if state.get("num_deleted") or state["first_seq"] > 1:
            await report_holes(self._connection, channel, epoch, state, await retained.refresh())
        if self._health is not None:
            self._health.watch(channel, info)
        return JetStreamStream(channel, self._connection, writer, epoch, retained, self._health)

    async def _opened(self, channel: Channel) -> dict[str, Any]:
        """Return the information on the stream of a channel, with the settings of today.

        A new stream gets its metadata with the first request, an older one with another.
        """
        info = await ensure(
            self._connection,
            self._replicas,
            {
                "name": channel.stream,
                "subjects": [f"{channel.prefix}*"],
                "discard": "new",
                "duplicate_window": DEDUPLICATION_SECONDS * NANOSECONDS,
                "allow_atomic": True,
            },
            metadata={EPOCH: new_epoch()} | self._claimed(channel, {"config": {}}),
        )
        metadata = own(info) | {EPOCH: epoch_of(info)} | self._claimed(channel, info)
        if metadata == own(info):
            return info
        try:
            return await try_to_ensure(
                self._connection, self._replicas, {"name": channel.stream, "metadata": metadata}
            )
        except NotPermitted:  # it is logged; the projector may
            return info

    def _claimed(self, channel: Channel, info: Mapping[str, Any]) -> dict[str, str]:
        """Return what is to be written down for the columns of a channel."""
        columns = None if self._health is None else claimed(channel.columns, info)
        return {} if columns is None else {COLUMNS: columns}

    async def records(self, name: str, *, max_age_seconds: float | None = None) -> JetStreamRecords:
        """Return a store of records; make it, or update its settings; errors as `open`.

        Its name is in `permissions.STORES`, so that no role is left without what it needs.
        """
        assert name in STORES, name  # noqa: S101 - names are constants
        stream, prefix = store_of(name)
        await ensure(
            self._connection,
            self._replicas,
            {
                "name": stream,
                "subjects": [f"{prefix}>"],
                "discard": "old",
                "max_msgs_per_subject": 1,
                "max_age": int((max_age_seconds or 0) * NANOSECONDS),
                "allow_msg_ttl": True,
            },
        )
        return JetStreamRecords(self._connection, stream, prefix)

    async def objects(self, bucket: str, *, writes: bool) -> JetStreamObjects:
        """Return a store of objects, made if it is new and written to; errors as `open`."""
        if writes:
            await ensure(
                self._connection,
                self._replicas,
                {
                    "name": f"OBJ_{bucket}",
                    "subjects": [f"$O.{bucket}.C.>", f"$O.{bucket}.M.>"],
                    "discard": "new",
                    "allow_rollup_hdrs": True,
                },
            )
        return JetStreamObjects(self._connection, bucket)

    async def sealing(self, channel: Channel, epoch: str) -> JetStreamSealing:
        """Return what seals the log of a channel; errors as `open`."""
        assert self.segments is not None  # noqa: S101 - it is known how segments are written
        await self.records("segments")
        await self.objects(SEGMENTS, writes=True)
        return JetStreamSealing(self._connection, channel, epoch, self.segments)

    def _writer(self, stream: str, *, atomic: bool) -> Writer:
        writer = self._writers.get(stream)
        if writer is None:
            writer = self._writers[stream] = Writer(self._connection, stream, atomic=atomic)
            self._tasks.start(writer.run(), name=f"writer-{stream}")
        return writer
