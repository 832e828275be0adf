"""The metadata of a stream tells older columns from newer ones, and one life from another."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from eventhub.columns import Column, Columns, Digits, Kind
from eventhub.event import Position
from eventhub.jetstream import metadata
from eventhub.jetstream.metadata import COLUMNS, EPOCH, claimed, epoch_at, epoch_of, newer_than, own

TIMES = st.datetimes(min_value=datetime(2020, 1, 1), max_value=datetime(2100, 1, 1))  # noqa: DTZ001
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
OLD = Columns([Column("text")])
NEW = Columns([Column("text"), Column("price", Kind.DECIMAL, digits=Digits(9, 2), default=1)])


def info(**held: str | None) -> dict[str, Any]:
    """Return what the server says of a stream."""
    given = {key: value for key, value in held.items() if value is not None}
    keys = {"epoch": EPOCH, "columns": COLUMNS}
    own_keys = {keys[key]: value for key, value in given.items()}
    config = {"metadata": {"_nats.level": "2", **own_keys}}
    return {"created": "2026-11-30T07:16:00.123456789Z", "config": config}


def created(time: datetime, nanoseconds: int) -> str:
    return f"{time.replace(tzinfo=UTC):%Y-%m-%dT%H:%M:%S}.{nanoseconds:09d}Z"


@given(TIMES, TIMES, st.integers(0, 10**9 - 1), st.integers(0, 10**9 - 1))
def test_epochs_are_equal_only_for_equal_times(
    one: datetime, other: datetime, nanoseconds: int, others: int
) -> None:
    first, second = created(one, nanoseconds), created(other, others)
    assert (epoch_at(first) == epoch_at(second)) == (first == second)


@given(TIMES, st.integers(0, 10**9 - 1), st.integers(0, 10**12))
def test_an_epoch_makes_positions_that_can_be_read_again(
    time: datetime, nanoseconds: int, sequence: int
) -> None:
    position = Position(epoch_at(created(time, nanoseconds)), sequence)
    assert Position.parse(str(position)) == position


def test_an_epoch_is_the_time_of_the_stream_unless_one_was_written_down() -> None:
    assert int(epoch_of(info()), 36) == 20261130071600123456789
    assert epoch_of(info(epoch="abc1")) == "abc1"
    assert own(info(epoch="abc1")) == {EPOCH: "abc1"}
    assert own({"config": {}}) == {}


def test_the_columns_of_a_process_that_starts_are_the_newest() -> None:
    first = claimed(OLD, info(), NOW)
    assert first is not None
    assert claimed(OLD, info(columns=first), NOW) is None
    assert newer_than(OLD, info(columns=first)) is None
    assert newer_than(OLD, info()) is None
    second = claimed(NEW, info(columns=first), NOW)
    assert second is not None
    newest = newer_than(OLD, info(columns=second))
    assert newest is not None
    assert newest.signature == NEW.signature
    assert newest.all == NEW.all


def test_an_older_process_that_starts_again_soon_is_still_an_older_one() -> None:
    held = claimed(NEW, info(columns=claimed(OLD, info(), NOW)), NOW)
    soon = NOW + metadata.UPGRADE - timedelta(seconds=1)
    assert claimed(OLD, info(columns=held), soon) is None
    back = claimed(OLD, info(columns=held), NOW + metadata.UPGRADE)
    assert back is not None
    assert newer_than(NEW, info(columns=back)) is not None
    assert claimed(NEW, info(columns=back), NOW + metadata.UPGRADE) is None


def test_what_another_version_wrote_down_is_not_understood_and_replaced() -> None:
    strange = info(columns='{"columns": 7}')
    assert newer_than(OLD, strange) is None
    assert claimed(OLD, strange, NOW) == claimed(OLD, info(), NOW)
