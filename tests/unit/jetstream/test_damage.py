"""Each event that was lost is reported once, in runs, and an erased one is told from a gap."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from eventhub.event import StoredEvent, encode
from eventhub.jetstream.damage import read_or_report, report_lost, runs
from eventhub.jetstream.parser import Message
from eventhub.metrics import DAMAGED
from tests.builders import channel, make_event


def damaged() -> float:
    return float(DAMAGED.labels("chat")._value.get())


@given(st.sets(st.integers(1, 60)))
def test_runs_hold_each_sequence_once_and_do_not_touch(sequences: set[int]) -> None:
    found = list(runs(sorted(sequences)))
    assert [each for run in found for each in run] == sorted(sequences)
    assert all(left.stop < right.start for left, right in pairwise(found))


@pytest.mark.parametrize(
    ("lost", "deleted", "expected"),
    [
        ([], set(), []),
        ([3], {3}, [("event_erased", 3, 3)]),
        ([3], set(), [("stream_gap", 3, 3)]),
        ([3, 4], {3, 4}, [("stream_gap", 3, 4)]),
        ([3, 7, 8], {3}, [("event_erased", 3, 3), ("stream_gap", 7, 8)]),
    ],
)
def test_only_a_single_deleted_event_counts_as_erased(
    lost: list[int], deleted: set[int], expected: list[tuple[str, int, int]]
) -> None:
    before = damaged()
    with capture_logs() as logs:
        report_lost(channel(), lost, deleted)
    assert [(line["event"], line["first"], line["last"]) for line in logs] == expected
    assert damaged() - before == len(lost)


def test_a_damaged_event_is_reported_with_its_sequence_and_left_out() -> None:
    payload = encode(make_event())
    before = damaged()
    with capture_logs() as logs:
        for data in (payload, payload.replace(b"hello", b"hallo")):
            message = Message(b"eh.chat.r1", b"", None, data)
            found = read_or_report(StoredEvent.read, message, 7, channel())
            assert (found is None) == (data != payload)
    assert [(line["event"], line["sequence"]) for line in logs] == [("event_damaged", 7)]
    assert damaged() - before == 1
