"""An export is of the events and rows that its conditions and its times select."""

from datetime import datetime
from typing import Any

import pytest

from eventhub.errors import Rejected
from projections import selection as module
from projections.columnar import EventsAsArrow
from projections.manifest import Scope
from projections.selection import Selection, conditions
from tests.builders import channel
from tests.projecting import Change, history

CHANGES: list[Change] = [
    ("POST", "a", {"text": "x", "votes": 5}),
    ("POST", "b", {"text": "y", "votes": 1}),
    ("PUT", "a", {"votes": 0}),
    ("DELETE", "b", {}),
]
EVENTS = history(channel(), CHANGES)  # a microsecond apart


def selection(**scope: Any) -> Selection:
    return Selection.of(Scope(table="chat", what="events", format="csv", **scope), channel())


@pytest.mark.parametrize("piece", [1, 3, 2000])
@pytest.mark.parametrize(
    ("scope", "found"),
    [
        ({}, [1, 2, 3, 4]),
        ({"where": "votes>~=5"}, [1, 3]),  # the row before or after matches
        ({"where": "text=y"}, [2, 4]),
        ({"where": "text=x&votes=0"}, [3]),
        ({"where": "text=nothing"}, []),
        ({"since": "2026-11-23T10:00:00.000002Z"}, [2, 3, 4]),
        ({"until": "2026-11-23T10:00:00.000003Z"}, [1, 2]),  # which is itself left out
        ({"since": "2026-11-23", "until": "2026-11-24"}, [1, 2, 3, 4]),
        ({"since": "2026-11-23T11:00:00.000003+01:00", "where": "votes=1"}, [4]),
    ],
)
def test_events_are_selected_whatever_the_pieces_are(
    monkeypatch: pytest.MonkeyPatch, piece: int, scope: dict[str, str], found: list[int]
) -> None:
    monkeypatch.setattr(module, "PIECE_EVENTS", piece)
    with EventsAsArrow(channel()) as convert:
        table = selection(**scope).table(convert, EVENTS)
    assert table["_seq"].to_pylist() == found


def test_a_time_without_a_zone_is_in_utc() -> None:
    assert selection(since="2026-11-23").since == datetime(2026, 11, 23)  # noqa: DTZ001 - as it is kept


@pytest.mark.parametrize(
    ("scope", "code", "says"),
    [
        ({"where": "vote=3"}, "bad_filter", "did you mean votes"),
        ({"where": "votes=many"}, "bad_filter", "many"),
        ({"where": "text=a&_limit=3"}, "bad_filter", "--where has conditions only, not _limit"),
        ({"since": "yesterday"}, "bad_request", "--since: 'yesterday' is no time"),
        ({"until": "2026-13-01"}, "bad_request", "--until: '2026-13-01' is no time"),
    ],
)
def test_what_cannot_be_understood_is_refused_by_name(
    scope: dict[str, str], code: str, says: str
) -> None:
    with pytest.raises(Rejected, match=says) as refusal:
        selection(**scope)
    assert refusal.value.code == code


def test_conditions_are_those_of_a_url() -> None:
    matches = conditions("votes>~=3&text=x", channel()).matches
    row = {"id": "a", "user": None, "timestamp": None}
    assert matches({**row, "text": "x", "votes": 3})
    assert not matches({**row, "text": "y", "votes": 3})
