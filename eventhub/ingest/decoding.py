"""Decoding: from the text of a frame or a body to JSON messages; nothing in them is checked yet."""

import io
import math
import re
from decimal import Decimal
from typing import Any

import msgspec

from eventhub.errors import Rejected

MAX_MESSAGES = 10_000
"""In one frame or body: it bounds the work that one client can cause at once."""
MAX_DEPTH = 64
"""Nesting of a message: every reader must be able to decode the event, whatever its stack."""
_PLACE = re.compile(r"\(byte (\d+)\)")
_DECODER = msgspec.json.Decoder()
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_BRACKETS = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def _exact(text: str) -> float | Decimal:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is out of range")
    try:
        written = Decimal(text)
    except ArithmeticError:  # an exponent of twenty digits
        return number
    return number if Decimal(repr(number)) == written else written


_EXACT_DECODER = msgspec.json.Decoder(float_hook=_exact)


def parse_json(text: bytes, *, exact: bool = False) -> list[Any]:
    """Return the messages of a frame or body: one for an object, several for an array.

    Args:
        text: the frame or body.
        exact: read a number that no float holds, such as 12345678901234567.89, as a `Decimal`, if
            it is the value of a key of the message.

    Raises:
        Rejected: `bad_json`, or `too_large` for more than `MAX_MESSAGES`.
    """
    try:
        decoded = (_EXACT_DECODER if exact else _DECODER).decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise Rejected("bad_json", f"the text is not JSON: {_reason(error)}") from None
    if text.count(b"[") + text.count(b"{") > MAX_DEPTH and _is_deep(text, MAX_DEPTH + 1):
        raise Rejected("bad_json", f"a message may be nested at most {MAX_DEPTH} deep")
    if exact:
        decoded = _plain_within(decoded, 2 if isinstance(decoded, list) else 1)
    if not isinstance(decoded, list):
        return [decoded]
    if len(decoded) > MAX_MESSAGES:
        raise Rejected("too_large", f"an array may hold at most {MAX_MESSAGES:,} messages")
    return decoded


def parse_lines(text: bytes, *, exact: bool = False) -> list[Any]:
    """Return the messages of newline-delimited JSON: one a line, without the blank lines.

    As in an array, no message is read if one of them cannot be.

    Args:
        text: the body.
        exact: as `parse_json`.

    Raises:
        Rejected: `bad_json`, with the number of the line; `too_large` for more than `MAX_MESSAGES`
            lines.
    """
    messages: list[Any] = []
    for number, line in enumerate(io.BytesIO(text), 1):
        if number > MAX_MESSAGES:
            raise Rejected("too_large", f"a body may have at most {MAX_MESSAGES:,} lines")
        if not line.strip():
            continue
        try:
            parsed = parse_json(line, exact=exact)
        except Rejected as error:
            raise Rejected(error.code, f"line {number}: {error.message}") from None
        if not line.lstrip().startswith(b"{"):
            raise Rejected("bad_json", f"line {number}: each line must be one JSON object")
        messages += parsed
    return messages


def _reason(error: Exception) -> str:
    """Return what is wrong in our own words: the decoder's change with its version."""
    if isinstance(error, UnicodeError):
        return "it is not UTF-8"
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    if isinstance(error, msgspec.ValidationError):
        return "a number is out of range"
    found = _PLACE.search(str(error))
    return f"see byte {found[1]}" if found else "it ends too early"


def _plain_within(value: Any, levels: int) -> Any:
    """Return a value in which exact numbers are floats, if they are nested deeper than `levels`."""
    if isinstance(value, dict):
        return {key: _plain_within(part, levels - 1) for key, part in value.items()}
    if isinstance(value, list):
        return [_plain_within(part, levels - 1) for part in value]
    return float(value) if isinstance(value, Decimal) and levels < 0 else value


def _is_deep(text: bytes, most: int) -> bool:
    """Tell whether lists and objects in a JSON text are nested `most` deep or deeper.

    Empty pairs of brackets are removed again and again; each time the innermost level of every
    branch goes. For a megabyte that takes milliseconds, where looking at each value takes a second.
    """
    brackets = _STRING.sub(b"", text).translate(_BRACKETS, _NO_BRACKETS)
    for _ in range(most):
        if not brackets:
            return False
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)
