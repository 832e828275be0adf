"""Inside: conditions on values inside a JSON column, such as `data.org=x` or `data.a.0>=3`.

A path is a JSON pointer (RFC 6901): keys of objects, and indexes of lists, from 0. The filter's
value is text, and the type of the row's value decides how they are compared: text with the text, as
in a text column; a number with the number that the text spells, if it spells one; `true` and
`false` with these words. Objects and lists equal no text. Null and a missing value are both NULL.

Numbers are compared exactly: integers of 64 bits with all their digits, not as floats. DuckDB
distinguishes the two (`json_type`), so each is compared with a bound of its own type.
"""

import re
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from math import ceil, floor, inf, isinf
from typing import Any

from eventhub.columns import numbers
from eventhub.columns.canonical import canonical, is_among
from eventhub.filters.conditions import (
    FOLDED,
    MATCH,
    NEGATED,
    ORDER,
    Condition,
    Operator,
    Predicate,
)
from eventhub.filters.conditions import among as among_texts
from eventhub.filters.sql import contains, contains_folded, quoted

Path = tuple[str, ...]
Sql = tuple[str, list[Any]]

_INT = range(-(2**63), 2**64)
"""The integers that DuckDB reads from JSON as integers; it reads others as floats."""
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")
_LEAST = (Operator.ABOVE, Operator.AT_LEAST)
_WHOLE_TYPES = "('BIGINT', 'UBIGINT')"


@dataclass(frozen=True, slots=True)
class InsideCondition(Condition):
    """One test of the value at one path in a JSON column; the values of the filter are texts."""

    path: Path = ()

    @property
    def target(self) -> Hashable:
        """See `Condition`."""
        return (self.column, *self.path)

    @property
    def keys(self) -> frozenset[Any]:
        """See `Condition`."""
        words = {text == "true" for text in self.values & {"true", "false"}}
        return frozenset(map(canonical, self.values)) | self._numbers() | words

    def predicate(self) -> Predicate:
        """See `Condition`."""
        column, path = self.column, self.path
        is_met = self._is_met()
        negated = self.operator in NEGATED or self.operator is Operator.ABSENT

        def matches(row: Mapping[str, Any]) -> bool:
            value = _at(row.get(column), path)
            return (value is not None and not is_met(value)) if negated else is_met(value)

        if self.operator is Operator.ABSENT:
            return lambda row: _at(row.get(column), path) is None
        return matches

    def sql(self) -> Sql:
        """See `Condition`."""
        kind, pointer = f"json_type({quoted(self.column)}, ?)", _pointer(self.path)
        if self.operator is Operator.ABSENT:
            return f"COALESCE({kind}, 'NULL') = 'NULL'", [pointer]
        present = f"COALESCE({kind}, 'NULL') <> 'NULL'"
        if self.operator is Operator.PRESENT:
            return present, [pointer]
        met, values = self._sql_of_met(kind, pointer)
        if self.operator in NEGATED:
            return f"({present} AND NOT {met})", [pointer, *values]
        return met, values

    def _numbers(self) -> frozenset[int | float]:
        return frozenset(n for text in self.values if (n := _number(text)) is not None)

    def _is_met(self) -> Callable[[Any], bool]:
        """Return a function of a value: whether it meets the condition, without its negation."""
        if self.operator is Operator.PRESENT:
            return lambda value: value is not None
        texts = self.values
        if self.operator in MATCH:
            read = self.read
            return lambda value: _contains_any(value, texts, read)
        if self.operator in ORDER:
            return self._ordered()
        composed, numbers_among = self.composed, self._numbers()
        return lambda value: _is_one_of(value, texts, composed, numbers_among)

    def _ordered(self) -> Callable[[Any], bool]:
        compare, among = ORDER[self.operator][0], self._numbers()
        text_bound, number_bound = self._bound(self.values), self._bound(among)

        def is_met(value: Any) -> bool:
            if isinstance(value, str):
                return bool(compare(value, text_bound))
            number = _as_number(value)
            if number is None or number_bound is None:
                return False
            return bool(compare(number, number_bound))

        return is_met

    def _bound(self, values: frozenset[Any]) -> Any:
        return (min if self.operator in _LEAST else max)(values, default=None)

    def _sql_of_met(self, kind: str, pointer: str) -> Sql:
        """Return the SQL of `_is_met`, which is never NULL."""
        text = f"json_extract_string({quoted(self.column)}, ?)"
        parts: list[tuple[str, Sql]] = []
        if self.operator in MATCH:
            search, searched = (
                (contains_folded if self.operator in FOLDED else contains),
                (self.searched(text)),
            )
            parts = [("= 'VARCHAR'", search(searched, value)) for value in sorted(self.values)]
        elif self.operator in ORDER:
            sign = ORDER[self.operator][1]
            parts = [("= 'VARCHAR'", (f"{text} {sign} ?", [self._bound(self.values)]))]
            if among := self._numbers():
                parts += _ordered_sql(text, self.operator, self._bound(among))
        else:
            texts, among = sorted(self.values), self._numbers()
            parts = [("= 'VARCHAR'", among_texts(text, texts))]
            if self.composed:
                parts.append(("= 'VARCHAR'", among_texts(self.searched(text), self.composed)))
            wholes = sorted({int(n) for n in among if not isinf(n) and n == int(n)})
            floats = sorted({float(n) for n in among if float(n) == n})
            words = [word for word in texts if word in ("true", "false")]
            if words:
                parts.append(("= 'BOOLEAN'", (f"{text} IN ({_marks('?', words)})", words)))
            parts += _numbers_sql(text, wholes, floats)
        each = [
            (f"({kind} {type_} AND {sql})", [*[pointer] * (1 + sql.count(text)), *given])
            for type_, (sql, given) in parts
        ]
        either = " OR ".join(sql for sql, _ in each)
        return f"COALESCE({either}, FALSE)", [value for _, given in each for value in given]


