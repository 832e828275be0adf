"""Words: the one table of words for true and false, in messages and in filters."""

from typing import Any

from eventhub.columns import numbers

TRUE = frozenset(("true", "t", "yes", "y", "on"))
FALSE = frozenset(("false", "f", "no", "n", "off"))


def boolean(text: str) -> bool:
    """Return the truth value of a word, in any case, or of a number, which is true unless it is 0.

    Raises:
        ValueError: the text is neither such a word nor a number.
    """
    word = text.strip().lower()
    if word in TRUE:
        return True
    if word in FALSE:
        return False
    return bool(numbers.exact(word))


def is_false(value: Any) -> bool:
    """Tell whether a JSON value is false: `false`, a word for it, or 0."""
    if isinstance(value, str):
        try:
            return not boolean(value)
        except ValueError:
            return False
    return isinstance(value, int | float) and value == 0
