"""Sealing on JetStream: the manifest is a record, the segments are objects, and rows are purged.

See `eventhub.segments`. All three are in the servers of the log, so whoever can read the log can
read its sealed part, and a backup has both.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from eventhub.background import side_by_side
from eventhub.channel import Channel
from eventhub.errors import Conflict, Damaged, Unavailable
from eventhub.event import SealedEvent
from eventhub.jetstream import api
from eventhub.jetstream.api import STREAM_NOT_FOUND, ApiError, StoredMessage, sequence_of
from eventhub.jetstream.connection import Connection
from eventhub.jetstream.objects import JetStreamObjects
from eventhub.jetstream.parser import Message
from eventhub.jetstream.permissions import SEGMENTS, store_of
from eventhub.jetstream.stream_state import state_in_epoch
from eventhub.objects import Objects
from eventhub.segments import (
    Manifest,
    Original,
    Segment,
    SegmentFormat,
    nanoseconds_of,
    read_manifest,
)

KEPT_SEGMENTS: Final = 4
"""Segments that are kept in memory for the readers of a process, each some 16 MiB."""
PURGES_AT_ONCE: Final = 32
READ_EVENTS: Final = 1000
_WRONG_SEQUENCE: Final = 10071


class SegmentFiles:
    """The segments of all channels, of which some are kept in memory."""

    def __init__(self, objects: Objects, file_format: SegmentFormat) -> None:
        self.objects = objects
        self.file_format = file_format
        self._kept: OrderedDict[str, list[Original]] = OrderedDict()
        self._turn = asyncio.Lock()

    async def read(self, segment: Segment) -> list[Original]:
        """Return the events of a segment; errors as `Sealing.stored`."""
        async with self._turn:  # readers of one segment come together, and need it once
            events = self._kept.get(segment.name)
            if events is None:
                events = self._kept[segment.name] = await self.read_again(segment)
            self._kept.move_to_end(segment.name)
            while len(self._kept) > KEPT_SEGMENTS:
                self._kept.popitem(last=False)
            return events

    async def read_again(self, segment: Segment) -> list[Original]:
        """Return the events of a segment as they are stored now; errors as `Sealing.stored`."""
        data = await self.objects.get(segment.name)
        if data is None:
            raise Damaged(f"segment {segment.name} is missing: restore it from a backup")
        return await asyncio.to_thread(self._decoded, data, segment)

    def _decoded(self, data: bytes, segment: Segment) -> list[Original]:
        if len(data) != segment.bytes or hashlib.sha256(data).hexdigest() != segment.sha256:
            raise Damaged(f"segment {segment.name} has another checksum: restore it from a backup")
        events = self.file_format.decode(data)
        if len(events) != segment.events or events[-1].sequence != segment.last:
            raise Damaged(f"segment {segment.name} has other events than the manifest says")
        return events


class Manifests:
    """The manifest of one log.

    Args:
        connection: to the servers.
        stream: the name of the stream.
        epoch: of the log; the manifest of another one does not count.
    """

    def __init__(self, connection: Connection, stream: str, epoch: str) -> None:
        self._connection = connection
        self._name = stream
        self._epoch = epoch
        self._stream, prefix = store_of("segments")
        self._subject = prefix + stream

    async def read(self) -> tuple[Manifest, int]:
        """Return the manifest and its revision; see `Sealing.manifest`."""
        query = {"last_by_subj": self._subject}
        try:
            message = await api.get(self._connection, self._stream, query)
        except ApiError as error:
            if error.number != STREAM_NOT_FOUND:
                raise
            message = None
        if message is None:
            return Manifest(epoch=self._epoch), 0
        manifest = read_manifest(message.data, self._name)
        if manifest.epoch != self._epoch:  # of a log that no longer exists
            manifest = Manifest(epoch=self._epoch)
        return manifest, message.sequence

    async def replace(self, manifest: Manifest, revision: int) -> int:
        """Replace a revision; see `Sealing.commit`."""
        try:
            data = msgspec.json.encode(manifest)
            return await api.store(self._connection, self._subject, data, expect=revision)
        except ApiError as error:
            if error.number != _WRONG_SEQUENCE:
                raise
            text = f"the segments of {self._name} were changed by another process"
            raise Conflict("conflict", text) from error


def segment_objects(connection: Connection) -> JetStreamObjects:
    """Return where segments are stored; the bucket need not exist to be read."""
    return JetStreamObjects(connection, SEGMENTS)


async def originals(
    connection: Connection, channel: Channel, after: int, up_to: int, max_bytes: int
) -> list[Original]:
    """Return the next events of a stream; see `Sealing.originals`."""
    query: dict[str, Any] = {
        "seq": after + 1,
        "batch": min(READ_EVENTS, up_to - after),
        "next_by_subj": f"{channel.prefix}*",
        "max_bytes": max_bytes,
    }
    events: list[Original] = []
    for message in await api.direct_get_batch(connection, channel.stream, query):
        if sequence_of(message) != after + len(events) + 1:
            break
        events.append(_of_message(message, channel))
    if events:
        return events[: up_to - after]
    # A replica may be behind, and one event may have been erased; more are never missing.
    for sequence in (after + 1, after + 2):
        stored = await api.get(connection, channel.stream, {"seq": sequence})
        if stored is not None:
            return [_of_stored(stored, channel)]
    raise Damaged(f"the events {after + 1} and {after + 2} of {channel.name} are missing")


def _of_message(message: Message, channel: Channel) -> Original:
    stored_at = (message.headers or {})["Nats-Time-Stamp"]
    return _checked(sequence_of(message), stored_at, message.data, channel)


def _of_stored(stored: StoredMessage, channel: Channel) -> Original:
    return _checked(stored.sequence, stored.time, stored.data, channel)


def _checked(sequence: int, stored_at: str, payload: bytes, channel: Channel) -> Original:
    SealedEvent.read(sequence, payload, channel.columns)  # raises Damaged
    return Original(sequence, nanoseconds_at(stored_at), payload)


def nanoseconds_at(text: str) -> int:
    """Return an RFC 3339 time of the server in UTC as nanoseconds since 1970."""
    whole, _, fraction = text.removesuffix("Z").partition(".")
    moment = datetime.fromisoformat(whole).replace(tzinfo=UTC)
    return nanoseconds_of(moment) + int(fraction.ljust(9, "0") or 0)


async def trim(connection: Connection, channel: Channel, last: Mapping[str, int]) -> None:
    """Delete the events of rows before their last one; see `Sealing.trim`.

    A purge names a row and a sequence, so it deletes the same events whenever it comes.
    """

    async def purge(row_id: str) -> None:
        body = {"filter": channel.subject(row_id), "seq": last[row_id]}
        await api.call(connection, f"STREAM.PURGE.{channel.stream}", body)

    await side_by_side(purge, last, PURGES_AT_ONCE)


async def acknowledged(connection: Connection, channel: Channel, last: int) -> int:
    """Return up to which sequence no durable consumer needs the stream any more.

    Args:
        connection: to the servers.
        channel: whose stream it is.
        last: of the stream.
    """
    needed, offset = last, 0
    while True:
        body = {"offset": offset}
        answer = await api.call(connection, f"CONSUMER.LIST.{channel.stream}", body)
        found = answer.get("consumers") or []
        for info in found:
            if info["config"].get("durable_name"):
                needed = min(needed, _floor(info, last))
        offset += len(found)
        if not found or offset >= answer["total"]:
            break
    if answer.get("missing"):
        raise Unavailable(f"not all consumers of {channel.stream} answer")
    return needed


def _floor(info: Mapping[str, Any], last: int) -> int:
    if not info.get("num_pending") and not info.get("num_ack_pending"):
        return last
    return int(info["ack_floor"]["stream_seq"])


class JetStreamSealing:
    """What sealing needs of one log; see `eventhub.segments.Sealing`."""

    def __init__(
        self,
        connection: Connection,
        channel: Channel,
        epoch: str,
        files: SegmentFiles,
    ) -> None:
        self.channel = channel
        self.file_format = files.file_format
        self._connection = connection
        self._epoch = epoch
        self._manifests = Manifests(connection, channel.stream, epoch)
        self._files = files

    async def manifest(self) -> tuple[Manifest, int]:
        """Return the manifest and its revision."""
        return await self._manifests.read()

    async def commit(self, manifest: Manifest, revision: int) -> int:
        """Replace the manifest of a revision."""
        return await self._manifests.replace(manifest, revision)

    async def originals(self, after: int, up_to: int, max_bytes: int) -> list[Original]:
        """Return the next events of the stream."""
        return await originals(self._connection, self.channel, after, up_to, max_bytes)

    async def store(self, name: str, data: bytes) -> None:
        """Store a file."""
        await self._files.objects.put(name, data)

    async def stored(self, segment: Segment) -> list[Original]:
        """Return the events of a stored segment."""
        return await self._files.read_again(segment)

    async def discard(self, name: str) -> None:
        """Delete a file that no manifest lists."""
        await self._files.objects.delete(name)

    async def acknowledged(self) -> int:
        """Return the sequence up to which no work queue needs the stream any more."""
        state = await state_in_epoch(self._connection, self.channel.stream, self._epoch)
        return await acknowledged(self._connection, self.channel, state["last_seq"])

    async def trim(self, last: Mapping[str, int]) -> None:
        """Delete the events of rows before their last one."""
        await state_in_epoch(self._connection, self.channel.stream, self._epoch)
        await trim(self._connection, self.channel, last)
