"""Numbers: the one grammar of a number that is written as text, in messages and in filters.

    [+-] digits [. digits] [e [+-] digits]      outer white space does not count

Digits are 0 to 9: what Python reads besides (`1_000`, other scripts' digits) is no number here. A
whole number has neither point nor exponent: `12.0` and `1e3` are not the text of one.
"""

import re
from decimal import Decimal

INT64 = range(-(2**63), 2**63)
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,6})?")
_WHOLE = re.compile(r"[+-]?[0-9]+")


def whole(text: str) -> int:
    """Return the whole number that a text writes.

    Raises:
        ValueError: it writes none, or one of thousands of digits.
    """
    return int(_written(text, _WHOLE))


def real(text: str) -> float:
    """Return the nearest float; infinite beyond the largest.

    Raises:
        ValueError: the text writes no number.
    """
    return float(_written(text, _NUMBER))


def exact(text: str) -> Decimal:
    """Return the number that a text writes, with all of its digits.

    Raises:
        ValueError: it writes none.
    """
    return Decimal(_written(text, _NUMBER))


def _written(text: str, grammar: re.Pattern[str]) -> str:
    text = text.strip()
    if not grammar.fullmatch(text):
        raise ValueError
    return text
