"""Past: which event `_as_of` names, after which a reader wants to see the rows."""

from datetime import UTC, datetime, timedelta

from eventhub.delivery.live_channel import LiveChannel
from eventhub.delivery.start import moment_of
from eventhub.errors import Rejected
from eventhub.event import Position
from eventhub.stream import Bounds

_MOMENT = timedelta(microseconds=1)
"""The precision of times: an event at the very instant counts."""


async def sequence_as_of(text: str, channel: LiveChannel) -> int:
    """Return the sequence of the last event that a past state includes.

    Args:
        text: of `_as_of`: a sequence, a position, or an ISO time, which is in UTC if it has no
            zone.
        channel: whose past it is.

    Raises:
        Rejected: `bad_position`: none of these, of another life of the log, not yet written, or no
            longer kept.
        Unavailable: the log cannot be read now.
    """
    bounds = await channel.bounds.read()
    if (moment := moment_of(text)) is not None:
        if moment > datetime.now(UTC):
            raise _refusal(f"{text!r} is in the future")
        return _kept(await channel.stream.sequence_before(moment + _MOMENT), bounds)
    if text.isascii() and text.isdigit() and len(text) < _DIGITS:
        return _kept(int(text), bounds)
    try:
        position = Position.parse(text)
    except ValueError:
        raise _refusal(
            f"{text!r} is not a sequence, a position or an ISO time, such as 1200 or"
            " 2026-03-01T12:00:00Z"
        ) from None
    if position.epoch != channel.stream.epoch:
        raise _refusal(f"{text!r} is a position of a log that no longer exists")
    return _kept(position.sequence, bounds)


_DIGITS = 19
"""A sequence has fewer."""


def _kept(sequence: int, bounds: Bounds) -> int:
    """Return a sequence that the log has reached, and has not trimmed."""
    if sequence > bounds.last:
        raise _refusal(f"the log has no event {sequence}: its last one is {bounds.last}")
    if sequence < bounds.first - 1:
        raise _refusal(f"the log no longer has event {sequence}: its first one is {bounds.first}")
    return sequence


def _refusal(reason: str) -> Rejected:
    return Rejected("bad_position", f"_as_of: {reason}", column="_as_of")
