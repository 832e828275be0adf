"""The JetStream API: requests about streams and consumers, and reading stored messages.

`get` asks the leader of a stream. `direct_get_batch` may be answered by any replica, which may be
behind by some messages: it is for readers to whom "not there" means "not yet" (ADR-66).
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec

from eventhub.errors import EventHubError, Unavailable
from eventhub.jetstream import requests
from eventhub.jetstream.connection import Connection
from eventhub.jetstream.parser import Message

T = TypeVar("T")

STREAM_NAME_IN_USE = 10058
"""An `ApiError.number`, as those below."""
STREAM_NOT_FOUND = 10059
NO_PEERS = 10005
"""Too few servers are known for the replicas of a stream."""
_MESSAGE_NOT_FOUND = 10037
_NO_LEADER = 10008
NANOSECONDS = 10**9
"""In a second: the API counts durations in nanoseconds."""

_TEMPORARY = 503  # an HTTP-like code: there is no leader now, or no room
_END_OF_BATCH = "204"  # the status of a message
_NOT_FOUND = "404"


class ApiError(EventHubError):
    """JetStream refused a request. `number` is its `err_code`."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(f"JetStream: {error.get('description', error)}")
        self.number: int = error.get("err_code", 0)
        self.status: int = error.get("code", 0)


async def call(
    connection: Connection, name: str, body: Any = None, *, within: float | None = None
) -> dict[str, Any]:
    """Return the answer to an API request that may run twice.

    Args:
        connection: to the servers.
        name: the subject behind `$JS.API.`, such as `STREAM.INFO.<stream>`.
        body: what is sent as JSON.
        within: seconds after which the request is given up, not repeated.

    Raises:
        ApiError: JetStream refused it.
        Unavailable: no answer in time, or no leader.
    """
    payload = b"" if body is None else msgspec.json.encode(body)

    async def ask() -> dict[str, Any]:
        return checked(await connection.request(f"{connection.api}.{name}", payload, within=within))

    return await (ask() if within else _until_led(ask))


async def store(
    connection: Connection,
    subject: str,
    payload: bytes,
    *,
    seconds: int | None = None,
    expect: int | None = None,
) -> int:
    """Publish a message to a stream durably, and return its sequence; errors as `call`.

    It may be stored twice, but not if an expectation is given: then it may be refused although it
    was stored, because the answer to a first attempt was lost.

    Args:
        connection: to the servers.
        subject: of the message.
        payload: its content.
        seconds: after which the server deletes it, if its stream allows that (NATS ADR-43).
        expect: sequence of the last message of its subject; 0 if there must be none.
    """
    headers = {} if seconds is None else {"Nats-TTL": str(seconds)}
    if expect is not None:
        headers["Nats-Expected-Last-Subject-Sequence"] = str(expect)

    async def ask() -> int:
        return int(checked(await connection.request(subject, payload, headers or None))["seq"])

    return await _until_led(ask)


class StoredMessage(msgspec.Struct, frozen=True, gc=False):
    """A message of a stream."""

    subject: str
    sequence: int = msgspec.field(name="seq")
    data: bytes = b""
    headers: bytes = msgspec.field(name="hdrs", default=b"")
    """As they were sent."""
    time: str = ""
    """When the server stored it, as RFC 3339."""


class _Answer(msgspec.Struct, frozen=True, gc=False):
    message: StoredMessage | None = None
    error: dict[str, Any] | None = None


_DECODE_ANSWER = msgspec.json.Decoder(_Answer).decode


async def get(connection: Connection, stream: str, query: dict[str, Any]) -> StoredMessage | None:
    """Return a stored message as the leader of the stream has it, or None.

    Args:
        connection: to the servers.
        stream: its name.
        query: `seq`, `last_by_subj`, or `next_by_subj` with `seq` or `start_time`.

    Raises:
        Unavailable: no answer in time, or no leader.
        ApiError: JetStream refused the query.
    """
    payload = msgspec.json.encode(query)

    async def ask() -> StoredMessage | None:
        reply = await connection.request(f"{connection.api}.STREAM.MSG.GET.{stream}", payload)
        answer = _DECODE_ANSWER(reply.data)
        if answer.error is None:
            return answer.message
        refusal = ApiError(answer.error)
        if refusal.number == _MESSAGE_NOT_FOUND:
            return None
        raise _unavailable_if_temporary(refusal)

    return await _until_led(ask)


async def direct_get_batch(
    connection: Connection, stream: str, query: dict[str, Any]
) -> list[Message]:
    """Return the next stored messages that some replica has (NATS ADR-31); `query` has `batch`.

    Raises:
        Unavailable: no answer in time, or one that says nothing of the messages.
    """
    payload = msgspec.json.encode(query)
    *found, last = await connection.request_all(f"{connection.api}.DIRECT.GET.{stream}", payload)
    if last.status not in (_END_OF_BATCH, _NOT_FOUND):
        raise Unavailable(f"the event log answers {last.status}")
    return found


def sequence_of(message: Message) -> int:
    """Return the sequence of a message that `direct_get_batch` returned."""
    return int((message.headers or {})["Nats-Sequence"])


def checked(message: Message) -> dict[str, Any]:
    """Return the answer to a request; errors as `call`."""
    answer: dict[str, Any] = msgspec.json.decode(message.data)
    error = answer.get("error")
    if error is None:
        return answer
    raise _unavailable_if_temporary(ApiError(error))


def _unavailable_if_temporary(refusal: ApiError) -> EventHubError:
    if refusal.number == _NO_LEADER:
        return _NoLeader(refusal.message)
    return Unavailable(refusal.message) if refusal.status == _TEMPORARY else refusal


class _NoLeader(Unavailable):
    """A leader is being chosen."""


async def _until_led(ask: Callable[[], Awaitable[T]]) -> T:
    """Return an answer; while there is no leader, ask again for as long as without any answer."""
    now = asyncio.get_running_loop().time
    give_up = now() + requests.PATIENCE_SECONDS
    while True:
        try:
            return await ask()
        except _NoLeader:
            if now() >= give_up:
                raise
        await asyncio.sleep(requests.PAUSE_SECONDS)
