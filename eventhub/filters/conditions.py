"""Conditions: one filter as a predicate and as SQL, which agree on every row.

Texts are equal, and contain each other, in their canonical form, unless a condition is `exact`.
Numbers beyond 64 bits are compared exactly. NaN matches nothing, so `!=nan` keeps every row whose
value is not NULL.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from operator import ge, gt, le, lt
from typing import Any

from eventhub.columns import Kind
from eventhub.columns.canonical import canonical, canonical_casefold, casefold, is_among
from eventhub.filters.sql import canonical_sql, contains, contains_folded, expansions_of, quoted

Predicate = Callable[[Mapping[str, Any]], bool]
"""Returns whether a row matches."""


class Operator(StrEnum):
    """How a condition tests its column; the value is the end of the key in the URL."""

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
    PRESENT = "is not null"  # `c=` without a value; no key ends like this or the next
    ABSENT = "is null"  # `c!=` without a value


EQUALITY = (Operator.EQUAL, Operator.DIFFERENT)
ORDER = {
    Operator.ABOVE: (gt, ">"),
    Operator.AT_LEAST: (ge, ">="),
    Operator.BELOW: (lt, "<"),
    Operator.AT_MOST: (le, "<="),
}
MATCH = (Operator.CONTAINS, Operator.LACKS, Operator.CONTAINS_FOLDED, Operator.LACKS_FOLDED)
FOLDED = (Operator.CONTAINS_FOLDED, Operator.LACKS_FOLDED)
NEGATED = (Operator.DIFFERENT, Operator.LACKS, Operator.LACKS_FOLDED)

_CASTS = {Kind.DATE: "TIMESTAMP", Kind.TIMESTAMP: "TIMESTAMP", Kind.TIMESTAMPTZ: "TIMESTAMPTZ"}
_KEYS: dict[Kind, Callable[[Any], Any]] = {
    Kind.DECIMAL: Decimal,
    Kind.TIMESTAMPTZ: lambda text: text[:-1],  # `Z` sorts after the point of a fraction
}
"""By kind, the sort key of a value, which compares with the bounds of that kind."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One test of one column; a row must pass every condition of a filter."""

    column: str
    kind: Kind
    operator: Operator
    values: frozenset[Any] = frozenset()
    """Converted: one bound if the operator is an order, case-folded if the operator folds, and
    canonical unless the condition is exact.

    Empty if all of them were NaN: then no row matches."""
    exact: bool = False
    """Compare texts by code point: ids, users, and what the configuration allows."""

    @property
    def target(self) -> Hashable:
        """What is tested, hashable: a column, by its name."""
        return self.column

    @property
    def keys(self) -> frozenset[Any]:
        """Of an equality: every value that a matching row can have there, and maybe more.

        Texts are in their canonical form.
        """
        return frozenset(canonical(v) if isinstance(v, str) else v for v in self.values)

    def predicate(self) -> Predicate:
        """Return the condition as a function of a row."""
        column = self.column
        if self.operator is Operator.ABSENT:
            return lambda row: row.get(column) is None
        if self.operator is Operator.PRESENT:
            return lambda row: row.get(column) is not None
        if not self.values:
            return lambda _row: False
        if self.operator in ORDER:
            (bound,) = self.values
            return _ordered(column, ORDER[self.operator][0], bound, _KEYS.get(self.kind))
        negated = self.operator in NEGATED
        if self.operator in EQUALITY:
            if self.composed:
                return _one_of_texts(column, self.values, self.composed, negated)
            return _one_of(column, self.values, negated)
        return _containing(column, tuple(self.values), negated, self.read)

    @property
    def composed(self) -> frozenset[str]:
        """Of an equality: the values that a row may spell differently.

        ASCII is spelled in one way. (A few symbols, such as the Kelvin sign, are canonically a
        letter of ASCII, but no user means them by it.)
        """
        if self.exact or self.kind not in (Kind.TEXT, Kind.JSON):
            return frozenset()
        return frozenset(value for value in self.values if not value.isascii())

    @property
    def read(self) -> Callable[[str], str]:
        """Return how a row's text is read before it is searched."""
        if self.operator in FOLDED:
            return casefold if self.exact else canonical_casefold
        return str if self.exact else canonical

    def searched(self, text: str) -> str:
        """Return the SQL of a row's text as it is searched; `text` is an SQL expression."""
        return text if self.exact else canonical_sql(text)

    @property
    def expansions(self) -> int:
        """How often a search without case goes through the text before it matches."""
        if self.operator not in FOLDED:
            return 0
        return sum(len(expansions_of(value)) for value in self.values)

    def sql(self) -> tuple[str, list[Any]]:
        """Return the condition as an SQL expression and its parameters."""
        name = quoted(self.column)
        if self.operator in (Operator.ABSENT, Operator.PRESENT):
            return f"{name} {self.operator.upper()}", []
        values = sorted(self.values)
        if not values:
            return "FALSE", []
        if self.operator in ORDER:
            return _order(name, self.kind, self.operator, values[0])
        negation = "NOT " if self.operator in NEGATED else ""
        if self.operator in EQUALITY:
            mark = _mark(self.kind, values[0])
            is_equal = f"{name} {{}}IN ({', '.join([mark] * len(values))})"
            if not self.composed:
                return is_equal.format(negation), values
            composed, given = among(self.searched(name), self.composed)
            return f"{negation}({is_equal.format('')} OR {composed})", [*values, *given]
        search = contains_folded if self.operator in FOLDED else contains
        found = [search(self.searched(name), value) for value in values]
        either = " OR ".join(text for text, _ in found)
        return f"{negation}({either})", [value for _, given in found for value in given]


