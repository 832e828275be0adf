"""Filters: the arguments of a URL as a Query: which rows, in what order, how many, which columns.

Replay, live messages, HTTP and alert conditions all ask the same filter.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from eventhub.columns import INT64, Column, Columns, Kind
from eventhub.columns.asked import asked_value
from eventhub.conditions import EQUALITY, FOLDED, MATCH, ORDER, Condition, Filter, Operator, quoted
from eventhub.errors import Rejected

Args = dict[str, list[str]]
"""Arguments of a URL: operators are still part of the key, as in `{"timestamp>": ["2023"]}`."""

_OPERATORS: dict[Kind, tuple[Operator, ...]] = {
    Kind.TEXT: (*EQUALITY, *ORDER, *MATCH),
    Kind.INTEGER: (*EQUALITY, *ORDER),
    Kind.REAL: (*EQUALITY, *ORDER),
    Kind.BOOLEAN: EQUALITY,
    Kind.DATE: (*EQUALITY, *ORDER),
    Kind.TIMESTAMP: (*EQUALITY, *ORDER),
    Kind.JSON: (),
}
_SUFFIXES = sorted((*EQUALITY, *ORDER, *MATCH), key=len, reverse=True)
_ALWAYS_TOLD = ("_method", "_seq", "id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What a reader asked for: which rows, in what order, how many, which columns."""

    filter: Filter
    sort: tuple[tuple[str, bool], ...] = ()
    """Column and whether descending, most significant first; then order of creation."""
    limit: int | None = None
    """Rows of the replay at most; None for all."""
    offset: int = 0
    """Rows of the replay to leave out first."""
    columns: tuple[str, ...]
    """Of a replayed row, in order."""
    picked: bool = False
    """`columns` were asked for by name: nothing else is told."""
    hidden: frozenset[str] = frozenset()
    """Names left out, columns or not: everything else is told."""

    @property
    def picks(self) -> tuple[str, ...] | frozenset[str] | None:
        """Hashable; equal where `pick` does the same. None where it changes nothing."""
        if self.picked:
            return self.columns
        return self.hidden or None

    def pick(self, message: dict[str, Any]) -> dict[str, Any]:
        """Return what a live message tells this reader; the message itself without `_c`.

        `_method`, `_seq` and `id` always stay. Keys that are no column stay unless columns
        are asked for by name.
        """
        if self.picked:
            front = [name for name in _ALWAYS_TOLD if name not in self.columns]
            told = {name: value for name, value in message.items() if name in front}
            told.update((name, message[name]) for name in self.columns if name in message)
            return told
        if self.hidden:
            left_out = self.hidden.difference(_ALWAYS_TOLD)
            return {name: value for name, value in message.items() if name not in left_out}
        return message

    def order_by(self) -> str:
        """Return the ORDER BY text; the table has `_created_seq`, the order of creation."""
        terms = [
            f"{quoted(name)} {'DESC NULLS LAST' if descending else 'ASC NULLS FIRST'}"
            for name, descending in self.sort
        ]
        return ", ".join([*terms, "_created_seq"])


def parse_query_string(raw: str) -> Args:
    """Return the arguments of a percent-encoded query string without its `?`, in order.

    A key ends before the first `=`; a key without one has the value "".

    Raises:
        Rejected: `bad_filter`: not UTF-8.
    """
    args: Args = {}
    for part in filter(None, raw.split("&")):
        key, _, value = part.partition("=")
        name = _decoded(key, at=key)
        args.setdefault(name, []).append(_decoded(value, at=name))
    return args


def parse(args: Mapping[str, Iterable[Any]], columns: Columns) -> Query:
    """Return the query that arguments mean for a table of these columns.

    Unknown columns are ignored, as are keys that begin with `_` other than `_sort`, `_limit`,
    `_offset` and `_c`. A hook may have left values that are not text: they are taken by their
    text, and None as no value.

    Raises:
        Rejected: `bad_filter`, naming the column or argument at fault.
    """
    conditions = set()
    for key, values in args.items():
        target = _target(key, columns)
        if target is not None:
            conditions.update(_conditions(*target, _texts(values)))
    limit = _smallest(args, "_limit")
    offset = _smallest(args, "_offset")
    picked, hidden = _picked(args, columns)
    return Query(
        filter=Filter(tuple(sorted(conditions, key=lambda c: (c.operator, c.column)))),
        sort=_sort(_texts(args.get("_sort", ())), columns),
        limit=None if limit is None or limit < 0 or limit not in INT64 else limit,
        offset=min(max(offset or 0, 0), INT64[-1]),
        columns=picked or tuple(name for name in columns.names if name not in hidden),
        picked=bool(picked),
        hidden=hidden,
    )


