"""A playback keeps the distances between events, divided by its speed."""

from dataclasses import dataclass

import pytest

from eventhub.delivery import subscriber
from eventhub.delivery.playback import Playback
from eventhub.event import StoredEvent
from tests.builders import make_event


@dataclass
class Clock:
    """A clock that a test sets."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def at(second: float) -> StoredEvent:
    """Return an event that happened at a second of one minute."""
    return StoredEvent(1, make_event(time=f"2026-11-23T10:00:{second:09.6f}Z"))


@pytest.mark.parametrize(("speed", "seconds"), [(1.0, 20.0), (10.0, 2.0), (0.5, 40.0)])
def test_an_event_is_due_after_its_distance_from_the_first(speed: float, seconds: float) -> None:
    playback = Playback(speed, Clock())
    assert playback.delay(at(10)) == 0
    assert playback.delay(at(30)) == pytest.approx(seconds)


def test_time_that_has_passed_counts() -> None:
    """A client that was slow to take an event does not shift the ones that follow."""
    now = Clock()
    playback = Playback(2.0, now)
    playback.delay(at(0))
    now.now += 4.0
    assert playback.delay(at(10)) == pytest.approx(1.0)
    now.now += 3.0
    assert playback.delay(at(10)) == pytest.approx(-2.0)


def test_events_whose_clock_went_back_are_due_at_once() -> None:
    playback = Playback(1.0, Clock())
    playback.delay(at(10))
    assert playback.delay(at(5)) < 0


def test_a_playback_keeps_few_events_while_it_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand slow playbacks must not keep a thousand pieces of the log in memory."""
    monkeypatch.setattr(subscriber, "PLAYED_BYTES", 25)
    events = [StoredEvent(n, make_event(), b"x" * 10) for n in range(1, 6)]
    assert subscriber._first(events) == events[:2]
    assert subscriber._first([StoredEvent(1, make_event(), b"x" * 100)])
