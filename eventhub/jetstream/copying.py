"""Copying: streams with their consumers as bytes, and back (the snapshots of JetStream).

The server sends a snapshot as messages, and waits for each few of them to be acknowledged. It is
the stream as it was at one moment, while writes go on. Each message in it was checked before.
"""

import asyncio
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec

from eventhub.errors import EventHubError, Unavailable
from eventhub.jetstream import api
from eventhub.jetstream.connection import Connection
from eventhub.jetstream.metadata import EPOCH, epoch_at, epoch_of, own
from eventhub.jetstream.parser import Message
from eventhub.jetstream.permissions import SEGMENTS
from eventhub.jetstream.sealing import Manifests

CHUNK_BYTES = 256 << 10
"""Of one message of a snapshot."""
SILENCE_SECONDS = 60.0
"""How long the server may send nothing, or not acknowledge what it is sent."""
CHECK_SECONDS = 3600.0
"""How long it may read a stream before it answers: it checks each message first."""
CHANNELS = "EH_"
"""What the names of the streams of channels begin with."""
OWN = (CHANNELS, "EVENTHUB_", f"OBJ_{SEGMENTS}")
"""What the names of a hub's streams begin with: those of channels, of records, and of segments. In
this order a copy of the list of segments is newer than those of the channels, so that it has all
that has left them, and the segments are newer still."""


class StreamCopy(msgspec.Struct, frozen=True):
    """What a stream is restored with, besides its bytes; as the API has it."""

    config: dict[str, Any]
    state: dict[str, Any]

    @property
    def epoch(self) -> str | None:
        """The epoch of its positions."""
        return own({"config": self.config}).get(EPOCH)


class Copies:
    """Saves streams, and makes streams of what was saved.

    Args:
        connection: to the servers.
        replicas: copies of each restored stream; one by default.
    """

    def __init__(self, connection: Connection, replicas: int | None) -> None:
        self._connection = connection
        self._replicas = replicas

    async def stored(self) -> list[str]:
        """Return the names of the streams of hubs; errors as `api.call`."""
        names: list[str] = []
        while True:
            answer = await api.call(self._connection, "STREAM.NAMES", {"offset": len(names)})
            found = answer.get("streams") or []
            names += found
            if not found or len(names) >= answer["total"]:
                return sorted(name for name in names if name.startswith(OWN))

    async def save(self, stream: str, write: Callable[[bytes], object]) -> StreamCopy:
        """Hand a snapshot of a stream to `write`, piece by piece.

        Args:
            stream: its name.
            write: may wait for the disk: this is for commands, which do nothing else meanwhile.

        Raises:
            Unavailable: the server does not answer, or was lost: what was written is incomplete.
            ApiError: JetStream refused it, for example because a message is damaged.
        """
        info = await api.call(self._connection, f"STREAM.INFO.{stream}")
        pieces: asyncio.Queue[Message | None] = asyncio.Queue()  # the server bounds what is unread

        def on_messages(messages: list[Message]) -> None:
            for message in messages:
                pieces.put_nowait(message)

        inbox = self._connection.new_inbox()
        subscription = await self._connection.subscribe(
            inbox, on_messages, lambda: pieces.put_nowait(None)
        )
        try:
            body = {"deliver_subject": inbox, "jsck": True, "chunk_size": CHUNK_BYTES}
            name = f"STREAM.SNAPSHOT.{stream}"
            answer = await api.call(self._connection, name, body, within=CHECK_SECONDS)
            while piece := await _next(pieces):
                write(piece.data)
                if piece.reply:  # not each piece is acknowledged
                    await self._connection.publish(piece.reply, b"")
        finally:
            await self._connection.unsubscribe(subscription)
        metadata = own(answer) | {EPOCH: epoch_of(info)}
        return StreamCopy(answer["config"] | {"metadata": metadata}, answer["state"])

    async def load(
        self, stream: str, copy: StreamCopy, pieces: Iterable[bytes], *, keeps_epoch: bool
    ) -> None:
        """Make a stream from a snapshot; if that fails, nothing of it is left.

        Args:
            stream: its name; there must be no stream of this name.
            copy: what it is made with.
            pieces: its bytes, in any pieces that fit into a message.
            keeps_epoch: positions in the saved stream hold in this one.

        Raises:
            Unavailable: the server does not answer.
            EventHubError: JetStream refused it, or made another stream of it.
        """
        metadata = own({"config": copy.config})
        if not keeps_epoch:  # it is written down here, because a gateway may not change a stream
            metadata[EPOCH] = epoch_at(datetime.now(UTC).isoformat())
        config = copy.config | {"metadata": metadata, "num_replicas": self._replicas or 1}
        body = {"config": config, "state": copy.state}
        answer = await api.call(self._connection, f"STREAM.RESTORE.{stream}", body)
        try:
            await self._send(stream, copy, pieces, answer["deliver_subject"])
        except BaseException:
            await self.delete(stream)
            raise

    async def _send(
        self, stream: str, copy: StreamCopy, pieces: Iterable[bytes], subject: str
    ) -> None:
        for piece in pieces:
            await self._connection.request(subject, piece, within=SILENCE_SECONDS)
        made = api.checked(await self._connection.request(subject, b"", within=CHECK_SECONDS))
        for key in ("messages", "last_seq"):
            if made["state"][key] != copy.state[key]:
                raise EventHubError(
                    f"stream {stream}: {key} is {made['state'][key]} after the restore, and was"
                    f" {copy.state[key]}"
                )

    async def last(self, stream: str) -> int:
        """Return the last sequence of a stream now; errors as `api.call`."""
        info = await api.call(self._connection, f"STREAM.INFO.{stream}")
        last: int = info["state"]["last_seq"]
        return last

    async def sealed(self, stream: str, epoch: str) -> int:
        """Return the last sealed sequence of a stream now; errors as `Manifests.read`."""
        manifest, _ = await Manifests(self._connection, stream, epoch).read()
        return manifest.last

    async def adopt_segments(self, stream: str, epoch: str) -> None:
        """Make the segments of a saved stream those of the stream that was restored from it.

        Args:
            stream: its name.
            epoch: of the saved stream.
        """
        manifests = Manifests(self._connection, stream, epoch)
        manifest, revision = await manifests.read()
        if manifest.segments:
            now = epoch_of(await api.call(self._connection, f"STREAM.INFO.{stream}"))
            adopted = msgspec.structs.replace(manifest, epoch=now)
            await manifests.replace(adopted, revision)

    async def delete(self, stream: str) -> None:
        """Delete a stream, if there is one; errors as `api.call`."""
        try:
            await api.call(self._connection, f"STREAM.DELETE.{stream}")
        except api.ApiError as error:
            if error.number != api.STREAM_NOT_FOUND:
                raise


async def _next(pieces: asyncio.Queue[Message | None]) -> Message | None:
    """Return the next piece; None at the end of the snapshot."""
    try:
        async with asyncio.timeout(SILENCE_SECONDS):
            piece = await pieces.get()
    except TimeoutError:
        raise Unavailable("the broker has stopped sending the snapshot") from None
    if piece is None:
        raise Unavailable("the connection to the broker was lost")
    if not piece.data and piece.status not in (None, "204"):
        raise Unavailable(f"the broker has broken off the snapshot: status {piece.status}")
    return piece if piece.data else None
