"""A manifest lists segments in order, and finds the one for a sequence or an instant."""

from datetime import UTC, datetime

import msgspec
import pytest

from eventhub.errors import Damaged
from eventhub.segments import Manifest, Segment, nanoseconds_of, read_manifest


def segment(first: int, last: int, newest: int = 0) -> Segment:
    return Segment(
        name=f"s{first}",
        first=first,
        last=last,
        events=last - first + 1,
        bytes=10,
        sha256="",
        newest=newest,
    )


MANIFEST = Manifest(
    epoch="e", segments=(segment(1, 10, 100), segment(11, 11, 100), segment(12, 30, 300))
)


@pytest.mark.parametrize(("sequence", "first"), [(1, 1), (10, 1), (11, 11), (12, 12), (30, 12)])
def test_finds_the_segment_of_a_sequence(sequence: int, first: int) -> None:
    assert MANIFEST.holding(sequence).first == first


@pytest.mark.parametrize(("instant", "first"), [(0, 1), (100, 1), (101, 12), (300, 12)])
def test_finds_the_first_segment_that_ends_at_an_instant_or_later(instant: int, first: int) -> None:
    assert MANIFEST.newer_than(instant).first == first


def test_an_empty_manifest_ends_before_the_first_event() -> None:
    empty = Manifest()
    assert (empty.first, empty.last, empty.newest) == (1, 0, 0)


def test_a_segment_continues_where_the_last_one_ends() -> None:
    more = MANIFEST.with_segment(segment(31, 40)).trimmed_to(30)
    assert (more.first, more.last, more.trimmed) == (1, 40, 30)
    with pytest.raises(AssertionError):
        more.with_segment(segment(42, 50))


def test_is_read_as_it_was_written() -> None:
    assert read_manifest(msgspec.json.encode(MANIFEST), "EH_chat") == MANIFEST


@pytest.mark.parametrize("data", [b"", b"[]", b'{"segments": 1}', b'{"format": 2}'])
def test_what_is_no_manifest_of_this_version_is_refused(data: bytes) -> None:
    with pytest.raises(Damaged, match="EH_chat"):
        read_manifest(data, "EH_chat")


def test_nanoseconds_keep_each_microsecond() -> None:
    moment = datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC)
    assert nanoseconds_of(moment) == 1_767_225_600_000_001_000
