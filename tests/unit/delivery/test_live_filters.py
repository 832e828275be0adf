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

CHANNEL = Channel("chat", Columns([Column("topic"), Column("votes", Kind.INTEGER)]))


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
        if number == 9000:
            return number
    raise AssertionError


@pytest.mark.parametrize(
    ("args", "most"),
    [
        ({"votes>": "N"}, 3200),
        ({"topic~": "N"}, 800),
        ({"topic*": "N"}, 400),
        ({"id!": "N"}, 3200),
        # A common equality does not get around the limit.
        ({"topic": "Help", "votes>": "N"}, 3200),
        ({"topic": "Help", "votes": "N"}, 3200),
        ({"topic": "Help", "user*": "N"}, 400),
    ],
)
def test_different_filters_of_one_client_are_limited(args: dict[str, str], most: int) -> None:
    filters = LiveFilters()
    with ExitStack() as held:
        assert 10 < accepted(filters, held, "one", **args) <= most
        held.enter_context(filters.hold(view(), "one"))
        assert accepted(filters, held, "other", **args) > 10
    with ExitStack() as held:
        assert accepted(filters, held, "one", **args) > 10


def test_filters_of_one_equality_and_equal_filters_are_not_limited() -> None:
    filters = LiveFilters()
    with ExitStack() as held:
        assert accepted(filters, held, "one", topic="N") == 9000
        assert accepted(filters, held, "one", **{"votes>": "5"}) == 9000


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
