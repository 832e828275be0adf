"""Terminal: text of others as it may be printed: nothing in it moves the cursor or turns a line."""

import re
from typing import Final

_MAYBE_UNPRINTABLE: Final = re.compile(r"[^ -~]")


def printable(text: str) -> str:
    r"""Return a text with all that is not printable as `\uXXXX`, as JSON escapes it.

    That is every control, C1 too, which terminals obey as they obey ESC; marks that turn the
    direction of writing or are invisible; and separators of lines. JSON stays the same JSON.
    """
    return _MAYBE_UNPRINTABLE.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    character = found[0]
    if character.isprintable():
        return character
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
