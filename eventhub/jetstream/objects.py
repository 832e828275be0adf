"""JetStreamObjects: objects in an object store of JetStream (NATS ADR-20), for `nats object`.

An object is cut into messages of one subject. The message that describes it is stored after them,
so that an object without one is not there yet.
"""

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable
from datetime import UTC, datetime
from secrets import token_hex
from typing import Final

import msgspec

from eventhub.errors import Damaged
from eventhub.jetstream import api
from eventhub.jetstream.connection import Connection
from eventhub.objects import Listed

CHUNK_BYTES: Final = 256 << 10
"""Of one message; servers take 1 MiB by default."""
READ_CHUNKS: Final = 8
"""Asked for at once: 2 MiB must come within the deadline of a request."""


class _Description(msgspec.Struct, frozen=True):
    """The message that describes an object."""

    name: str
    bucket: str
    nuid: str
    """The token of its messages: that of its name, because no name is used twice."""
    size: int
    chunks: int
    digest: str
    mtime: str
    deleted: bool = False


class JetStreamObjects:
    """Objects in one bucket.

    Args:
        connection: to the servers.
        bucket: its name; its stream need not exist to be read.
    """

    def __init__(self, connection: Connection, bucket: str) -> None:
        self._connection = connection
        self._bucket = bucket
        self._stream = f"OBJ_{bucket}"

    async def listed(self) -> Listed:
        """Return the names of all objects; at most 100,000, which a server lists at once."""
        try:
            info = await api.call(
                self._connection,
                f"STREAM.INFO.{self._stream}",
                {"subjects_filter": f"$O.{self._bucket}.>"},
            )
        except api.ApiError as error:
            if error.number == api.STREAM_NOT_FOUND:
                return Listed([], [])
            raise
        subjects = info["state"].get("subjects") or {}
        described, stored = (self._tokens(subjects, kind) for kind in "MC")
        return Listed(_names(described), _names(stored - described))

    async def put(self, name: str, data: bytes) -> None:
        """Store an object durably."""
        token, put = _token(name), token_hex(8)
        size = min(CHUNK_BYTES, self._connection.max_payload // 2)  # the rest is for headers
        chunks = [data[at : at + size] for at in range(0, len(data), size)]
        for number, chunk in enumerate(chunks):
            # A question may be asked twice, but its message must be stored once.
            headers = {"Nats-Msg-Id": f"{put}.{number}"}
            await self._store(f"C.{token}", chunk, headers)
        description = _Description(
            name=name,
            bucket=self._bucket,
            nuid=token,
            size=len(data),
            chunks=len(chunks),
            digest=_digest(data),
            mtime=datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        )
        await self._store(f"M.{token}", msgspec.json.encode(description), {"Nats-Rollup": "sub"})

    async def get(self, name: str) -> bytes | None:
        """Return an object, or None."""
        description = await self._describe(name)
        if description is None:
            return None
        chunks = await self._chunks(description)
        data = b"".join(chunks)
        if len(data) != description.size or _digest(data) != description.digest:
            raise Damaged(f"object {name}: {len(data)} bytes with another checksum are stored")
        return data

    async def delete(self, name: str) -> None:
        """Delete an object; its description first, so that it is never there in part."""
        for kind in "MC":
            body = {"filter": f"$O.{self._bucket}.{kind}.{_token(name)}"}
            await api.call(self._connection, f"STREAM.PURGE.{self._stream}", body)

    def _tokens(self, subjects: Iterable[str], kind: str) -> set[str]:
        prefix = f"$O.{self._bucket}.{kind}."
        return {each.removeprefix(prefix) for each in subjects if each.startswith(prefix)}

    async def _store(self, subject: str, payload: bytes, headers: dict[str, str]) -> None:
        subject = f"$O.{self._bucket}.{subject}"
        api.checked(await self._connection.request(subject, payload, headers))

    async def _describe(self, name: str) -> _Description | None:
        query = {"last_by_subj": f"$O.{self._bucket}.M.{_token(name)}"}
        message = await api.get(self._connection, self._stream, query)
        if message is None:
            return None
        try:
            found = msgspec.json.decode(message.data, type=_Description)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Damaged(f"object {name}: its description cannot be read: {error}") from None
        return None if found.deleted else found

    async def _chunks(self, description: _Description) -> list[bytes]:
        chunks: list[bytes] = []
        subject = f"$O.{self._bucket}.C.{description.nuid}"
        query = {"seq": 1, "batch": READ_CHUNKS, "next_by_subj": subject}
        while len(chunks) < description.chunks:
            found = await api.direct_get_batch(self._connection, self._stream, query)
            if found:
                chunks += [message.data for message in found]
                query["seq"] = api.sequence_of(found[-1]) + 1
                continue
            # A replica may be behind an object that was stored just now; the leader is not.
            next_one = {"seq": query["seq"], "next_by_subj": subject}
            message = await api.get(self._connection, self._stream, next_one)
            if message is None:
                break
            chunks.append(message.data)
            query["seq"] = message.sequence + 1
        return chunks


def _token(name: str) -> str:
    return urlsafe_b64encode(name.encode()).decode()


def _names(tokens: set[str]) -> list[str]:
    """Return the names of tokens; those of other programs' objects are left out."""
    names = []
    for token in tokens:
        try:
            names.append(urlsafe_b64decode(token).decode())
        except ValueError:
            continue
    return sorted(names)


def _digest(data: bytes) -> str:
    return f"SHA-256={urlsafe_b64encode(hashlib.sha256(data).digest()).decode()}"
