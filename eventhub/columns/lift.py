"""Lift: a value of an older column type as the current type stores it.

A cast is allowed if it is lossless: cast back, the value is the same number, instant, truth value
or text. `2.0` is the INTEGER 2, a date is the TIMESTAMP of its midnight, and any value is the TEXT
of its JSON. Text stands for the value that it spells, by the grammar of messages. A value that
would have to be rounded or guessed is refused. One cast does lose something, because that is its
purpose: a time as a DATE is the date of its day.
"""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from eventhub.columns import numbers, times, values
from eventhub.columns.kinds import Digits, Kind


def cast(value: Any, kind: Kind, digits: Digits | None) -> Any:
    """Return a stored value that is not NULL as a kind stores it.

    Raises:
        ValueError, TypeError, OverflowError: the cast is not lossless.
    """
    if digits is not None:
        return values.decimal(int(value) if isinstance(value, bool) else value, digits)
    return _CASTS[kind](value)


def _text(value: Any) -> str:
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return values.text(value)


def _integer(value: Any) -> int:
    number = _number(value)
    if number.adjusted() > values.MAX_ADJUSTED or number != number.to_integral_value():
        raise ValueError
    return values.integer(int(number))


def _real(value: Any) -> float:
    number = _number(value)
    found = values.real(float(number))
    if Decimal(repr(found)) != number:
        raise values.UnfitError("more digits than a float holds")
    return found


def _number(value: Any) -> Decimal:
    """Return the number that a value is, or that its text spells."""
    if isinstance(value, str):
        return numbers.exact(value)
    if not isinstance(value, int | float):
        raise TypeError
    return Decimal(int(value)) if isinstance(value, bool) else Decimal(str(value))


def _boolean(value: Any) -> bool:
    found = values.boolean(value)
    if not isinstance(value, bool) and _is_number(value) and _number(value) != int(found):
        raise ValueError  # cast back, 2 would be 1
    return found


def _is_number(value: Any) -> bool:
    try:
        return _number(value).is_finite()
    except (ValueError, TypeError):
        return False


def _day(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return times.moment(value).date().isoformat()


_CASTS: dict[Kind, Callable[[Any], Any]] = {
    Kind.TEXT: _text,
    Kind.INTEGER: _integer,
    Kind.REAL: _real,
    Kind.BOOLEAN: _boolean,
    Kind.DATE: _day,
    Kind.TIMESTAMP: values.timestamp,
    Kind.TIMESTAMPTZ: values.instant,
    Kind.JSON: values.document,
}
