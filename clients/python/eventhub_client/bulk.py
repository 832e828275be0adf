"""Bulk: many messages, in the order of the caller, a few hundred kilobytes in one request."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from secrets import token_hex
from typing import Any
from uuid import UUID

from eventhub_client.backoff import Backoff
from eventhub_client.errors import (
    BulkError,
    EventHubError,
    Refusal,
    RefusedError,
    error_of,
    is_passing,
)
from eventhub_client.requests import Request, Requests

MOST_MESSAGES = 4000
MOST_BYTES = 512 << 10
"""Of one request. A hub takes 1 MiB, unless its `server.max_message` is smaller."""
FEWEST_BYTES = 1 << 10
MOST_REFUSED = 1000
"""Refusals that are kept; then the bulk write ends."""
Message = Mapping[str, Any]


def encoded(message: Message) -> bytes:
    """Return a message as JSON.

    Raises:
        TypeError: a value has no JSON.
        ValueError: a number is NaN or infinite.
    """
    return _ENCODE(message).encode()


def new_key() -> str:
    """Return an idempotency key that nobody else uses."""
    return token_hex(16)


def _plain(value: object) -> str:
    if isinstance(value, date):  # a datetime is one, too
        return value.isoformat()
    if isinstance(value, Decimal | UUID):
        return str(value)
    raise TypeError(f"a {type(value).__name__} has no JSON: {value!r}")


_ENCODE = json.JSONEncoder(default=_plain, allow_nan=False, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A message that has no outcome yet."""

    index: int
    message: Message
    body: bytes


class Bulk:
    """One bulk write: `take` messages, `send` when it says so and at the end, then `finish`."""

    def __init__(self, requests: Requests, url: str, method: str) -> None:
        self._requests = requests
        self._url = url
        self._method = method
        self._key = new_key()
        self._count = 0
        self._waiting: list[_Waiting] = []
        self._bytes = 0
        self._most_bytes = MOST_BYTES
        self._stored = 0
        self._refused: list[Refusal] = []

    def take(self, message: Message) -> bool:
        """Take a message; tell whether `send` has to be called now."""
        body = encoded({"_key": f"{self._key}-{self._count}", **message})
        self._waiting.append(_Waiting(self._count, message, body))
        self._count += 1
        self._bytes += len(body) + 1
        return self._bytes >= self._most_bytes or len(self._waiting) >= MOST_MESSAGES

    async def send(self) -> None:
        """Send what was taken; return when all of it is stored or refused.

        Raises:
            BulkError: it cannot go on.
        """
        waiting, self._waiting, self._bytes = self._waiting, [], 0
        try:
            await self._send(waiting)
        except EventHubError as error:
            raise BulkError(self._stored, self._refused, str(error)) from error
        if len(self._refused) > MOST_REFUSED:
            raise BulkError(self._stored, self._refused, "too many to go on")

    def finish(self) -> int:
        """Return how many messages are stored.

        Raises:
            BulkError: some were refused.
        """
        if self._refused:
            raise BulkError(self._stored, self._refused)
        return self._stored

    async def _send(self, waiting: list[_Waiting]) -> None:
        try:
            await self._send_whole(waiting)
        except RefusedError as error:
            if error.code != "too_large":
                raise
            if len(waiting) == 1:
                self._refuse(waiting[0], error)
                return
            half = len(waiting) // 2
            self._most_bytes = max(sum(len(each.body) for each in waiting) // 2, FEWEST_BYTES)
            await self._send(waiting[:half])
            await self._send(waiting[half:])

    async def _send_whole(self, waiting: list[_Waiting]) -> None:
        """Send messages in one request, and those again that were refused for the moment."""
        backoff, clock = Backoff(), asyncio.get_running_loop().time
        until = clock() + self._requests.patience
        while waiting:
            body = b"[%s]" % b",".join(each.body for each in waiting)
            request = Request(self._method, self._url, body, is_write=True)
            receipts = (await self._requests.send(request)).json()
            again, problem = [], None
            for each, receipt in zip(waiting, receipts, strict=True):
                if "_error" not in receipt:
                    self._stored += 1
                elif is_passing(error := error_of(receipt["_error"])):
                    again.append(each)
                    problem = problem or error
                else:
                    self._refuse(each, error)
            waiting = again
            if problem is not None:
                pause = backoff.pause(problem.retry_after)
                if clock() + pause > until:
                    raise problem
                await asyncio.sleep(pause)

    def _refuse(self, waiting: _Waiting, error: EventHubError) -> None:
        self._refused.append(Refusal(waiting.index, waiting.message, error))
