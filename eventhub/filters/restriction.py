"""Restriction: what `open` sets in `args`, as a filter that no URL can widen.

The client's arguments are passed to `open` as `Sent` text. So the client's values can be told from
those that `open` set, even if both chose the same value or `open` added to a list of the client's.
"""

from collections.abc import Iterable, Mapping, Set
from operator import is_
from typing import Any, Final, Self

from eventhub.columns import Columns
from eventhub.errors import Rejected
from eventhub.filters.arguments import CONTROLS, Args, Test, meaning_of, nearest, shown
from eventhub.filters.comparisons import exact_condition, test_of
from eventhub.filters.conditions import EVERYTHING, Filter
from eventhub.filters.query import all_of

NAMING: Final = frozenset(("_c", "_sort"))
"""The controls whose values are names of columns."""


class RestrictionError(ValueError):
    """What `open` set would restrict nothing, or not what was meant."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key
        """Of `args`."""


class Sent(str):
    """A value that the client chose. Each one is a separate object, unlike other short texts."""

    __slots__ = ("key",)
    key: str
    """The argument that it was sent as."""

    def __new__(cls, value: str, key: str) -> Self:
        """Make a value of an argument."""
        made = super().__new__(cls, value)
        made.key = key
        return made


def as_sent(args: Mapping[str, Iterable[str]]) -> Args:
    """Return the client's arguments in a form that `set_by_open` recognises."""
    return {name: [Sent(value, name) for value in values] for name, values in args.items()}


def set_by_open(args: Mapping[str, Any], lists: Args, kept: Mapping[str, tuple[str, ...]]) -> Args:
    """Return the arguments that `open` set or changed.

    If it added to a list of the client's, only the added values count: the client's values would
    widen the restriction.

    Args:
        args: as `open` left them.
        lists: the lists that `open` got, which it may have changed.
        kept: what was in these lists.

    Raises:
        TypeError: a value is not a list of text.
    """
    chosen: Args = {}
    for name, values in args.items():
        is_own = values is lists.get(name)
        if is_own and len(values) == len(kept[name]) and all(map(is_, values, kept[name])):
            continue
        checked = checked_values(name, values)
        if is_own:
            added = [value for value in checked if not any(value is sent for sent in kept[name])]
            checked = added or checked
        chosen[name] = checked
    return chosen


def restriction_of(
    chosen: Args, columns: Columns, hidden: frozenset[str] = frozenset()
) -> tuple[Filter, frozenset[str]]:
    """Return the filter of the arguments that `open` set, and the keys that it uses.

    Values count unchanged: white space is kept, and nothing is left out. A copy of a client's
    argument that does not name a column is left to `parse`, with the client's other arguments.

    Args:
        chosen: what `open` set.
        columns: of the table.
        hidden: columns that the client may not read. `open` may restrict by them, but not to what
            the client itself sent for them, which would answer questions about them.

    Raises:
        RestrictionError: a key is neither a column with an operator that it has, nor a control; or
            a value is blank, not a value of its column, or the client's for a hidden column.
        Rejected: `bad_filter`: the same, but the client chose the value.
    """
    conditions = []
    keys = []
    for key, values in chosen.items():
        is_sent = all(isinstance(value, Sent) for value in values)
        if key in CONTROLS:
            _check_control(key, values, columns)
        elif not is_sent or isinstance(meaning_of(key, columns), Test):
            _check_not_asked(key, values, columns, hidden)
            try:
                conditions.append(exact_condition(key, values, columns))
            except Rejected as error:
                if is_sent:
                    raise
                raise RestrictionError(key, error.message) from error
            keys.append(key)
    return all_of(conditions) if conditions else EVERYTHING, frozenset(keys)


def readable_names(control: str, values: list[str], hidden: frozenset[str]) -> list[str]:
    """Return what `open` put under `_c` or `_sort`, without the columns that are hidden.

    Names that the client itself sent stay: for it they are no columns, and refused.

    Raises:
        RestrictionError: no column is left to pick.
    """

    kept = [v for v in values if isinstance(v, Sent) or hidden.isdisjoint(_names(v))]
    if control == "_c" and _picks(values) and not _picks(kept):
        raise RestrictionError(control, "the client may read none of these columns")
    return kept


def _picks(values: Iterable[str]) -> bool:
    """Return whether a value of `_c` asks for a column, instead of leaving it out."""
    return not all(value.startswith("-") for value in values)


def check_hideable(args: Mapping[str, Iterable[str]], columns: Columns, hidden: Set[str]) -> None:
    """Check that arguments need no column that may be hidden: their clients would be told of it.

    Raises:
        RestrictionError: naming the key.
    """
    for key, values in args.items():
        meaning = meaning_of(key, columns)
        is_test = isinstance(meaning, Test) and meaning.column.name in hidden
        if is_test or (key in NAMING and any(not hidden.isdisjoint(_names(v)) for v in values)):
            text = f"{key}: `rules: columns:` may hide the column: leave it out"
            raise RestrictionError(key, text)


def _names(value: str) -> tuple[str, ...]:
    """Return the columns that a value of `_c` or `_sort` may mean."""
    name = value.removeprefix("-")
    return value, name, name.removesuffix("*")


def check_key(key: str, columns: Columns) -> None:
    """Check a key without its values.

    Raises:
        RestrictionError: as `restriction_of`.
    """
    if key in CONTROLS:
        return
    try:
        test_of(key, columns)
    except Rejected as error:
        raise RestrictionError(key, error.message) from error


def _check_not_asked(
    key: str, values: Iterable[str], columns: Columns, hidden: frozenset[str]
) -> None:
    """Check that a condition on a hidden column is not the client's own.

    To leave it out would show rows that `open` may have meant to hide.
    """
    if any(isinstance(value, Sent) and value.key == key for value in values):
        meaning = meaning_of(key, columns)
        if isinstance(meaning, Test) and meaning.column.name in hidden:
            raise RestrictionError(key, "the client chose this value of a column hidden from it")


def _check_control(key: str, values: list[str], columns: Columns) -> None:
    """Check the names under `_c`: a misspelt name would not leave out the column that it means."""
    for value in values if key == "_c" else ():
        name = value.strip()
        if isinstance(value, Sent) or name in columns or name.removeprefix("-") in columns:
            continue
        near = nearest(name.removeprefix("-"), columns.names)
        raise RestrictionError(key, f"_c: {shown(name)} is not a column{near}")


def checked_values(name: str, values: Any) -> list[str]:
    """Return the values of an argument as text.

    Raises:
        TypeError: they would match other rows than meant: None, a text instead of a list, or an
            empty list, which would mean "not NULL" instead of "one of these".
    """
    if not isinstance(values, list | tuple) or not values:
        raise TypeError(f"args[{name!r}] must be a list of text, not {values!r}")
    for value in values:
        if not isinstance(value, str | int | float):
            raise TypeError(f"args[{name!r}] must be a list of text, not {values!r}")
    return [value if isinstance(value, str) else str(value) for value in values]
