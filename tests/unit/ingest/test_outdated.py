"""A process with older columns stores what newer ones can hold, and nothing else."""

from typing import Any

import pytest

from eventhub.columns import Column, Columns, Kind
from eventhub.errors import Unavailable
from eventhub.ingest.outdated import check_held
from eventhub.methods import Method

NEWER = Columns([Column("size", Kind.INTEGER), Column("must", nullable=False)])


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("PUT", {"size": "12", "gone": "kept in the event"}),
        ("PUT", {"size": None}),
        ("PUT", {}),
        ("DELETE", {}),
        ("POST", {"must": "x"}),
    ],
)
def test_what_the_newer_columns_hold_is_stored(method: Method, message: dict[str, Any]) -> None:
    check_held(message, method, NEWER)


@pytest.mark.parametrize(
    ("method", "message", "reason"),
    [
        ("PUT", {"size": "many"}, "size has another type"),
        ("POST", {"size": 1.5, "must": "x"}, "size has another type"),
        ("POST", {"size": 1}, "must must be given"),
    ],
)
def test_what_they_would_lose_is_refused_for_now(
    method: Method, message: dict[str, Any], reason: str
) -> None:
    with pytest.raises(Unavailable, match=reason):
        check_held(message, method, NEWER)
