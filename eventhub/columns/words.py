"""Words: the one table of what is true and what is false, in messages and in filters."""

from eventhub.columns import numbers

TRUE = frozenset(("true", "t", "yes", "y", "on"))
FALSE = frozenset(("false", "f", "no", "n", "off"))


def boolean(text: str) -> bool:
    """Return what a word means, in any case. A number is true unless it is 0.

    Raises:
        ValueError: it is neither such a word nor a number.
    """
    word = text.strip().lower()
    if word in TRUE:
        return True
    if word in FALSE:
        return False
    return bool(numbers.exact(word))
