"""The JetStream API: requests about streams and consumers, and reading single messages."""

from typing import Any

import msgspec

from eventhub.errors import EventHubError, Unavailable
from eventhub.jetstream.connection import Connection
from eventhub.jetstream.parser import Message

STREAM_NOT_FOUND = 10059
"""An `ApiError.number`."""
NANOSECONDS = 10**9
"""In a second: the API counts durations in nanoseconds."""

_TEMPORARY = 503  # an HTTP-like code: there is no leader now
_END_OF_BATCH = "204"  # the status of a message
_NOT_FOUND = "404"


class ApiError(EventHubError):
    """JetStream refused a request. `number` is its `err_code`."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(f"JetStream: {error.get('description', error)}")
        self.number: int = error.get("err_code", 0)
        self.status: int = error.get("code", 0)


async def call(connection: Connection, name: str, body: Any = None) -> dict[str, Any]:
    """Return the answer to an API request that may run twice.

    Args:
        connection: to the servers.
        name: the subject behind `$JS.API.`, such as `STREAM.INFO.<stream>`.
        body: what is sent as JSON.

    Raises:
        ApiError: JetStream refused it.
        Unavailable: no answer in time, or no leader.
    """
    payload = b"" if body is None else msgspec.json.encode(body)
    return _checked(await connection.request(f"$JS.API.{name}", payload))


async def store(connection: Connection, subject: str, payload: bytes) -> None:
    """Publish a message to a stream durably; it may be stored twice; errors as `call`."""
    _checked(await connection.request(subject, payload))


async def direct_get(connection: Connection, stream: str, query: dict[str, Any]) -> Message | None:
    """Return a stored message, or None; its sequence is in its `Nats-` headers (NATS ADR-31).

    Raises:
        Unavailable: no answer in time, or one that says nothing of the message.
    """
    payload = msgspec.json.encode(query)
    message = await connection.request(f"$JS.API.DIRECT.GET.{stream}", payload)
    status = message.status
    if status is None:
        return message
    if status == _NOT_FOUND:
        return None
    raise Unavailable(f"the event log answers {status}")


async def direct_get_batch(
    connection: Connection, stream: str, query: dict[str, Any]
) -> list[Message]:
    """Return several stored messages as `direct_get` returns one; `query` has `batch`."""
    payload = msgspec.json.encode(query)
    *found, last = await connection.request_all(f"$JS.API.DIRECT.GET.{stream}", payload)
    if last.status not in (_END_OF_BATCH, _NOT_FOUND):
        raise Unavailable(f"the event log answers {last.status}")
    return found


def sequence_of(message: Message) -> int:
    """Return the sequence of a message that `direct_get` returned."""
    return int((message.headers or {})["Nats-Sequence"])


def _checked(message: Message) -> dict[str, Any]:
    answer: dict[str, Any] = msgspec.json.decode(message.data)
    error = answer.get("error")
    if error is None:
        return answer
    refusal = ApiError(error)
    if refusal.status == _TEMPORARY:
        raise Unavailable(refusal.message) from refusal
    raise refusal
