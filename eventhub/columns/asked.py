"""Asked: the text of a filter as the value that a column is compared with.

A rule that is not obvious: a prefix of a date or time stands for its first instant:
`day>~=2023-04` begins with April, and `day=2023-04` is its first day. A zone is converted to UTC,
as in rows.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, time
from typing import Any

from eventhub.columns import INT64, Column, Kind
from eventhub.errors import Rejected

_FALSE_WORDS = frozenset(("0", "n", "no", "f", "false"))
_MAX_FOLDED = 4096
"""Characters of a text to match without case: far beyond, its expression is too large for RE2."""
_DATE_PREFIX = re.compile(r"[0-9]{4}(-[0-9]{2})?")


def asked_value(column: Column, text: str, *, folded: bool = False) -> Any:
    """Return what a column is compared with; `folded`: without case.

    Raises:
        Rejected: `bad_filter`, naming the column.
    """
    reader, meaning = _READERS[column.kind]
    if folded:
        reader, meaning = _folded, f"text of at most {_MAX_FOLDED} characters"
    try:
        return reader(text)
    except (ValueError, OverflowError):
        shown = text if len(text) <= 60 else text[:57] + "..."
        message = f"{column.name}: {shown!r} is not {meaning}"
        raise Rejected("bad_filter", message, column=column.name) from None


def _text(text: str) -> str:
    text.encode()  # a hook may hand over a lone surrogate; no row and no database holds one
    return text


def _folded(text: str) -> str:
    folded = _text(text).casefold()
    if len(folded) > _MAX_FOLDED:
        raise ValueError
    return folded


def _integer(text: str) -> int:
    """Beyond 64 bits, the nearest number that no row can hold: every comparison stays true."""
    return max(INT64[0] - 1, min(int(text), INT64[-1] + 1))


def _boolean(text: str) -> bool:
    return text.lower() not in _FALSE_WORDS


def _moment(text: str) -> datetime:
    if _DATE_PREFIX.fullmatch(text):
        text = (text + "-01-01")[:10]
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)


def _timestamp(text: str) -> str:
    return _moment(text).isoformat()


def _date(text: str) -> str:
    """A moment within a day sorts as text between that day and the next, as it should."""
    moment = _moment(text)
    return moment.date().isoformat() if moment.time() == time.min else moment.isoformat()


_READERS: dict[Kind, tuple[Callable[[str], Any], str]] = {
    Kind.TEXT: (_text, "text that UTF-8 can hold"),
    Kind.INTEGER: (_integer, "a whole number, as 12"),
    Kind.REAL: (float, "a number, as 1.5"),
    Kind.BOOLEAN: (_boolean, "true or false"),
    Kind.DATE: (_date, "a date, as 2023-04-01, or the beginning of one, as 2023-04"),
    Kind.TIMESTAMP: (_timestamp, "a time, as 2023-04-01T10:30:00, or the beginning of one"),
}
