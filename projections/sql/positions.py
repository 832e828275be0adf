"""Positions: the writes that a query waits for, as a client names them."""

from collections.abc import Mapping
from urllib.parse import unquote

from eventhub.errors import Rejected
from eventhub.event import Position
from eventhub.stream import EventStream


async def needed(text: str, streams: Mapping[str, EventStream]) -> dict[str, int]:
    """Return the sequences that tables must have seen, by table.

    Args:
        text: a sequence, if there is one table; or positions, as answers have them, with or without
            their tables.
        streams: the logs of the tables.

    Raises:
        Rejected: `bad_position`: it is none, of another log, or after the end of the log.
        Unavailable: the log cannot be read now.
    """
    wanted: dict[str, int] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, sequence = _one(part, streams)
        wanted[name] = max(sequence, wanted.get(name, 0))
    for name, sequence in wanted.items():
        end = await streams[name].end()
        if sequence > end:
            raise _bad(f"{sequence} is after the end of the log of {name}, which is {end}")
    return wanted


def _one(part: str, streams: Mapping[str, EventStream]) -> tuple[str, int]:
    if part.isascii() and part.isdigit() and len(part) < 19:
        if len(streams) > 1:
            raise _bad(f"{part} may be of any of {', '.join(streams)}: give the whole position")
        return next(iter(streams)), int(part)
    given, _, text = part.rpartition("=")
    try:
        position = Position.parse(text)
    except ValueError:
        raise _bad(f"{part!r} is not a position") from None
    for name, stream in streams.items():
        if stream.epoch == position.epoch and (not given or unquote(given) == name):
            return name, position.sequence
    raise _bad(f"{part!r} is not a position of {' or '.join(streams)}")


def _bad(text: str) -> Rejected:
    return Rejected("bad_position", text, column="min_seq")
