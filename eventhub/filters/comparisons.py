"""Comparisons: what a key of a URL and its values mean as conditions on a column."""

from collections.abc import Iterable
from typing import Any

from eventhub.columns import BUILT_IN, Columns, Kind
from eventhub.columns.canonical import canonical
from eventhub.columns.operands import equality_operand, match_operand, order_operand
from eventhub.errors import Rejected
from eventhub.filters.arguments import Stranger, Test, meaning_of, shown
from eventhub.filters.conditions import EQUALITY, FOLDED, MATCH, ORDER, Condition, Operator
from eventhub.filters.inside import InsideCondition

OPERATORS: dict[Kind, tuple[Operator, ...]] = {
    Kind.TEXT: (*EQUALITY, *ORDER, *MATCH),
    Kind.INTEGER: (*EQUALITY, *ORDER),
    Kind.REAL: (*EQUALITY, *ORDER),
    Kind.DECIMAL: (*EQUALITY, *ORDER),
    Kind.BOOLEAN: EQUALITY,
    Kind.DATE: (*EQUALITY, *ORDER),
    Kind.TIMESTAMP: (*EQUALITY, *ORDER),
    Kind.TIMESTAMPTZ: (*EQUALITY, *ORDER),
    Kind.JSON: (),
}


def conditions_of(test: Test, texts: list[str]) -> list[Condition]:
    """Return the condition of one argument, or none if it lacks a value that it needs."""
    operator = test.operator
    if not texts:
        bare = {Operator.EQUAL: Operator.PRESENT, Operator.DIFFERENT: Operator.ABSENT}.get(operator)
        return [_condition(test, bare)] if bare else []
    _check_operator(test)
    values = [_asked(test, text) for text in texts]
    numbers = [value for value in values if value == value]  # NaN is not itself
    if operator is Operator.DIFFERENT and not numbers:
        return [_condition(test, Operator.PRESENT)]
    return [_condition(test, operator, numbers)]


def test_of(key: str, columns: Columns) -> Test:
    """Return the test that a key means.

    Raises:
        Rejected: `bad_filter`: it does not name a column, or the column lacks its operator.
    """
    match meaning_of(key, columns):
        case Test() as test:
            _check_operator(test)
            return test
        case Stranger() as stranger:
            raise stranger.refusal()
        case control:
            raise Rejected("bad_filter", f"{shown(control.name)} is not a column", column=key)


def exact_condition(key: str, values: Iterable[str], columns: Columns) -> Condition:
    """Return the condition of an argument whose values are compared unchanged.

    Raises:
        Rejected: `bad_filter`: the key does not name a column, or the column lacks its operator; or
            a value is blank, NaN, or not a value of its column, and would be left out.
    """
    test = test_of(key, columns)
    column, operator = test.column, test.operator
    converted = []
    for text in values:
        value = _asked(test, text, exact=True)
        if not text.strip() or value != value:
            raise Rejected("bad_filter", f"{key}: {str(text)!r} is not a value", column=column.name)
        converted.append(value)
    return _condition(test, operator, converted, exact=True)


def _is_exact(test: Test) -> bool:
    """Return whether a column has keys and not words: two users may differ in their spelling."""
    return test.column.name in BUILT_IN


def _condition(
    test: Test, operator: Operator, values: Iterable[Any] = (), *, exact: bool = False
) -> Condition:
    column = test.column
    if test.path:
        given = frozenset(values)
        return InsideCondition(column.name, column.kind, operator, given, exact, test.path)
    given = _reduced(operator, list(values))
    return Condition(column.name, column.kind, operator, given, exact or _is_exact(test))


def _asked(test: Test, text: str, *, exact: bool = False) -> Any:
    column, operator = test.column, test.operator
    is_text = test.path or column.kind is Kind.TEXT
    if is_text and operator not in ORDER and not (exact or _is_exact(test)):
        text = canonical(text)
    if test.path:
        return match_operand(column, text, folded=operator in FOLDED)
    if column.kind is not Kind.TEXT:
        text = text.strip()
    if operator in MATCH:
        return match_operand(column, text, folded=operator in FOLDED)
    if operator in ORDER:
        return order_operand(column, text, up=operator in (Operator.AT_LEAST, Operator.BELOW))
    return equality_operand(column, text)


def _reduced(operator: Operator, values: list[Any]) -> frozenset[Any]:
    if operator in (Operator.ABOVE, Operator.AT_LEAST):
        return frozenset(sorted(values)[:1])
    if operator in (Operator.BELOW, Operator.AT_MOST):
        return frozenset(sorted(values)[-1:])
    return frozenset(values)


def _check_operator(test: Test) -> None:
    column, operator = test.column, test.operator
    allowed = OPERATORS[column.kind]
    if operator in allowed or test.path:
        return
    name, kind = column.name, column.kind.name.lower()
    usable = " ".join(f"{name}{known}=" for known in allowed) or "only"
    message = (
        f"{name}{operator}= does not work on a column of {kind}: use {usable} {name} or {name}!"
    )
    if column.kind is Kind.JSON:
        message += f", or {name}.key{operator}= for a value in it"
    raise Rejected("bad_filter", message, column=name)
