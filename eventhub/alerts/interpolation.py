"""Interpolation: values of a message in a list of addresses, whose structure they cannot change.

A template of an address marks each value that it inserts. A value in quotes, or before an address
in angle brackets, is a name, whatever it contains; between the brackets it is one address. Only a
value by itself may be a list.
"""

import re
from collections.abc import Callable
from typing import Any

_BEGIN, _END = "\ufdd0", "\ufdd1"
"""Around each value: characters that Unicode reserves, so that no text contains them."""
_MARKS = re.compile(f"[{_BEGIN}{_END}]")
_VALUE = re.compile(f"{_BEGIN}([^{_END}]*){_END}")
_STRUCTURE = re.compile('["(<,;:@]')
_BREAKS_OUT = {"<": re.compile(r'[<>,;:"()\\]'), "(": re.compile(r"[()\\]")}


def mark(value: Any) -> str:
    """Return the text that a template inserts for a value."""
    return f"{_BEGIN}{remove_marks(str(value))}{_END}"


def remove_marks(text: str) -> str:
    """Return a rendered text without the marks around its values."""
    return _MARKS.sub("", text)


def interpolate(text: str, is_balanced: Callable[[str], bool]) -> str | None:
    """Return a rendered list without marks; None if a value would change the list's structure.

    Args:
        text: rendered by a template, or any text without marks.
        is_balanced: whether a value closes the quotes and comments that it opens.
    """
    pieces = _VALUE.split(text)
    state = ""
    for index, piece in enumerate(pieces):
        if index % 2 == 0:
            state = _state_after(piece, state)
        elif state == '"':
            pieces[index] = _escape(piece)
        elif state and _BREAKS_OUT[state].search(piece):
            return None
        elif not state and _is_name("".join(pieces[index + 1 :: 2])):
            pieces[index] = f'"{_escape(piece)}"'
        elif not state and not is_balanced(piece):
            return None
    return remove_marks("".join(pieces))


def _is_name(after: str) -> bool:
    """Tell whether a value is part of a name, by the text of the template after it."""
    found = _STRUCTURE.search(after)
    return found is not None and found[0] == "<"


def _escape(text: str) -> str:
    return re.sub(r'(["\\])', r"\\\1", text)


def _state_after(piece: str, state: str) -> str:
    """Return what a piece of the template leaves open: a quote, a bracket, or an empty text."""
    escaped = False
    for character in piece:
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = state in ('"', "(")
        elif not state:
            state = character if character in '"<(' else ""
        elif character == {'"': '"', "<": ">", "(": ")"}[state]:
            state = ""
    return state