# --- Arguments ---------------------------------------------------------------------------------


def _decoded(text: str, *, at: str) -> str:
    try:
        return unquote_to_bytes(text.replace("+", " ")).decode()
    except UnicodeError:
        column = at.rstrip("!<>~*") or at
        message = f"{column}: the URL is not percent-encoded UTF-8, as %C3%A9 for é"
        raise Rejected("bad_filter", message, column=column) from None


def _given(values: Iterable[Any]) -> list[str]:
    """A hook that writes `"x"` for `["x"]` means one value, not one for each character."""
    given = [values] if isinstance(values, str) else values
    return [str(value).strip() for value in given if value is not None]


def _texts(values: Iterable[Any]) -> list[str]:
    return [text for text in _given(values) if text]


def _target(key: str, columns: Columns) -> tuple[Column, Operator] | None:
    if key.startswith("_"):
        return None
    if key in columns:
        return columns[key], Operator.EQUAL
    for operator in _SUFFIXES:
        if key.endswith(operator) and key.removesuffix(operator) in columns:
            return columns[key.removesuffix(operator)], operator
    return None


def _conditions(column: Column, operator: Operator, texts: list[str]) -> list[Condition]:
    """Return the condition of one argument, or none if it has no value and needs one."""
    if not texts:
        bare = {Operator.EQUAL: Operator.PRESENT, Operator.DIFFERENT: Operator.ABSENT}.get(operator)
        return [Condition(column.name, column.kind, bare)] if bare else []
    _check_operator(column, operator)
    values = [asked_value(column, text, folded=operator in FOLDED) for text in texts]
    numbers = [value for value in values if value == value]  # NaN is not itself
    if operator is Operator.DIFFERENT and not numbers:
        return [Condition(column.name, column.kind, Operator.PRESENT)]
    return [Condition(column.name, column.kind, operator, _reduced(operator, numbers))]


def _reduced(operator: Operator, values: list[Any]) -> frozenset[Any]:
    if operator in (Operator.ABOVE, Operator.AT_LEAST):
        return frozenset(sorted(values)[:1])
    if operator in (Operator.BELOW, Operator.AT_MOST):
        return frozenset(sorted(values)[-1:])
    return frozenset(values)


def _check_operator(column: Column, operator: Operator) -> None:
    allowed = _OPERATORS[column.kind]
    if operator in allowed:
        return
    name, kind = column.name, column.kind.name.lower()
    usable = " ".join(f"{name}{known}=" for known in allowed) or "only"
    message = (
        f"{name}{operator}= does not work on a column of {kind}: use {usable} {name} or {name}!"
    )
    raise Rejected("bad_filter", message, column=name)


def _smallest(args: Mapping[str, Iterable[Any]], name: str) -> int | None:
    try:
        return min(map(int, _given(args.get(name, ()))), default=None)
    except ValueError:
        message = f"{name} is not a whole number, as {name}=10"
        raise Rejected("bad_filter", message, column=name) from None


def _signed(text: str, columns: Columns) -> tuple[str, bool]:
    """A column may be named `-x`: that one is meant, then."""
    negative = text.startswith("-") and text not in columns
    return text.removeprefix("-") if negative else text, negative


def _sort(texts: list[str], columns: Columns) -> tuple[tuple[str, bool], ...]:
    sort: dict[str, bool] = {}
    for name, descending in (_signed(text, columns) for text in texts):
        if name in columns:
            sort.setdefault(name, descending)
    return tuple(sort.items())


def _picked(
    args: Mapping[str, Iterable[Any]], columns: Columns
) -> tuple[tuple[str, ...], frozenset[str]]:
    """Return the columns asked for by `_c`, or else the names that it leaves out."""
    given = _given(args.get("_c", ()))
    signed = [_signed(text, columns) for text in given]
    picked = tuple(dict.fromkeys(name for name, minus in signed if not minus and name in columns))
    hidden = frozenset(name for name, minus in signed if minus)
    if given and not picked and (not hidden or hidden.issuperset(columns.names)):
        message = f"_c leaves no column: choose among {', '.join(columns.names)}"
        raise Rejected("bad_filter", message, column="_c")
    return picked, frozenset() if picked else hidden