@dataclass(frozen=True, slots=True)
class Filter:
    """The conditions that a row must meet, all of them. Without conditions every row matches."""

    conditions: tuple[Condition, ...] = ()
    """In a canonical order."""
    matches: Predicate = field(init=False, repr=False, compare=False)
    """Returns whether a row matches. The row has Python values as `Columns.convert` makes them."""

    def __post_init__(self) -> None:
        predicates = tuple(condition.predicate() for condition in self.conditions)
        object.__setattr__(self, "matches", _all_of(predicates))

    @property
    def key(self) -> tuple[Condition, ...]:
        """Hashable; equal for filters that mean the same, whatever the order of their arguments."""
        return self.conditions

    @property
    def equalities(self) -> dict[Hashable, frozenset[Any]]:
        """The values that a matching row may have, for each target that must equal one."""
        return {c.target: c.keys for c in self.conditions if c.operator is Operator.EQUAL}

    def sql(self) -> tuple[str, list[Any]]:
        """Return a WHERE expression and its parameters, for a table of `Kind` column types."""
        expressions, parameters = [], []
        for condition in self.conditions:
            expression, values = condition.sql()
            expressions.append(expression)
            parameters += values
        return " AND ".join(expressions) or "TRUE", parameters


# --- Predicates --------------------------------------------------------------------------------


def _one_of(column: str, values: frozenset[Any], negated: bool) -> Predicate:
    if not negated:
        return lambda row: row.get(column) in values
    others = values | {None}
    return lambda row: row.get(column) not in others


def _one_of_texts(
    column: str, values: frozenset[str], composed: frozenset[str], negated: bool
) -> Predicate:
    def matches(row: Mapping[str, Any]) -> bool:
        text = row.get(column)
        return text is not None and is_among(text, values, composed) is not negated

    return matches


def _ordered(
    column: str,
    compare: Callable[[Any, Any], bool],
    bound: Any,
    key: Callable[[Any], Any] | None,
) -> Predicate:
    if key is not None:

        def matches_by_key(row: Mapping[str, Any]) -> bool:
            value = row.get(column)
            return value is not None and compare(key(value), bound)

        return matches_by_key

    def matches(row: Mapping[str, Any]) -> bool:
        value = row.get(column)
        return value is not None and compare(value, bound)

    return matches


def _containing(
    column: str, needles: tuple[str, ...], negated: bool, read: Callable[[str], str]
) -> Predicate:
    def matches(row: Mapping[str, Any]) -> bool:
        text = row.get(column)
        if text is None:
            return False
        text = read(text)
        for needle in needles:
            if needle in text:
                return not negated
        return negated

    return matches


def _all_of(predicates: tuple[Predicate, ...]) -> Predicate:
    if len(predicates) < 2:
        return predicates[0] if predicates else lambda _row: True

    def matches(row: Mapping[str, Any]) -> bool:
        for predicate in predicates:  # noqa: SIM110 - half the time of all() and a generator
            if not predicate(row):
                return False
        return True

    return matches


EVERYTHING = Filter()
"""The filter that every row matches."""


# --- SQL ---------------------------------------------------------------------------------------


def _order(name: str, kind: Kind, operator: Operator, bound: Any) -> tuple[str, list[Any]]:
    compare, sign = ORDER[operator]
    if not isinstance(bound, Decimal):
        utc = " || 'Z'" if kind is Kind.TIMESTAMPTZ else ""
        mark = _mark(kind, bound).replace("?", f"?{utc}")
        return f"{name} {sign} {mark}", [bound]
    if bound.is_infinite():
        return (f"{name} IS NOT NULL" if compare(0, bound) else "FALSE"), []
    text = f"{bound:f}"
    return f"{name} {sign} {_mark(kind, text)}", [text]


def among(name: str, values: Iterable[str]) -> tuple[str, list[str]]:
    """Return SQL for whether a text is one of some values, and its parameters."""
    given = sorted(values)
    return f"{name} IN ({', '.join('?' * len(given))})", given


def _mark(kind: Kind, value: Any) -> str:
    """Return the SQL placeholder of a value that a column is compared with."""
    if kind is Kind.DECIMAL:
        # As many digits after the point as the column has: nothing is rounded.
        return f"CAST(? AS DECIMAL(38,{len(value.partition('.')[2])}))"
    return f"CAST(? AS {_CASTS[kind]})" if kind in _CASTS else "?"
