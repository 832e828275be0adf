"""Positions: the writes that a query waits for, as a client names them."""

from collections.abc import Mapping
from urllib.parse import unquote

from eventhub.errors import Rejected
from eventhub.event import Position
from eventhub.stream import EventStream


async def needed(text: str, streams: Mapping[str, EventStream]) -> dict[str, int]:
    """Return the sequences that tables must have seen, by table.

    Args:
        text: `TABLE=5`, `TABLE=EPOCH.5` or `EPOCH.5`, with commas between; `5` of the only table.
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
    given, _, text = part.rpartition("=")
    name = unquote(given)
    if given and name not in streams:
        raise _bad(f"there is no table {name!r}, but {', '.join(streams)}")
    if text.isascii() and text.isdigit() and len(text) < 19:
        if not given and len(streams) > 1:
            raise _bad(f"{text} may be of any of {', '.join(streams)}: write TABLE={text}")
        return name or next(iter(streams)), int(text)
    try:
        position = Position.parse(text)
    except ValueError:
        raise _bad(f"{part!r} is not a position") from None
    for table, stream in streams.items():
        if stream.epoch == position.epoch and (not given or table == name):
            return table, position.sequence
    raise _bad(f"{part!r} is not a position of {' or '.join(streams)}")


def _bad(text: str) -> Rejected:
    return Rejected("bad_position", text, column="min_seq")
