"""The same text, as the value of a message and of a filter."""

from typing import Any

from hypothesis import strategies as st

from eventhub.columns import Column, Digits, Kind
from eventhub.columns.operands import equality_operand
from eventhub.errors import Rejected

NUMBERS = [Kind.INTEGER, Kind.REAL, Kind.DECIMAL]
TIMES = [Kind.TIMESTAMP, Kind.TIMESTAMPTZ]

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
SPELLED = (
    st.integers().map(str) | st.floats().map(str) | st.datetimes().map(str) | st.dates().map(str)
)
VALUES = JSON | SPELLED
"""What a client may send for a column."""


def column(kind: Kind, digits: Digits | None = None) -> Column:
    return Column("c", kind, digits=digits)


def stored(kind: Kind, value: Any, digits: Digits | None = None) -> Any:
    """Return a value of a message as a column stores it."""
    return column(kind, digits).convert(value)


def is_refused(kind: Kind, text: str) -> bool:
    """Tell whether both a message and a filter refuse a text; if only one does, that is a bug."""
    refusals = []
    for read in (column(kind).convert, lambda text: equality_operand(column(kind), text)):
        try:
            read(text)
        except Rejected as error:
            refusals.append(error.code)
    assert refusals in ([], ["bad_value", "bad_filter"]), (text, refusals)
    return bool(refusals)
