"""Placing: values of a message in a list of addresses, where they cannot leave their place.

A template of an address marks each value that it puts in. A value in quotes, or before an address
in angle brackets, is a name, whatever it holds; in the brackets it is one address. Only a value
that stands for itself may be a list.
"""

import re
from collections.abc import Callable
from typing import Any

_BEGIN, _END = "\ufdd0", "\ufdd1"
"""Around each value: characters that Unicode keeps out of texts."""
_MARKS = re.compile(f"[{_BEGIN}{_END}]")
_VALUE = re.compile(f"{_BEGIN}([^{_END}]*){_END}")
_STRUCTURE = re.compile('["(<,;:@]')
_ENDS_PLACE = {"<": re.compile(r'[<>,;:"()\\]'), "(": re.compile(r"[()\\]")}


def marked(value: Any) -> str:
    """Return what a template puts in for a value."""
    return f"{_BEGIN}{without_marks(str(value))}{_END}"


def without_marks(text: str) -> str:
    """Return a rendered text as people read it."""
    return _MARKS.sub("", text)


def placed(text: str, is_whole: Callable[[str], bool]) -> str | None:
    """Return a rendered list with its values in their places; None if one would leave its place.

    Args:
        text: what a template rendered, or any text without marks.
        is_whole: whether quotes and comments that a value opens are closed in it.
    """
    pieces = _VALUE.split(text)
    state = ""
    for index, piece in enumerate(pieces):
        if index % 2 == 0:
            state = _state_after(piece, state)
        elif state == '"':
            pieces[index] = _escaped(piece)
        elif state and _ENDS_PLACE[state].search(piece):
            return None
        elif not state and _is_name("".join(pieces[index + 1 :: 2])):
            pieces[index] = f'"{_escaped(piece)}"'
        elif not state and not is_whole(piece):
            return None
    return without_marks("".join(pieces))


def _is_name(after: str) -> bool:
    """Tell by what the template has after a value whether it is a part of a name."""
    found = _STRUCTURE.search(after)
    return found is not None and found[0] == "<"


def _escaped(text: str) -> str:
    return re.sub(r'(["\\])', r"\\\1", text)


def _state_after(piece: str, state: str) -> str:
    """Return what is open at the end of a part of the template: a quote, a bracket, or nothing."""
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
