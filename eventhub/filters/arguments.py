"""Arguments: what the keys of a URL mean: a column and an operator, a control, or nothing.

Ignoring a key widens the answer. So a key that looks like a mistake is refused, with the nearest
name. Other unknown keys are ignored, as Gramex ignored them, because pages use some for themselves.
An endpoint's `unknown:` refuses or ignores all of them.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal, NamedTuple
from urllib.parse import unquote_to_bytes

from eventhub.columns import Column, Columns, Kind
from eventhub.errors import Rejected
from eventhub.filters.conditions import EQUALITY, MATCH, ORDER, Operator

Unknown = Literal["refuse", "ignore"]
"""What happens to unknown arguments of a URL, and unknown keys of a message. Without it, keys that
look like a mistake are refused."""
Args = dict[str, list[str]]
"""Arguments of a URL. Operators are still part of the key, as in `{"timestamp>": ["2023"]}`."""

CONTROLS = (
    "_sort",
    "_limit",
    "_offset",
    "_c",
    "_since",
    "_as_of",
    "_speed",
    "_wait",
    "_history",
    "_id",
    "_schema",
    "_presence",
    "_replay",
    "_format",
    "_bigint",
    "_csv",
)
GRAMEX_CONTROLS = frozenset(("_", "_format", "_meta", "_download", "_by", "_xsrf"))
"""Never refused. jQuery adds `_` to bypass a cache, and Tornado's forms have `_xsrf`."""
_SUFFIXES = sorted((*EQUALITY, *ORDER, *MATCH), key=len, reverse=True)
_PART = re.compile(r"->|__|[^\w|-]")
"""After a column's name: what other systems write for a part of it: `data[x]`, `data->>x`."""
_MIN_EDITED = 4
"""The least length of a column name whose misspellings are noticed: for shorter names, too many
words are one edit away."""
_LIKENESS = 0.7
"""The least similarity of a name that is suggested, from 0 to 1."""
_MAX_COMPARED = 100
"""Characters of an unknown name that are compared with known names."""


class Test(NamedTuple):
    """A key that tests a column."""

    column: Column
    operator: Operator
    path: tuple[str, ...] = ()
    """Within a JSON column; empty for the column as a whole."""


@dataclass(frozen=True, slots=True)
class Control:
    """A key that controls the answer, such as `_limit`."""

    name: str


@dataclass(frozen=True, slots=True)
class Stranger:
    """A key that means nothing to this table."""

    name: str
    """Of the key, without its operator."""
    mistake: str
    """Why it looks like a mistake, with the nearest name; empty if it may be meant for the page."""
    nearest: str
    """The end of a sentence about it, which names the nearest column or all columns."""

    def refusal(self) -> Rejected:
        """Return the error for this key, when it is not ignored."""
        why = self.mistake or f"{shown(self.name)} is not a column{self.nearest}"
        return Rejected("bad_filter", why, column=self.name)


def parse_query_string(raw: str) -> Args:
    """Return the arguments of a percent-encoded query string without its `?`, in order.

    A key ends at the first `=`; without one, its value is "".

    Raises:
        Rejected: `bad_filter`: not UTF-8.
    """
    args: Args = {}
    for part in filter(None, raw.split("&")):
        key, _, value = part.partition("=")
        name = _decoded(key, at=key)
        args.setdefault(name, []).append(_decoded(value, at=name))
    return args


def meaning_of(key: str, columns: Columns) -> Test | Control | Stranger:
    """Return what one key of a URL means for a table with these columns."""
    if key in CONTROLS or key in GRAMEX_CONTROLS:
        return Control(key)
    if key.startswith("_"):
        near = nearest(key, CONTROLS)
        return Stranger(key, f"{shown(key)} is not a control{near}", near)
    test = _test(key, columns)
    return test if test is not None else _stranger(key, columns)


