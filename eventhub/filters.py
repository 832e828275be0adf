"""Filters: the arguments of a URL as a Query, whose filter is both a predicate and SQL.

Replay, live messages, HTTP and alert conditions all ask the same filter; that its predicate and
its SQL agree on every row is what lets a client hold exactly the filtered table.

Rules that the SPEC leaves open, equal on both sides:

- A number beyond 64 bits compares as the number it is. NaN matches nothing, so `!=nan` keeps
  all that is not NULL.
- A prefix of a date or time stands for its first instant: `day>~=2023-04` begins with April,
  and `day=2023-04` is its first day. A zone is converted to UTC, as in rows.
- A match without case compares full case folding (Unicode chapter 3.13, `str.casefold`), where
  `STRASSE` finds `straße`. DuckDB has no such function and its `lower` differs for hundreds of
  characters, so the SQL spells the folding out for each text that is looked for: what expands
  to several characters is replaced first, then a regular expression lists the spellings of each
  character. Nothing depends on the Unicode version of the database. (`translate` in place of
  the expression does the same at a twelfth of the speed.)
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time
from enum import StrEnum
from functools import cache
from operator import ge, gt, le, lt
from typing import Any
from urllib.parse import unquote_to_bytes

from eventhub.columns import INT64, Column, Columns, Kind
from eventhub.errors import Rejected

Args = dict[str, list[str]]
"""Arguments of a URL: operators are still part of the key, as in `{"timestamp>": ["2023"]}`."""
Predicate = Callable[[Mapping[str, Any]], bool]
"""Tells whether a row matches."""


class Operator(StrEnum):
    """What a condition asks of its column; the value is how a key of the URL ends."""

    EQUAL = ""
    DIFFERENT = "!"
    ABOVE = ">"
    AT_LEAST = ">~"
    BELOW = "<"
    AT_MOST = "<~"
    CONTAINS = "~"
    LACKS = "!~"
    CONTAINS_FOLDED = "*"
    LACKS_FOLDED = "!*"
    PRESENT = "is not null"  # `c=` without a value; no key ends so, nor with the next
    ABSENT = "is null"  # `c!=` without a value


_EQUALITY = (Operator.EQUAL, Operator.DIFFERENT)
_ORDER = {
    Operator.ABOVE: (gt, ">"),
    Operator.AT_LEAST: (ge, ">="),
    Operator.BELOW: (lt, "<"),
    Operator.AT_MOST: (le, "<="),
}
_MATCH = (Operator.CONTAINS, Operator.LACKS, Operator.CONTAINS_FOLDED, Operator.LACKS_FOLDED)
_FOLDED = (Operator.CONTAINS_FOLDED, Operator.LACKS_FOLDED)
_NEGATED = (Operator.DIFFERENT, Operator.LACKS, Operator.LACKS_FOLDED)
_OPERATORS: dict[Kind, tuple[Operator, ...]] = {
    Kind.TEXT: (*_EQUALITY, *_ORDER, *_MATCH),
    Kind.INTEGER: (*_EQUALITY, *_ORDER),
    Kind.REAL: (*_EQUALITY, *_ORDER),
    Kind.BOOLEAN: _EQUALITY,
    Kind.DATE: (*_EQUALITY, *_ORDER),
    Kind.TIMESTAMP: (*_EQUALITY, *_ORDER),
    Kind.JSON: (),
}
_SUFFIXES = sorted((*_EQUALITY, *_ORDER, *_MATCH), key=len, reverse=True)
_ALWAYS_TOLD = ("_method", "_seq", "id")
_FALSE_WORDS = frozenset(("0", "n", "no", "f", "false"))
_MAX_FOLDED = 4096
"""Characters of a text to match without case: far beyond, its expression is too large for RE2."""
_DATE_PREFIX = re.compile(r"[0-9]{4}(-[0-9]{2})?")


@dataclass(frozen=True, slots=True)
class Condition:
    """One test of one column; a row must pass every condition of a filter."""

    column: str
    kind: Kind
    operator: Operator
    values: frozenset[Any] = frozenset()
    """Converted; a single bound where the operator is an order, case-folded where it folds.

    None are left where all were NaN: then no row matches."""

    def predicate(self) -> Predicate:
        """Return the condition as a function of a row."""
        if self.operator is Operator.ABSENT:
            return _absent(self.column)
        if self.operator is Operator.PRESENT:
            return _present(self.column)
        if not self.values:
            return _nothing
        if self.operator in _ORDER:
            (bound,) = self.values
            return _ordered(self.column, _ORDER[self.operator][0], bound)
        if self.operator in _EQUALITY:
            return _one_of(self.column, self.values, self.operator in _NEGATED)
        needles = tuple(self.values)
        return _containing(
            self.column, needles, self.operator in _NEGATED, self.operator in _FOLDED
        )

    def sql(self) -> tuple[str, list[Any]]:
        """Return the condition as an SQL expression and its parameters."""
        name = _quoted(self.column)
        if self.operator in (Operator.ABSENT, Operator.PRESENT):
            return f"{name} {self.operator.upper()}", []
        values = sorted(self.values)
        if not values:
            return "FALSE", []
        mark = "CAST(? AS TIMESTAMP)" if self.kind in (Kind.DATE, Kind.TIMESTAMP) else "?"
        if self.operator in _ORDER:
            return f"{name} {_ORDER[self.operator][1]} {mark}", values
        negation = "NOT " if self.operator in _NEGATED else ""
        if self.operator in _EQUALITY:
            return f"{name} {negation}IN ({', '.join([mark] * len(values))})", values
        contains = _contains_folded if self.operator in _FOLDED else _contains
        found = [contains(name, value) for value in values]
        either = " OR ".join(text for text, _ in found)
        return f"{negation}({either})", [value for _, given in found for value in given]


@dataclass(frozen=True, slots=True)
class Filter:
    """The conditions that a row must meet, all of them; none is met by every row."""

    conditions: tuple[Condition, ...] = ()
    """In a canonical order."""
    matches: Predicate = field(init=False, repr=False, compare=False)
    """Tells whether a row matches. The row has Python values as `Columns.convert` makes them."""

    def __post_init__(self) -> None:
        predicates = tuple(condition.predicate() for condition in self.conditions)
        object.__setattr__(self, "matches", _all_of(predicates))

    @property
    def key(self) -> tuple[Condition, ...]:
        """Hashable; equal for filters that mean the same, whatever order they were written in."""
        return self.conditions

    @property
    def equalities(self) -> dict[str, frozenset[Any]]:
        """The values that a matching row may have, for each column that must equal one."""
        return {c.column: c.values for c in self.conditions if c.operator is Operator.EQUAL}

    def sql(self) -> tuple[str, list[Any]]:
        """Return a WHERE expression and its parameters, for a table of `Kind` column types."""
        expressions, parameters = [], []
        for condition in self.conditions:
            expression, values = condition.sql()
            expressions.append(expression)
            parameters += values
        return " AND ".join(expressions) or "TRUE", parameters


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
            f"{_quoted(name)} {'DESC NULLS LAST' if descending else 'ASC NULLS FIRST'}"
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
    values = [_converted(column, operator, text) for text in texts]
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


def _converted(column: Column, operator: Operator, text: str) -> Any:
    reader, meaning = _READERS[column.kind]
    if operator in _FOLDED:
        reader, meaning = _folded, f"text of at most {_MAX_FOLDED} characters"
    try:
        return reader(text)
    except (ValueError, OverflowError):
        shown = text if len(text) <= 60 else text[:57] + "..."
        message = f"{column.name}: {shown!r} is not {meaning}"
        raise Rejected("bad_filter", message, column=column.name) from None


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


# --- Values ------------------------------------------------------------------------------------


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


# --- Predicates --------------------------------------------------------------------------------


def _everything(_row: Mapping[str, Any]) -> bool:
    return True


def _nothing(_row: Mapping[str, Any]) -> bool:
    return False


def _absent(column: str) -> Predicate:
    return lambda row: row.get(column) is None


def _present(column: str) -> Predicate:
    return lambda row: row.get(column) is not None


def _one_of(column: str, values: frozenset[Any], negated: bool) -> Predicate:
    if not negated:
        return lambda row: row.get(column) in values
    others = values | {None}
    return lambda row: row.get(column) not in others


def _ordered(column: str, compare: Callable[[Any, Any], bool], bound: Any) -> Predicate:
    def matches(row: Mapping[str, Any]) -> bool:
        value = row.get(column)
        return value is not None and compare(value, bound)

    return matches


def _containing(column: str, needles: tuple[str, ...], negated: bool, folded: bool) -> Predicate:
    def matches(row: Mapping[str, Any]) -> bool:
        text = row.get(column)
        if text is None:
            return False
        if folded:
            text = text.casefold()
        for needle in needles:
            if needle in text:
                return not negated
        return negated

    return matches


def _all_of(predicates: tuple[Predicate, ...]) -> Predicate:
    if len(predicates) < 2:
        return predicates[0] if predicates else _everything

    def matches(row: Mapping[str, Any]) -> bool:
        for predicate in predicates:  # noqa: SIM110 - half the time of all() and a generator
            if not predicate(row):
                return False
        return True

    return matches


# --- SQL ---------------------------------------------------------------------------------------


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _contains(name: str, needle: str) -> tuple[str, list[str]]:
    return f"contains({name}, ?)", [needle]


def _contains_folded(name: str, needle: str) -> tuple[str, list[str]]:
    """Return SQL for `needle in name.casefold()`, where needle is folded already.

    What is neither replaced nor listed stays as it is in the text. It cannot be part of a match:
    either it folds to itself, or to what is not in the needle, which holds no unfolded character.
    """
    spellings, expansions = _foldings()
    parameters = []
    for character, expansion in expansions.items():
        if _may_share(expansion, needle):
            name = f"replace({name}, ?, ?)"
            parameters += [character, expansion]
    # Every character by its number: nothing in the needle is a wildcard.
    classes = ("".join(rf"\x{{{ord(c):x}}}" for c in spellings.get(n, n)) for n in needle)
    pattern = "".join(f"[{characters}]" for characters in classes)
    return f"regexp_matches({name}, ?)", [*parameters, pattern]


def _may_share(expansion: str, needle: str) -> bool:
    """Tell whether a place that holds `needle` can hold a part of `expansion`."""
    return (
        expansion in needle
        or needle in expansion
        or any(
            needle.startswith(expansion[cut:]) or needle.endswith(expansion[:cut])
            for cut in range(1, len(expansion))
        )
    )


@cache
def _foldings() -> tuple[dict[str, str], dict[str, str]]:
    """Return the spellings of each folded character, and what folds to several characters.

    Scripts with case are all in planes 0 and 1. Takes 30 ms, so only who needs it pays.
    """
    spellings: dict[str, str] = {}
    expansions: dict[str, str] = {}
    for character in map(chr, range(0x20000)):
        folded = character.casefold()
        if len(folded) > 1:
            expansions[character] = folded
        elif folded != character:
            spellings[folded] = spellings.get(folded, folded) + character
    return spellings, expansions
