"""Values: JSON values of clients, as a column stores them.

In Python a value is `None`, `str`, `int`, `float` or `bool`. Dates and times are canonical ISO
text, which sorts by time except for the `Z` of a TIMESTAMPTZ. A DECIMAL is text with as many digits
after the point as its column has. A JSON column holds any JSON value.
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
"""Up to this number a float is the whole number that was written."""
MAX_ADJUSTED = 20
"""No number with more digits before the point than this, plus one, fits into 64 bits."""


class UnfitError(ValueError):
    """A value of the right type that cannot be stored; the text says why."""


def text(value: Any) -> str:
    """Return text; for a number or truth value, its JSON."""
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
    """Refuse half a surrogate pair: JSON can spell it, but UTF-8 cannot hold it."""
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
            raise UnfitError("a number this large must have neither point nor exponent")
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
    """Return the text of a number that fits; nothing is rounded."""
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise TypeError
    number = numbers.exact(value) if isinstance(value, str) else Decimal(str(value))
    if not number.is_finite():
        raise UnfitError("not finite")
    return format_decimal(number, digits)


def format_decimal(number: Decimal, digits: Digits) -> str:
    """Return the text of a finite number, or raise `UnfitError` if it has too many digits."""
    sign, given, exponent = number.as_tuple()
    significant = "".join(map(str, given)).lstrip("0")
    whole_digits = len(significant) + int(exponent) if significant else 0
    significant = significant.rstrip("0")
    if len(significant) - whole_digits > digits.scale:
        raise UnfitError(f"more than {digits.scale} digits after the point")
    if whole_digits > digits.precision - digits.scale:
        raise UnfitError(f"more than {digits.precision - digits.scale} digits before the point")
    # Formatting would round to the 28 digits of Python's default context.
    text = significant.ljust(max(0, whole_digits + digits.scale), "0").zfill(digits.scale + 1)
    minus = "-" if sign and significant else ""
    cut = len(text) - digits.scale
    return f"{minus}{text[:cut]}.{text[cut:]}" if digits.scale else minus + text


def boolean(value: Any) -> bool:
    """Return a truth value, or the one that a word or a number stands for (`words`)."""
    if isinstance(value, bool):
        return value
    if not isinstance(value, str | int | float | Decimal):
        raise TypeError
    return words.boolean(str(value))


def day(value: Any) -> str:
    """Return a date."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()  # set by a hook
    if not isinstance(value, str):
        raise TypeError
    return times.day(value).isoformat()


def timestamp(value: Any) -> str:
    """Return an instant in UTC without a zone; microseconds only if they are not 0."""
    if isinstance(value, datetime):  # set by a hook
        aware = value if value.tzinfo is None else value.astimezone(UTC)
        return aware.replace(tzinfo=None).isoformat()
    if not isinstance(value, str):
        raise TypeError
    return times.moment(value).isoformat()


def instant(value: Any) -> str:
    """Return an instant with its zone, which is always `Z`."""
    return timestamp(value) + "Z"


def document(value: Any) -> Any:
    """Return any JSON value; NaN, Infinity and half surrogate pairs are refused."""
    value = inexact(value)
    check_unicode(json.dumps(value, ensure_ascii=False, allow_nan=False))
    return value


def inexact(value: Any) -> Any:
    """Return a float for a number that was read with all of its digits, which no column keeps.

    Numbers are read so only for tables with DECIMAL columns: `decoding.parse_json`.
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
"""All kinds but DECIMAL, whose conversion depends on its digits."""
MEANINGS = {
    Kind.TEXT: "text",
    Kind.INTEGER: "a whole number",
    Kind.REAL: "a number",
    Kind.DECIMAL: "a number",
    Kind.BOOLEAN: "true or false",
    Kind.DATE: "a date such as 2023-01-02",
    Kind.TIMESTAMP: "a time such as 2023-01-02T03:04:05",
    Kind.TIMESTAMPTZ: "a time such as 2023-01-02T03:04:05Z",
    Kind.JSON: "JSON",
}


def excerpt(value: Any) -> str:
    """Return a value as an error message shows it: JSON, at most 60 characters."""
    try:
        found = json.dumps(value)
    except (TypeError, ValueError, RecursionError):  # such a value can only come from a hook
        found = str(value) if isinstance(value, Decimal) else f"a {type(value).__name__}"
    return found if len(found) <= 60 else found[:57] + "..."
