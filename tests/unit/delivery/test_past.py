"""A past state is named by a sequence, a position or a time, and only one that the log has."""

from datetime import timedelta

import pytest

from eventhub.delivery.past import sequence_as_of
from eventhub.errors import Rejected
from eventhub.memory import MemoryStream
from eventhub.stream import Bounds
from tests.builders import channel
from tests.subscribing import append


@pytest.fixture
async def stream() -> MemoryStream:
    """Three events."""
    stream = MemoryStream(channel())
    for row_id in "abc":
        await append(stream, id=row_id)
    return stream


async def asked(stream: MemoryStream, text: str, first: int = 1) -> int:
    return await sequence_as_of(text, stream, Bounds(first, stream.length))


@pytest.mark.parametrize("sequence", [0, 1, 3])
async def test_a_sequence_and_a_position_of_this_log_name_it(
    stream: MemoryStream, sequence: int
) -> None:
    assert await asked(stream, str(sequence)) == sequence
    assert await asked(stream, f"{stream.epoch}.{sequence}") == sequence


@pytest.mark.parametrize("form", ["%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%dT%H:%M:%S.%fZ"])
async def test_a_time_names_the_last_event_up_to_it(stream: MemoryStream, form: str) -> None:
    stored_at = stream._times[1]
    assert await asked(stream, stored_at.strftime(form)) == 2  # the event at the instant counts
    before = stored_at - timedelta(hours=1)
    assert await asked(stream, before.strftime(form)) == 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("4", "the log has no event 4: its last one is 3"),
        ("nonsense", "not a sequence, a position or an ISO time"),
        ("9" * 19, "not a sequence"),
        ("\u0663", "not a sequence"),
        ("-1", "not a sequence"),
        ("other.1", "a position of a log that no longer exists"),
        ("2999-01-01T00:00:00Z", "is in the future"),
    ],
)
async def test_what_is_no_past_state_is_refused_by_the_name_of_the_argument(
    stream: MemoryStream, text: str, says: str
) -> None:
    with pytest.raises(Rejected, match=f"_as_of: .*{says}") as refusal:
        await asked(stream, text)
    assert (refusal.value.code, refusal.value.column) == ("bad_position", "_as_of")


async def test_a_state_whose_events_were_trimmed_is_refused(stream: MemoryStream) -> None:
    """The state before the oldest event that is kept is known, older ones are not."""
    assert await asked(stream, "2", first=3) == 2
    with pytest.raises(Rejected, match="no longer has event 1: its first one is 3"):
        await asked(stream, "1", first=3)
