"""Past: which event a state of a table is after, as readers name it."""

from datetime import UTC, datetime, timedelta

from eventhub.delivery.start import moment_of
from eventhub.errors import Rejected
from eventhub.event import Position
from eventhub.stream import Bounds, EventStream

_MOMENT = timedelta(microseconds=1)
"""The precision of times: an event at the very instant counts."""
_DIGITS = 19
"""A sequence has fewer."""


async def sequence_as_of(
    text: str, stream: EventStream, bounds: Bounds, *, name: str = "_as_of"
) -> int:
    """Return the sequence of the last event that a past state includes.

    Args:
        text: a sequence, a position, or an ISO time, which is in UTC if it has no zone.
        stream: whose past it is.
        bounds: of the stream, now.
        name: of the argument, for errors.

    Raises:
        Rejected: `bad_position`: none of these, of another life of the log, not yet written, or no
            longer kept.
        Unavailable: the log cannot be read now.
    """
    try:
        return await _sequence(text, stream, bounds)
    except ValueError as error:
        raise Rejected("bad_position", f"{name}: {error}", column=name) from None


async def _sequence(text: str, stream: EventStream, bounds: Bounds) -> int:
    if (moment := moment_of(text)) is not None:
        if moment > datetime.now(UTC):
            raise ValueError(f"{text!r} is in the future")
        return _kept(await stream.sequence_before(moment + _MOMENT), bounds)
    if text.isascii() and text.isdigit() and len(text) < _DIGITS:
        return _kept(int(text), bounds)
    try:
        position = Position.parse(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is not a sequence, a position or an ISO time, such as 1200 or"
            " 2026-03-01T12:00:00Z"
        ) from None
    if position.epoch != stream.epoch:
        raise ValueError(f"{text!r} is a position of a log that no longer exists")
    return _kept(position.sequence, bounds)


def _kept(sequence: int, bounds: Bounds) -> int:
    """Return a sequence that the log has reached, and has not trimmed."""
    if sequence > bounds.last:
        raise ValueError(f"the log has no event {sequence}: its last one is {bounds.last}")
    if sequence < bounds.first - 1:
        raise ValueError(f"the log no longer has event {sequence}: its first one is {bounds.first}")
    return sequence
