"""Numbers: the one grammar of a number as text, in messages and in filters.

    [+-] digits [. digits] [e [+-] digits]      white space around it does not count

Digits are 0 to 9. Other texts that Python reads (`1_000`, digits of other scripts) are refused. A
whole number has neither point nor exponent: `12.0` and `1e3` are not whole numbers as text.
"""

import re
from decimal import Decimal

INT64 = range(-(2**63), 2**63)
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,6})?")
_WHOLE = re.compile(r"[+-]?[0-9]+")


def whole(text: str) -> int:
    """Return the whole number that a text spells.

    Raises:
        ValueError: the text is not a whole number, or has thousands of digits.
    """
    return int(_stripped(text, _WHOLE))


def real(text: str) -> float:
    """Return the float nearest to a number; infinity beyond the largest float.

    Raises:
        ValueError: the text is not a number.
    """
    return float(_stripped(text, _NUMBER))


def exact(text: str) -> Decimal:
    """Return the number that a text spells, with all of its digits.

    Raises:
        ValueError: the text is not a number.
    """
    return Decimal(_stripped(text, _NUMBER))


def _stripped(text: str, grammar: re.Pattern[str]) -> str:
    text = text.strip()
    if not grammar.fullmatch(text):
        raise ValueError
    return text
