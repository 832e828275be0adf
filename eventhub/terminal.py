"""Terminal: makes text from clients safe to print, so that it cannot control the terminal."""

import re
from typing import Final

_MAYBE_UNPRINTABLE: Final = re.compile(r"[^ -~]")


def printable(text: str) -> str:
    r"""Escape all unprintable characters of a text as `\uXXXX`, as JSON does.

    These are the control characters, including C1, which terminals obey like ESC; marks that are
    invisible or change the direction of writing; and line separators. JSON keeps its meaning.
    """
    return _MAYBE_UNPRINTABLE.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    if character.isprintable():
        return character
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
