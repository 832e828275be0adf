"""What a rule decides: words and expressions; one that fails or must be awaited grants nothing."""

from pathlib import Path

import pytest

from eventhub.columns import Column, Columns, Kind
from eventhub.errors import Misconfigured
from eventhub.handler import Handler, User
from eventhub.identity.decisions import Decisions, filter_of

COLUMNS = Columns([Column("team"), Column("price", Kind.DECIMAL)])
ANN = Handler(session={}, current_user=User({"id": "ann"}))


@pytest.fixture
def decisions() -> Decisions:
    return Decisions("chat", COLUMNS, Path())


def test_words_decide_without_looking(decisions: Decisions) -> None:
    for word, answer in (("any", True), ("none", False)):
        assert decisions.of_clients(word)(ANN) is answer
        assert decisions.of_writes(word)(ANN)(None, None, {}) is answer


def test_expressions_see_decimals_as_numbers(decisions: Decisions) -> None:
    decide = decisions.of_writes("row['price'] + 1 < 3")(ANN)
    assert decide(None, {"price": "1.50"}, {})
    assert not decide(None, {"price": "2.50"}, {})


def test_an_expression_that_names_old_is_asked_once(decisions: Decisions) -> None:
    decide = decisions.of_writes("old is None or row['team'] == old['team']")(ANN)
    assert decide({"team": "red"}, {"team": "red"}, {})
    assert not decide({"team": "red"}, {"team": "blue"}, {})


@pytest.mark.filterwarnings("error")
def test_an_awaitable_grants_nothing(decisions: Decisions) -> None:
    """It is true, whatever its result would be."""
    assert not decisions.of_clients("asyncio.sleep(0, handler)")(ANN)
    assert not decisions.of_writes("asyncio.sleep(0, row)")(ANN)(None, {"team": "red"}, {})
    with pytest.raises(Misconfigured, match="cannot await"):
        decisions.of_clients("await handler.current_user")


def test_a_filter_is_of_the_user() -> None:
    rows = filter_of("team=$user.id", COLUMNS)
    assert rows(ANN.current_user).matches({"team": "ann"})
    assert not rows(None).matches({"team": "ann"})
