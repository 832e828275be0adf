"""History: the events of a table, read from its log by polls."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from eventhub_client.backoff import Backoff
from eventhub_client.errors import UnavailableError
from eventhub_client.query import text_of
from eventhub_client.requests import Request, Requests
from eventhub_client.subscription import POSITION

POSITION_HEADER = "EventHub-Position"
WAIT_SECONDS = 25

logger = logging.getLogger("eventhub_client")


@dataclass(frozen=True, slots=True)
class LogEvent:
    """One event of the log."""

    seq: int
    time: datetime
    """When it was stored, in UTC."""
    method: str
    id: str
    user: str | None
    """Who sent it."""
    row: dict[str, Any] | None
    """The row after the event; None if it was deleted."""
    was: dict[str, Any] | None
    """The old values of what the event changed; None of a new row."""
    position: str


UrlWith = Callable[..., str]
"""Returns the URL with further arguments, each a pair."""


async def position_now(requests: Requests, url_with: UrlWith) -> str:
    """Return the position of the end of a log.

    Raises:
        EventHubError: the hub refuses to say, or does not answer in time.
    """
    answer = await requests.send(Request("GET", url_with(("_limit", "0"))))
    return answer.headers[POSITION_HEADER]


async def position_in_time(requests: Requests, url_with: UrlWith) -> str:
    """Return the position of the end of a log, however long the hub is away.

    Raises:
        EventHubError: the hub refuses to say.
    """
    backoff = Backoff()
    while True:
        try:
            return await position_now(requests, url_with)
        except UnavailableError as error:
            pause = backoff.pause(error.retry_after)
            logger.info("%s; trying again in %.1f s", error, pause)
        await asyncio.sleep(pause)


async def events(
    requests: Requests, url_with: UrlWith, since: str, until: str | int | datetime | None
) -> AsyncGenerator[LogEvent, None]:
    """Iterate over events; see `AsyncHub.log`.

    Raises:
        EventHubError: the hub refuses; `gone`: the log no longer has what follows the last event.
    """
    epoch, _, head = (await position_now(requests, url_with)).partition(".")
    last, moment = _end(until, epoch, int(head))
    position, wait = since, () if until is not None else (("_wait", str(WAIT_SECONDS)),)
    while True:
        asked = (("_replay", "log"), ("_format", "ndjson"), ("_since", position), *wait)
        answer = await requests.send(Request("GET", url_with(*asked)))
        position = answer.headers[POSITION_HEADER]
        epoch, _, reached = position.partition(".")
        for line in answer.iter_lines():
            event = _event(json.loads(line), epoch)
            if (last is not None and event.seq > last) or (moment and event.time > moment):
                return
            yield event
        if last is not None and int(reached) >= last:
            return


def _end(
    until: str | int | datetime | None, epoch: str, head: int
) -> tuple[int | None, datetime | None]:
    """Return the last sequence, and the last moment."""
    if until is None:
        return None, None
    if isinstance(until, int):
        return min(until, head), None
    if isinstance(until, datetime):
        return head, until if until.tzinfo else until.replace(tzinfo=UTC)
    if until == "now":
        return head, None
    if position := POSITION.fullmatch(until):
        if position[1] != epoch:
            raise ValueError(f"until: {until!r} is a position of another log")
        return min(int(position[2]), head), None
    return _end(datetime.fromisoformat(until), epoch, head)


def _event(frame: dict[str, Any], epoch: str) -> LogEvent:
    return LogEvent(
        frame["_seq"],
        datetime.fromisoformat(frame["_time"]),
        frame["_method"],
        frame["id"],
        frame.get("_user"),
        frame["row"],
        frame["was"],
        f"{epoch}.{frame['_seq']}",
    )


def since_of(since: str | int | datetime) -> str:
    """Return a `_since` as the URL has it: a time without a zone is UTC to a hub."""
    if isinstance(since, datetime) and since.tzinfo:
        since = since.astimezone(UTC).replace(tzinfo=None)
    return text_of(since)
