"""Events: made-up ones of the channel that the benchmark serves, of the size of real messages."""

import random
from collections.abc import Iterator
from pathlib import Path

from eventhub.channel import Channel, endpoints_of
from eventhub.config import load
from eventhub.event import Event, StoredEvent
from tests.bench.dialects import body_of

TIME = "2026-11-23T10:00:00.{:06}Z"
PUTS, POSTS = 0.60, 0.35
"""Shares of the methods in a mixed history; the rest are DELETEs."""


def channel_of(folder: Path) -> Channel:
    """Return the channel of a folder's configuration."""
    [endpoint] = endpoints_of(load(folder / "eventhub.yaml"))
    return endpoint.channel


def post(channel: Channel, number: int, size: int) -> Event:
    """Return the POST of a new row."""
    row_id = f"{number:022}"
    message = {"body": body_of(size), "n": number, "id": row_id}
    return Event(
        method="POST",
        id=row_id,
        time=TIME.format(number % 10**6),
        endpoint="bench",
        columns=channel.columns.signature,
        write=f"w{number:032x}",
        message=message,
        row=channel.columns.new_row(message),
    )


def mixed(channel: Channel, count: int, size: int) -> Iterator[StoredEvent]:
    """Return a history of rows made, changed and deleted at random, the same each time."""
    chance = random.Random(7)
    alive: list[tuple[str, int]] = []
    for sequence in range(1, count + 1):
        dice = chance.random()
        if dice < POSTS or not alive:
            event = post(channel, sequence, size)
            alive.append((event.id, sequence))
        else:
            place = chance.randrange(len(alive))
            row_id, created = alive[place]
            made = post(channel, sequence, size)
            is_put = dice < POSTS + PUTS
            event = Event(
                method="PUT" if is_put else "DELETE",
                id=row_id,
                time=made.time,
                endpoint=made.endpoint,
                columns=made.columns,
                write=made.write,
                created=created,
                message={**made.message, "id": row_id} if is_put else {"id": row_id},
                row=made.row and {**made.row, "id": row_id} if is_put else None,
                was={"n": created} if is_put else made.row,
            )
            if not is_put:
                alive[place] = alive[-1]
                alive.pop()
        yield StoredEvent(sequence, event)
