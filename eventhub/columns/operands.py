"""Operands: the text of a filter as the value that a column is compared with.

The beginning of a date or time stands for its first instant: `day>~=2023-04` starts with April,
and `day=2023-04` is its first day. A time with a zone is converted to UTC, as in rows. The column
`timestamp` is text: a time is compared in the form that is stored, a date or the beginning of one
unchanged, so that `timestamp>=2023-03-01` includes all of that day.
"""

from collections.abc import Callable
from datetime import time
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from math import inf, nan
from typing import Any

from eventhub.columns import INT64, STAMP, Column, Digits, Kind, numbers, times, values, words
from eventhub.errors import Rejected

_MAX_FOLDED = 4096
"""Characters of a text to match without case: a much longer expression is too large for RE2."""
_NOT_FINITE = {"nan": nan, "inf": inf, "+inf": inf, "-inf": -inf}
_NOT_FINITE |= {sign + "infinity": number for sign, number in (("", inf), ("+", inf), ("-", -inf))}
_EXACT = Context(prec=10_000)


def equality_operand(column: Column, text: str) -> Any:
    """Return the value that a column may equal; NaN for a number that it cannot hold.

    Raises:
        Rejected: `bad_filter`, naming the column.
    """
    if column.digits is None:
        return _read(column, text)
    number = _decimal(column, text)
    if not number.is_finite():
        return nan
    try:
        return values.format_decimal(number, column.digits)
    except values.UnfitError:
        return nan


def order_operand(column: Column, text: str, *, up: bool) -> Any:
    """Return the bound that a column is compared with; errors as `equality_operand`.

    Args:
        column: the column.
        text: the bound.
        up: for a DECIMAL, round to the next higher number that the column can hold, not the lower.
    """
    if column.kind is Kind.TIMESTAMPTZ:
        return _read(column, text)[:-1]  # a `Z` would sort after the point of a fraction
    if column.digits is None:
        return _read(column, text)
    return _on_grid(_decimal(column, text), column.digits, ROUND_CEILING if up else ROUND_FLOOR)


def match_operand(column: Column, text: str, *, folded: bool) -> str:
    """Return the text that a text column is searched for; errors as `equality_operand`."""
    try:
        return _folded(text) if folded else _text(text)
    except ValueError:
        meaning = f"text of at most {_MAX_FOLDED} characters" if folded else _TEXT_MEANING
        raise _rejected(column, text, meaning) from None


def _read(column: Column, text: str) -> Any:
    reader, meaning = _STAMP if column.name == STAMP else _READERS[column.kind]
    try:
        return reader(text)
    except (ValueError, OverflowError):
        if meaning is _TIME_MEANING and " " in text.strip()[11:]:
            meaning += "; in a URL, write the + of a zone as %2B"
        raise _rejected(column, text, meaning) from None


def _rejected(column: Column, text: str, meaning: str) -> Rejected:
    shown = text if len(text) <= 60 else text[:57] + "..."
    message = f"{column.name}: {shown!r} is not {meaning}"
    return Rejected("bad_filter", message, column=column.name)


def _text(text: str) -> str:
    text.encode()  # a hook may pass a lone surrogate, which no row and no database can hold
    return text


def _folded(text: str) -> str:
    folded = _text(text).casefold()
    if len(folded) > _MAX_FOLDED:
        raise ValueError
    return folded


def _integer(text: str) -> int:
    """Return the number; beyond 64 bits the nearest that no row holds, which compares the same."""
    return max(INT64[0] - 1, min(numbers.whole(text), INT64[-1] + 1))


def _real(text: str) -> float:
    number = _NOT_FINITE.get(text.strip().lower())
    return numbers.real(text) if number is None else number


def _decimal(column: Column, text: str) -> Decimal:
    number = _NOT_FINITE.get(text.strip().lower())
    try:
        return numbers.exact(text) if number is None else Decimal(number)
    except ValueError:
        raise _rejected(column, text, _NUMBER_MEANING) from None


def _on_grid(number: Decimal, digits: Digits, rounding: str) -> Decimal:
    """Return the next number that a column can hold, or infinity if it cannot hold one that far."""
    far = Decimal((0, (1,), digits.precision - digits.scale))
    if number.is_finite() and abs(number) < far:
        grid = Decimal((0, (1,), -digits.scale))
        number = number.quantize(grid, rounding=rounding, context=_EXACT)
    if not number.is_nan() and abs(number) >= far:
        return Decimal("-Infinity" if number < 0 else "Infinity")
    return number


def _timestamp(text: str) -> str:
    return times.beginning(text).isoformat()


def _instant(text: str) -> str:
    return _timestamp(text) + "Z"


def _date(text: str) -> str:
    """Return a date; a time of day stays a time, which sorts between that day and the next."""
    moment = times.beginning(text)
    return moment.date().isoformat() if moment.time() == time.min else moment.isoformat()


def _stamp(text: str) -> str:
    moment = times.beginning(text)
    return text.strip() if times.is_short(text) else moment.isoformat()


_TEXT_MEANING = "valid Unicode text"
_NUMBER_MEANING = "a number, such as 1.5"
_TIME_MEANING = "a time, such as 2023-04-01T10:30:00, or the beginning of one"
_READERS: dict[Kind, tuple[Callable[[str], Any], str]] = {
    Kind.TEXT: (_text, _TEXT_MEANING),
    Kind.INTEGER: (_integer, "a whole number, such as 12"),
    Kind.REAL: (_real, _NUMBER_MEANING),
    Kind.BOOLEAN: (words.boolean, "true or false"),
    Kind.DATE: (_date, "a date, such as 2023-04-01, or the beginning of one, such as 2023-04"),
    Kind.TIMESTAMP: (_timestamp, _TIME_MEANING),
    Kind.TIMESTAMPTZ: (_instant, _TIME_MEANING),
}
_STAMP = (_stamp, _TIME_MEANING)
