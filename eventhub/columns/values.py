"""Values: a client's JSON value as a column stores it.

In Python a value is `None`, `str`, `int`, `float` or `bool`. Dates and times are canonical ISO
text, which sorts as they do but for the `Z` of a TIMESTAMPTZ; a DECIMAL is the text of its digits,
with as many after the point as its column has; a JSON column holds any JSON value.
"""

import json
import math
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from eventhub.columns import numbers, times, words
from eventhub.columns.kinds import Digits, Kind
from eventhub.columns.numbers import INT64

EXACT_FLOAT = 2**53
"""Up to here a float is the whole number that was written."""


MAX_ADJUSTED = 20
"""Digits before the point, less one, beyond which no number has 64 bits."""


class UnfitError(ValueError):
    """A value of the right sort that cannot be stored; the text says why."""


def text(value: Any) -> str:
    """Return text; of a number or a truth value how JSON writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and not math.isfinite(value):
        raise UnfitError("not finite")
    if not isinstance(value, str | int | float | Decimal):
        raise TypeError
    found = str(value)
    if not found.isascii():
        check_unicode(found)
    return found


def check_unicode(found: str) -> None:
    """Half a UTF-16 pair can be written in JSON, but is no text: UTF-8 cannot hold it."""
    try:
        found.encode()
    except UnicodeEncodeError:
        raise UnfitError("half a surrogate pair") from None


def integer(value: Any) -> int:
    """Return a whole number of 64 bits."""
    if isinstance(value, str):
        number = numbers.whole(value)
    elif isinstance(value, float):
        if not value.is_integer():
            raise ValueError
        if abs(value) > EXACT_FLOAT:
            raise UnfitError("so large a number has neither point nor exponent")
        number = int(value)
    elif isinstance(value, int) or (isinstance(value, Decimal) and value.adjusted() < MAX_ADJUSTED):
        number = int(value)
        if number != value:
            raise ValueError
    else:
        raise TypeError
    if number not in INT64:
        raise UnfitError("out of range")
    return number


def real(value: Any) -> float:
    """Return a finite number."""
    if not isinstance(value, str | int | float | Decimal):
        raise TypeError
    number = numbers.real(value) if isinstance(value, str) else float(value)
    if not math.isfinite(number):
        raise UnfitError("not finite")
    return number


def decimal(value: Any, digits: Digits) -> str:
    """Return the text of a number that fits as it is: nothing is rounded."""
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise TypeError
    number = numbers.exact(value) if isinstance(value, str) else Decimal(str(value))
    if not number.is_finite():
        raise UnfitError("not finite")
    return written(number, digits)


def written(number: Decimal, digits: Digits) -> str:
    """Return the digits of a finite number that has no more of them than fit."""
    sign, given, exponent = number.as_tuple()
    significant = "".join(map(str, given)).lstrip("0")
    whole_digits = len(significant) + int(exponent) if significant else 0
    significant = significant.rstrip("0")
    if len(significant) - whole_digits > digits.scale:
        raise UnfitError(f"more than {digits.scale} digits after the point")
    if whole_digits > digits.precision - digits.scale:
        raise UnfitError(f"more than {digits.precision - digits.scale} digits before the point")
    # Not by a format, which rounds to the 28 digits of Python's default context.
    text = significant.ljust(max(0, whole_digits + digits.scale), "0").zfill(digits.scale + 1)
    minus = "-" if sign and significant else ""
    cut = len(text) - digits.scale
    return f"{minus}{text[:cut]}.{text[cut:]}" if digits.scale else minus + text


def boolean(value: Any) -> bool:
    """Return what a truth value, a word or a number means: `words`."""
    if isinstance(value, bool):
        return value
    if not isinstance(value, str | int | float | Decimal):
        raise TypeError
    return words.boolean(str(value))


def day(value: Any) -> str:
    """Return a date."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()  # a hook made it
    if not isinstance(value, str):
        raise TypeError
    return times.day(value).isoformat()


def timestamp(value: Any) -> str:
    """Return an instant: UTC, no zone, microseconds only if there are any."""
    if isinstance(value, datetime):  # a hook made it
        aware = value if value.tzinfo is None else value.astimezone(UTC)
        return aware.replace(tzinfo=None).isoformat()
    if not isinstance(value, str):
        raise TypeError
    return times.moment(value).isoformat()


def instant(value: Any) -> str:
    """Return an instant with its zone, which is always UTC."""
    return timestamp(value) + "Z"


def document(value: Any) -> Any:
    """Return any JSON value. What Python writes as JSON that is none is refused."""
    value = plain(value)
    check_unicode(json.dumps(value, ensure_ascii=False, allow_nan=False))
    return value


def plain(value: Any) -> Any:
    """Return a float for a number that was read with all of its digits, and no column keeps them.

    Only a table with DECIMAL columns reads numbers so: `decoding.parse_json`.
    """
    return float(value) if type(value) is Decimal else value


CONVERTERS: dict[Kind, Callable[[Any], Any]] = {
    Kind.TEXT: text,
    Kind.INTEGER: integer,
    Kind.REAL: real,
    Kind.BOOLEAN: boolean,
    Kind.DATE: day,
    Kind.TIMESTAMP: timestamp,
    Kind.TIMESTAMPTZ: instant,
    Kind.JSON: document,
}
"""All but DECIMAL, which has to know its digits."""
ARTICLES = {
    Kind.TEXT: "text",
    Kind.INTEGER: "a whole number",
    Kind.REAL: "a number",
    Kind.DECIMAL: "a number",
    Kind.BOOLEAN: "true or false",
    Kind.DATE: "a date as 2023-01-02",
    Kind.TIMESTAMP: "a time as 2023-01-02T03:04:05",
    Kind.TIMESTAMPTZ: "a time as 2023-01-02T03:04:05Z",
    Kind.JSON: "JSON",
}


def shown(value: Any) -> str:
    """Return how an error shows a value."""
    try:
        found = json.dumps(value)
    except (TypeError, ValueError, RecursionError):  # only a hook can make such a value
        found = str(value) if isinstance(value, Decimal) else f"a {type(value).__name__}"
    return found if len(found) <= 60 else found[:57] + "..."
