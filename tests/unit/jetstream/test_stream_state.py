"""An epoch is made of the time when its stream was made, and of nothing else."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from eventhub.event import Position
from eventhub.jetstream.stream_state import epoch_of

TIMES = st.datetimes(min_value=datetime(2020, 1, 1), max_value=datetime(2100, 1, 1))  # noqa: DTZ001


def created(time: datetime, nanoseconds: int) -> str:
    return f"{time.replace(tzinfo=UTC):%Y-%m-%dT%H:%M:%S}.{nanoseconds:09d}Z"


@given(TIMES, TIMES, st.integers(0, 10**9 - 1), st.integers(0, 10**9 - 1))
def test_epochs_are_equal_only_for_equal_times(
    one: datetime, other: datetime, nanoseconds: int, others: int
) -> None:
    first, second = created(one, nanoseconds), created(other, others)
    assert (epoch_of(first) == epoch_of(second)) == (first == second)


@given(TIMES, st.integers(0, 10**9 - 1), st.integers(0, 10**12))
def test_an_epoch_makes_positions_that_can_be_read_again(
    time: datetime, nanoseconds: int, sequence: int
) -> None:
    position = Position(epoch_of(created(time, nanoseconds)), sequence)
    assert Position.parse(str(position)) == position


def test_an_epoch_is_its_digits_in_base_36() -> None:
    assert int(epoch_of("2026-11-30T07:16:00.123456789Z"), 36) == 20261130071600123456789
