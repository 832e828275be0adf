"""Builders for tests of filters: a table, and what query strings mean for it."""

from typing import Any

import pytest

from eventhub.columns import Column, Columns, Kind
from eventhub.errors import Rejected
from eventhub.filters.arguments import parse_query_string
from eventhub.filters.query import Query, parse

COLUMNS = Columns(
    [
        Column("topic"),
        Column("topic!"),
        Column("count", Kind.INTEGER),
        Column("score", Kind.REAL),
        Column("done", Kind.BOOLEAN),
        Column("day", Kind.DATE),
        Column("moment", Kind.TIMESTAMP),
        Column("data", Kind.JSON),
    ]
)


def query(raw: str) -> Query:
    """Return what a query string means."""
    return parse(parse_query_string(raw), COLUMNS)


def matches(raw: str, **row: Any) -> bool:
    """Return whether a row matches the filter of a query string."""
    return query(raw).filter.matches(row)


def refused(raw: str) -> Rejected:
    """Return the error of a query string, which must be `bad_filter`."""
    with pytest.raises(Rejected) as caught:
        query(raw)
    assert caught.value.code == "bad_filter"
    return caught.value