def is_ignored(stranger: Stranger, unknown: Unknown | None) -> bool:
    """Return whether an endpoint ignores an unknown key."""
    return unknown == "ignore" or (unknown is None and not stranger.mistake)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the end of a sentence about an unknown name: the nearest known one, or all."""
    known = list(known)
    folded = {each.strip().casefold(): each for each in known}
    near = get_close_matches(name.strip().casefold()[:_MAX_COMPARED], folded, 1, _LIKENESS)
    if near:
        return f": did you mean {folded[near[0]]}?"
    return f": choose among {', '.join(known)}" if known else ""


def shown(name: str) -> str:
    """Return a name as an error message quotes it, shortened."""
    return repr(name if len(name) <= 60 else name[:57] + "...")


def _decoded(text: str, *, at: str) -> str:
    try:
        return unquote_to_bytes(text.replace("+", " ")).decode()
    except UnicodeError:
        column = at.rstrip("!<>~*") or at
        message = f"{column}: the URL is not percent-encoded UTF-8, such as %C3%A9 for é"
        raise Rejected("bad_filter", message, column=column) from None


def _test(key: str, columns: Columns) -> Test | None:
    if key in columns:
        return Test(columns[key], Operator.EQUAL)
    for operator in _SUFFIXES:
        if key.endswith(operator) and key.removesuffix(operator) in columns:
            return Test(columns[key.removesuffix(operator)], operator)
    operator = next(suffix for suffix in _SUFFIXES if key.endswith(suffix))
    return _inner_test(key.removesuffix(operator), operator, columns)


def _inner_test(name: str, operator: Operator, columns: Columns) -> Test | None:
    """Return the test that a name such as `data.a.b` means, if `data` is a JSON column."""
    for column in sorted(columns, key=lambda column: len(column.name), reverse=True):
        if column.kind is Kind.JSON and name.startswith(f"{column.name}."):
            path = tuple(name[len(column.name) + 1 :].split("."))
            return Test(column, operator, path) if all(path) else None
    return None


def _stranger(key: str, columns: Columns) -> Stranger:
    operator = next(suffix for suffix in _SUFFIXES if key.endswith(suffix))
    name = key.removesuffix(operator) or key
    near = nearest(name, columns.names)
    mistake = ""
    if operator:
        mistake = f"{shown(name)} is not a column, and {operator}= needs one{near}"
    elif other := _misspelt(name, columns):
        mistake = f"{shown(name)} is not a column: did you mean {other}?"
    elif whole := _whole(name, columns):
        is_json = columns[whole].kind is Kind.JSON
        advice = f"write {whole}.key for a value in it" if is_json else f"{whole} is not JSON"
        mistake = f"{shown(name)} is not a column: {advice}"
    return Stranger(name, mistake, near)


def _misspelt(name: str, columns: Columns) -> str | None:
    """Return the column that a name is likely to be a misspelling of, if there is one."""
    folded = name.strip().casefold()
    for known in columns.names:
        other = known.strip().casefold()
        if folded == other or (len(other) >= _MIN_EDITED and _is_one_edit(folded, other)):
            return known
    return None


def _is_one_edit(one: str, other: str) -> bool:
    """Return whether inserting, deleting, replacing or swapping one makes a text the other."""
    if abs(len(one) - len(other)) > 1:
        return False
    at = 0
    while at < min(len(one), len(other)) and one[at] == other[at]:
        at += 1
    left, right = one[at:], other[at:]
    return (
        left[1:] == right
        or left == right[1:]
        or left[1:] == right[1:]
        or (left[1::-1] == right[:2] and left[2:] == right[2:])
    )


def _whole(name: str, columns: Columns) -> str | None:
    """Return the column that a name asks for a part of, as if it were JSON."""
    for known in columns.names:
        if name.startswith(known) and _PART.match(name, len(known)):
            return known
    part = _PART.search(name)
    return _misspelt(name[: part.start()], columns) if part and part.start() else None
