"""Restriction: what `open` sets in `args`, as a filter that no URL can widen.

What the client sent goes into `open` as `Sent` text. So what comes out of it can be told apart,
even where both chose the same value, or `open` added to a list of the client's.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from eventhub.columns import Columns
from eventhub.errors import Rejected
from eventhub.filters.arguments import CONTROLS, Args, Test, meaning_of, nearest, shown
from eventhub.filters.comparisons import exact_condition, test_of
from eventhub.filters.conditions import Filter
from eventhub.filters.query import all_of


class RestrictionError(ValueError):
    """What `open` set would restrict nothing, or something else than it says."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key
        """Of `args`."""


class Sent(str):
    """A value that the client chose. Each is an object of its own, unlike other short texts."""

    __slots__ = ()


def as_sent(args: Mapping[str, Iterable[str]]) -> Args:
    """Return the client's arguments so that `set_by_open` knows them again."""
    return {name: [Sent(value) for value in values] for name, values in args.items()}


def set_by_open(args: Mapping[str, Any], lists: Args, kept: Mapping[str, tuple[str, ...]]) -> Args:
    """Return the arguments that `open` set or changed.

    Where it added to a list of the client's, what it added counts alone: the client's values would
    widen it.

    Args:
        args: as `open` left them.
        lists: the lists that `open` got, which it may have changed.
        kept: what was in these lists.

    Raises:
        TypeError: a value is no list of text.
    """
    chosen: Args = {}
    for name, values in args.items():
        is_own = values is lists.get(name)
        if is_own and _are_same(values, kept[name]):
            continue
        checked = checked_values(name, values)
        if is_own:
            checked = [value for value in checked if not _has(kept[name], value)] or checked
        chosen[name] = checked
    return chosen


def restriction_of(chosen: Args, columns: Columns) -> tuple[Filter, frozenset[str]]:
    """Return what the arguments that `open` set restrict, and the keys that this is about.

    Values count as they are: no white space is cut off, and nothing is left out. A copy of an
    argument of the client's that names no column is left to who reads the client's arguments.

    Raises:
        RestrictionError: a key is neither a column with an operator that it can have, nor a
            control; or a value is blank, or none of its column.
        Rejected: `bad_filter`: the same, but the client chose the value.
    """
    conditions = []
    keys = []
    for key, values in chosen.items():
        is_sent = all(isinstance(value, Sent) for value in values)
        if key in CONTROLS:
            _check_control(key, values, columns)
        elif not is_sent or isinstance(meaning_of(key, columns), Test):
            try:
                conditions.append(exact_condition(key, values, columns))
            except Rejected as error:
                if is_sent:
                    raise
                raise RestrictionError(key, error.message) from error
            keys.append(key)
    return all_of(conditions), frozenset(keys)


def check_key(key: str, columns: Columns) -> None:
    """Check a key alone, whatever its values will be.

    Raises:
        RestrictionError: as `restriction_of`.
    """
    if key in CONTROLS:
        return
    try:
        test_of(key, columns)
    except Rejected as error:
        raise RestrictionError(key, error.message) from error


def _check_control(key: str, values: list[str], columns: Columns) -> None:
    """A column that `_c` was to leave out is not left out by a misspelt name."""
    for value in values if key == "_c" else ():
        name = value.strip()
        if isinstance(value, Sent) or name in columns or name.removeprefix("-") in columns:
            continue
        near = nearest(name.removeprefix("-"), columns.names)
        raise RestrictionError(key, f"_c: {shown(name)} is no column{near}")


def checked_values(name: str, values: Any) -> list[str]:
    """Refuse what would filter by other rows than meant: None, text for a list, an empty list.

    An empty list would ask for "not NULL" where "one of these" was meant.
    """
    if not isinstance(values, list | tuple) or not values:
        raise TypeError(f"args[{name!r}] must be a list of text, not {values!r}")
    for value in values:
        if not isinstance(value, str | int | float):
            raise TypeError(f"args[{name!r}] must be a list of text, not {values!r}")
    return [value if isinstance(value, str) else str(value) for value in values]


def _are_same(values: Any, others: tuple[str, ...]) -> bool:
    return len(values) == len(others) and all(map(_is, values, others))


def _is(one: object, other: object) -> bool:
    return one is other


def _has(values: tuple[str, ...], value: str) -> bool:
    return any(value is each for each in values)
