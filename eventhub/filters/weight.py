"""Weight: what a filter costs, known before it is applied.

A live filter is applied to every message, unless an equality selects the messages that concern it.
One unit is about a quarter of a microsecond.
"""

from eventhub.errors import Rejected
from eventhub.filters.conditions import FOLDED, MATCH, Condition, Filter, Operator
from eventhub.filters.query import Query

MAX_CONDITIONS = 64
MAX_MATCHES = 50
"""Texts to search for in one filter."""
MAX_VALUES = 5000
"""Other values in one filter."""
_GROUP, _MATCH, _PICK = 2, 10, 10


def check_filter(asked: Filter) -> None:
    """Refuse a filter with so many parts that even planning it would be expensive.

    Raises:
        Rejected: `too_costly`.
    """
    conditions = len(asked.conditions)
    matches = sum(len(c.values) for c in asked.conditions if c.operator in MATCH)
    values = sum(len(c.values) for c in asked.conditions) - matches
    for count, most, what in (
        (conditions, MAX_CONDITIONS, "conditions"),
        (matches, MAX_MATCHES, "texts to search for with ~ or *"),
        (values, MAX_VALUES, "values"),
    ):
        if count > most:
            raise Rejected(
                "too_costly", f"the filter has {count} {what}; at most {most} are allowed"
            )


def live_weight(query: Query) -> int:
    """Return what a filter costs for each message, in units; 0 if finding its group is all."""
    conditions = list(query.filter.conditions)
    if index := next((c for c in conditions if c.operator is Operator.EQUAL), None):
        conditions.remove(index)  # the groups of an event are looked up by it
    weight = sum(map(_weight_of, conditions)) + (_PICK if query.picked or query.hidden else 0)
    return weight + _GROUP if weight else 0


def _weight_of(condition: Condition) -> int:
    if condition.operator not in MATCH:
        return 1
    return _MATCH * (len(condition.values) + (condition.operator in FOLDED))
