"""Query: the arguments of a URL: which rows, in what order, how many, which columns.

Replays, live messages, HTTP and alert conditions all apply the same filter.
"""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from eventhub.columns import INT64, Columns, Kind, Spelling, numbers
from eventhub.columns.spelling import AS_STORED
from eventhub.errors import Rejected
from eventhub.filters.arguments import (
    Stranger,
    Test,
    Unknown,
    is_ignored,
    meaning_of,
    nearest,
    shown,
)
from eventhub.filters.comparisons import conditions_of
from eventhub.filters.conditions import EVERYTHING, Condition, Filter
from eventhub.filters.sql import canonical_sql, quoted

_ALWAYS_SENT = ("_method", "_seq", "_created", "_time", "id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What a reader asked for: which rows, in what order, how many, which columns."""

    filter: Filter
    sort: tuple[tuple[str, bool], ...] = ()
    """Column, and whether descending; the most significant first. Ties are in order of creation."""
    caseless: frozenset[str] = frozenset()
    """Columns of `sort` that are compared without case."""
    limit: int | None = None
    """The most rows of the replay; None for all."""
    offset: int = 0
    """Rows to skip at the start of the replay."""
    columns: tuple[str, ...]
    """Of a replayed row, in order."""
    picked: bool = False
    """`columns` were asked for by name: nothing else is sent."""
    hidden: frozenset[str] = frozenset()
    """Names to leave out, whether columns or not: everything else is sent."""
    unreadable: frozenset[str] = frozenset()
    """Columns that the reader may not read: in no message, and what changes only them is none."""
    spelling: Spelling = AS_STORED
    """How values are written for the reader."""
    restriction: Filter = EVERYTHING
    """What the endpoint's `open` allows the reader to see; `filter` includes it."""
    as_of: int | None = None
    """The sequence after which the rows are wanted as they were then; None: today's rows."""

    def past(self, sequence: int) -> "Query":
        """Return the same query for the rows as they were after an event."""
        return replace(self, as_of=sequence)

    def within(self, restriction: Filter) -> "Query":
        """Return the same query for only the rows that match a restriction."""
        if not restriction.conditions:
            return self
        both = all_of([*self.filter.conditions, *restriction.conditions])
        return replace(self, filter=both, restriction=restriction)

    def hiding(self, names: frozenset[str]) -> "Query":
        """Return the same query for a reader who may not read some columns.

        It was parsed with the other columns.
        """
        return replace(self, unreadable=names) if names else self

    def with_texts(self, columns: Columns) -> "Query":
        """Return the same query, with numbers that a double cannot hold written as text."""
        numbers = (Kind.INTEGER, Kind.DECIMAL)
        wide = frozenset(column.name for column in columns if column.kind in numbers)
        return replace(self, spelling=replace(self.spelling, wide=wide))

    def with_numbers(self) -> "Query":
        """Return the same query, with all numbers written as numbers."""
        return replace(self, spelling=replace(self.spelling, wide=frozenset()))

    @property
    def is_shaped(self) -> bool:
        """Whether rows are sorted or limited, so that one row may change which others there are."""
        return bool(self.sort or self.offset) or self.limit is not None

    @property
    def picks(self) -> Hashable:
        """Equal if `pick` does the same. None if it changes nothing."""
        picks = self.columns if self.picked else self.hidden or None
        return (picks, self.unreadable) if self.unreadable else picks

    def pick(self, message: dict[str, Any]) -> dict[str, Any]:
        """Return what this reader gets of a live message; the message itself without `_c`.

        `_method`, `_seq`, `_created`, `_time` and `id` always stay. Keys that are not columns stay
        unless columns are asked for by name.
        """
        if self.picked:
            front = [name for name in _ALWAYS_SENT if name not in self.columns]
            picked = {name: value for name, value in message.items() if name in front}
            picked.update((name, message[name]) for name in self.columns if name in message)
            return picked
        if self.hidden or self.unreadable:
            left_out = self.hidden.difference(_ALWAYS_SENT) | self.unreadable
            return {name: value for name, value in message.items() if name not in left_out}
        return message

    def order_by(self) -> str:
        """Return the ORDER BY terms; the table's `_created_seq` is the order of creation."""
        terms = []
        for name, descending in self.sort:
            value = quoted(name)
            if name in self.caseless:
                value = f"lower({canonical_sql(value)})"
            terms.append(f"{value} {'DESC NULLS LAST' if descending else 'ASC NULLS FIRST'}")
        return ", ".join([*terms, "_created_seq"])


def parse(
    args: Mapping[str, Iterable[Any]], columns: Columns, unknown: Unknown | None = None
) -> Query:
    """Return the query that arguments mean for a table with these columns.

    A hook may have left values that are not text: they count as their text, and None as no value.

    Args:
        args: operators are part of the keys.
        columns: of the table.
        unknown: what happens to unknown keys and names; by default those that look like a mistake
            are refused.

    Raises:
        Rejected: `bad_filter`, with the column or argument at fault.
    """
    conditions = set()
    for key, values in args.items():
        match meaning_of(key, columns):
            case Test() as test:
                conditions.update(conditions_of(test, _texts(values)))
            case Stranger() as stranger if not is_ignored(stranger, unknown):
                raise stranger.refusal()
            case _:
                pass  # controls are read below
    limit = _smallest(args, "_limit")
    offset = _smallest(args, "_offset")
    picked, hidden = _picked(args, columns, unknown)
    sort, caseless = _sort(_texts(args.get("_sort", ())), columns, unknown)
    return Query(
        filter=all_of(conditions),
        sort=sort,
        caseless=caseless,
        limit=None if limit is None or limit < 0 or limit not in INT64 else limit,
        offset=min(max(offset or 0, 0), INT64[-1]),
        columns=picked or tuple(name for name in columns.names if name not in hidden),
        picked=bool(picked),
        hidden=hidden,
        spelling=columns.spelling,
    )


def all_of(conditions: Iterable[Condition]) -> Filter:
    """Return the filter of some conditions, in its canonical order."""

    def order(condition: Condition) -> tuple[str, str, list[str], bool]:
        values = sorted(map(repr, condition.values))
        return condition.operator, repr(condition.target), values, condition.exact

    return Filter(tuple(sorted(set(conditions), key=order)))


# --- Arguments ---------------------------------------------------------------------------------


def _given(values: Iterable[Any]) -> list[str]:
    """Return values as text. A hook that writes `"x"` means `["x"]`, not each character."""
    given = [values] if isinstance(values, str) else values
    return [str(value) for value in given if value is not None]


def _texts(values: Iterable[Any]) -> list[str]:
    return [text for text in _given(values) if text]


def _smallest(args: Mapping[str, Iterable[Any]], name: str) -> int | None:
    try:
        return min(map(numbers.whole, _given(args.get(name, ()))), default=None)
    except ValueError:
        message = f"{name} is not a whole number, such as {name}=10"
        raise Rejected("bad_filter", message, column=name) from None


def _signed(text: str, columns: Columns) -> tuple[str, bool]:
    """Return a name without its `-`, and whether it had one. A column may be named `-x`."""
    negative = text.startswith("-") and text not in columns
    return text.removeprefix("-") if negative else text, negative


def _sort(
    texts: list[str], columns: Columns, unknown: Unknown | None
) -> tuple[tuple[tuple[str, bool], ...], frozenset[str]]:
    """Return the columns to sort by, and those of them that are compared without case: `name*`."""
    sort: dict[str, bool] = {}
    caseless = set()
    for text in texts:
        name, descending = _signed(text, columns)
        bare = name.removesuffix("*")
        if name in columns:
            sort.setdefault(name, descending)
        elif bare in columns and columns[bare].kind is Kind.TEXT:
            if bare not in sort:
                caseless.add(bare)
            sort.setdefault(bare, descending)
        elif unknown != "refuse" and all(
            _signed(part, columns)[0] in columns for part in text.split(",")
        ):
            pass  # one value lists several columns, which Gramex ignores; `_sort` is repeated
        else:
            _check_unknown("_sort", name, columns, unknown)
    return tuple(sort.items()), frozenset(caseless)


def _check_unknown(control: str, name: str, columns: Columns, unknown: Unknown | None) -> None:
    if unknown != "ignore":
        message = f"{control}: {shown(name)} is not a column{nearest(name, columns.names)}"
        raise Rejected("bad_filter", message, column=control)


def _picked(
    args: Mapping[str, Iterable[Any]], columns: Columns, unknown: Unknown | None
) -> tuple[tuple[str, ...], frozenset[str]]:
    """Return the columns that `_c` asks for, or the names that it leaves out."""
    given = _given(args.get("_c", ()))
    signed = [_signed(text, columns) for text in given]
    for name, _ in signed:
        if name not in columns:
            _check_unknown("_c", name, columns, unknown)
    picked = tuple(dict.fromkeys(name for name, minus in signed if not minus and name in columns))
    hidden = frozenset(name for name, minus in signed if minus)
    if given and not picked and (not hidden or hidden.issuperset(columns.names)):
        message = f"_c leaves no column: choose among {', '.join(columns.names)}"
        raise Rejected("bad_filter", message, column="_c")
    return picked, frozenset() if picked else hidden
