"""A filter is refused if it has too many parts, and weighs what it costs for each message."""

import pytest

from eventhub.errors import Rejected
from eventhub.filters.query import parse
from eventhub.filters.weight import (
    MAX_CONDITIONS,
    MAX_MATCHES,
    MAX_VALUES,
    check_filter,
    live_weight,
)
from tests.filtering import COLUMNS, query


@pytest.mark.parametrize(
    ("key", "most"), [("topic*", MAX_MATCHES), ("topic!~", MAX_MATCHES), ("id", MAX_VALUES)]
)
def test_a_filter_with_too_many_values_is_refused(key: str, most: int) -> None:
    texts = [f"x{number}" for number in range(most + 1)]
    check_filter(parse({key: texts[1:]}, COLUMNS).filter)
    with pytest.raises(Rejected) as caught:
        check_filter(parse({key: texts}, COLUMNS).filter)
    assert caught.value.code == "too_costly"


def test_a_filter_with_too_many_conditions_is_refused() -> None:
    args = {f"data.k{number}": ["x"] for number in range(MAX_CONDITIONS + 1)}
    with pytest.raises(Rejected, match=f"{MAX_CONDITIONS + 1} conditions") as caught:
        check_filter(parse(args, COLUMNS).filter)
    assert caught.value.code == "too_costly"
    args.popitem()
    check_filter(parse(args, COLUMNS).filter)


@pytest.mark.parametrize(
    "raw", ["", "topic=a", "topic=a&topic=b", "data.org=x", "_limit=3&_sort=id"]
)
def test_a_filter_that_the_groups_are_found_by_weighs_nothing(raw: str) -> None:
    assert live_weight(query(raw)) == 0


@pytest.mark.parametrize(
    ("lighter", "heavier"),
    [
        ("topic=a", "topic=a&count>=1"),
        ("count>=1", "count>=1&count<=5"),
        ("count>=1", "topic~=a"),
        ("topic~=a", "topic*=a"),
        ("topic~=a", "topic~=a&topic~=b"),
        ("count>=1", "count>=1&_c=id"),
        ("topic=a", "topic=a&count=1"),
    ],
)
def test_a_filter_weighs_more_with_every_part(lighter: str, heavier: str) -> None:
    assert live_weight(query(lighter)) < live_weight(query(heavier))
