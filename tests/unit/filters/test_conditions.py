"""Filters that mean the same are equal, and each of their conditions is required."""

import pytest

from eventhub.columns import Column, Columns, Kind
from eventhub.filters.conditions import Filter
from eventhub.filters.query import parse
from tests.filtering import matches, query


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("topic=a&topic=b&count>=1", "count>=1&topic=b&topic=a"),
        ("count>=1&count>=2", "count>=1"),
        ("score=-0.0", "score=0"),
        ("topic*=HELP", "topic*=help"),
        ("day>=2023", "day>=2023-01-01"),
        ("_limit=1&_sort=id&_c=id", ""),
    ],
)
def test_filters_that_mean_the_same_have_one_key(one: str, other: str) -> None:
    assert query(one).filter.key == query(other).filter.key
    assert len({query(one).filter.key, query(other).filter.key}) == 1


@pytest.mark.parametrize(
    "other", ["topic=b", "topic!=a", "id=a", "topic=a&topic=b", "topic~=a", ""]
)
def test_filters_that_differ_have_different_keys(other: str) -> None:
    assert query("topic=a").filter.key != query(other).filter.key


def test_equalities_are_what_an_index_can_use() -> None:
    wanted = query("topic=a&topic=b&done=1&count>=1&id!=x&user").filter.equalities
    assert wanted == {"topic": frozenset("ab"), "done": frozenset([True])}


def test_every_condition_is_required() -> None:
    assert matches("topic=a&count>=1&done=1", topic="a", count=2, done=True)
    assert not matches("topic=a&count>=1&done=1", topic="a", count=2, done=False)


def test_sql_holds_no_value_and_quotes_names() -> None:
    columns = Columns([Column('a"b'), Column("day", Kind.DATE)])
    where, parameters = parse({'a"b': ["x", "y'"], "day>": ["2023"]}, columns).filter.sql()
    assert where == '"a""b" IN (?, ?) AND "day" > CAST(? AS TIMESTAMP)'
    assert parameters == ["x", "y'", "2023-01-01"]
    assert Filter().sql() == ("TRUE", [])