def value_at(row: Mapping[str, Any], target: Hashable) -> Any:
    """Return a row's value at the target of a condition, comparable with the condition's `keys`."""
    if isinstance(target, tuple):
        value = _at(row.get(target[0]), target[1:])
        value = value if isinstance(value, str | bool) else _as_number(value)
    else:
        value = row.get(str(target))
    return canonical(value) if isinstance(value, str) else value


# --- Values ------------------------------------------------------------------------------------


def _at(value: Any, path: Path) -> Any:
    """Return the value at a path in a JSON value; None if it is missing."""
    for name in path:
        if isinstance(value, dict):
            value = value.get(name)
        elif isinstance(value, list) and _INDEX.fullmatch(name) and int(name) < len(value):
            value = value[int(name)]
        else:
            return None
    return value


def _number(text: str) -> int | float | None:
    """Return the number that a text spells, None if it spells none."""
    try:
        return _as_number(numbers.whole(text))
    except ValueError:
        pass
    try:
        return numbers.real(text)
    except ValueError:
        return None


def _as_number(value: Any) -> int | float | None:
    """Return a JSON number as DuckDB reads it, None for other values."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    if isinstance(value, int) and value in _INT:
        return value
    try:
        return float(value)
    except OverflowError:
        return inf if value > 0 else -inf


def _is_one_of(
    value: Any,
    texts: frozenset[str],
    composed: frozenset[str],
    among: frozenset[int | float],
) -> bool:
    if isinstance(value, bool):
        return ("true" if value else "false") in texts
    if isinstance(value, str):
        return is_among(value, texts, composed)
    number = _as_number(value)
    return number is not None and number in among


def _contains_any(value: Any, needles: frozenset[str], read: Callable[[str], str]) -> bool:
    if not isinstance(value, str):
        return False
    text = read(value)
    return any(needle in text for needle in needles)


# --- SQL ---------------------------------------------------------------------------------------


def _pointer(path: Path) -> str:
    return "".join("/" + name.replace("~", "~0").replace("/", "~1") for name in path)


def _marks(mark: str, values: list[Any]) -> str:
    return ", ".join([mark] * len(values))


def _numbers_sql(text: str, wholes: list[int], floats: list[float]) -> list[tuple[str, Sql]]:
    parts: list[tuple[str, Sql]] = []
    for type_, cast, values in (
        (f"IN {_WHOLE_TYPES}", "HUGEINT", [n for n in wholes if n in _INT]),
        ("= 'DOUBLE'", "DOUBLE", floats),
    ):
        if values:
            marks = _marks(f"CAST(? AS {cast})", values)
            parts.append((type_, (f"TRY_CAST({text} AS {cast}) IN ({marks})", [*values])))
    return parts


def _ordered_sql(text: str, operator: Operator, bound: float) -> list[tuple[str, Sql]]:
    """Compare integers with an integer, and floats with a float, so that neither is rounded."""
    whole_sign, whole = _whole_bound(operator, bound)
    float_sign, nearest = _float_bound(operator, bound)
    return [
        (
            f"IN {_WHOLE_TYPES}",
            (f"TRY_CAST({text} AS HUGEINT) {whole_sign} CAST(? AS HUGEINT)", [whole]),
        ),
        ("= 'DOUBLE'", (f"TRY_CAST({text} AS DOUBLE) {float_sign} CAST(? AS DOUBLE)", [nearest])),
    ]


def _whole_bound(operator: Operator, bound: float) -> tuple[str, int]:
    clipped = max(_INT[0] - 1, min(bound, _INT[-1] + 1))
    up = operator in (Operator.AT_LEAST, Operator.BELOW)
    return ORDER[operator][1], ceil(clipped) if up else floor(clipped)


def _float_bound(operator: Operator, bound: float) -> tuple[str, float]:
    """Return a bound for floats: none of them lies between a number and the float nearest to it."""
    nearest = float(bound)
    if nearest == bound:
        return ORDER[operator][1], nearest
    if operator in _LEAST:
        return (">=" if nearest > bound else ">"), nearest
    return ("<" if nearest > bound else "<="), nearest
