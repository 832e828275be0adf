"""What a client's filters cost for each message is bounded, whatever filters it sends."""

from contextlib import ExitStack
from itertools import count

import pytest

from eventhub.channel import Channel
from eventhub.columns import Column, Columns, Kind
from eventhub.delivery import live_filters as module
from eventhub.delivery.frames import Form
from eventhub.delivery.live_filters import LiveFilters
from eventhub.delivery.view import View
from eventhub.errors import Unavailable
from eventhub.filters.query import parse

MANY = 900
"""More than are accepted of filters that cost anything."""
CHANNEL = Channel("chat", Columns([Column("topic"), Column("votes", Kind.INTEGER)]))


@pytest.fixture(autouse=True)
def _tenth(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bound filters to a tenth of what they may cost, so that few reach it."""
    monkeypatch.setattr(module, "CLIENT_UNITS", module.CLIENT_UNITS // 10)
    monkeypatch.setattr(module, "ALL_UNITS", module.ALL_UNITS // 10)


def view(**args: list[str]) -> View:
    return View(Form.BARE, parse(args, CHANNEL.columns), history=False, epoch="e")


def accepted(filters: LiveFilters, held: ExitStack, client: str, **args: str) -> int:
    """Hold different filters, with a number for each `N`; return how many were accepted."""
    for number in count():
        values = {key: [value.replace("N", str(number))] for key, value in args.items()}
        try:
            held.enter_context(filters.hold(view(**values), client))
        except Unavailable as error:
            return number if error.code == "too_many_reads" else -1
        if number == MANY:
            return number
    raise AssertionError


@pytest.mark.parametrize(
    ("args", "most"),
    [
        ({"votes>": "N"}, 320),
        ({"topic~": "N"}, 80),
        ({"topic*": "N"}, 40),
        ({"id!": "N"}, 320),
        # A common equality does not get around the limit.
        ({"topic": "Help", "votes>": "N"}, 320),
        ({"topic": "Help", "votes": "N"}, 320),
        ({"topic": "Help", "user*": "N"}, 40),
    ],
)
def test_different_filters_of_one_client_are_limited(args: dict[str, str], most: int) -> None:
    filters = LiveFilters()
    with ExitStack() as held:
        assert 5 < accepted(filters, held, "one", **args) <= most
        held.enter_context(filters.hold(view(), "one"))
        assert accepted(filters, held, "other", **args) > 5
    with ExitStack() as held:
        assert accepted(filters, held, "one", **args) > 5


def test_filters_of_one_equality_and_equal_filters_are_not_limited() -> None:
    filters = LiveFilters()
    with ExitStack() as held:
        assert accepted(filters, held, "one", topic="N") == MANY
        assert accepted(filters, held, "one", **{"votes>": "5"}) == MANY


def test_all_clients_together_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ALL_UNITS", 2 * module.CLIENT_UNITS)
    filters = LiveFilters()
    with ExitStack() as held:
        first = accepted(filters, held, "one", **{"votes>": "N"})
        # Equal filters of other clients cost nothing more.
        assert accepted(filters, held, "two", **{"votes>": "N"}) == first
        second = accepted(filters, held, "two", **{"votes<": "N"})
        assert second == 0
        assert accepted(filters, held, "three", **{"votes<": "N"}) == first
        assert accepted(filters, held, "four", **{"id!": "N"}) < first // 10
