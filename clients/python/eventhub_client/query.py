"""Query: the URL that asks a hub for some rows of a path."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, TypedDict
from urllib.parse import quote, urlsplit

Where = Mapping[str, Any]
"""Column, with an operator after it if it is not equality (`"points>~"`), to a value, several
values of which one must match, or None for NULL."""
Names = str | Sequence[str]


class Asked(TypedDict, total=False):
    """Which rows, which columns of them, in which order, and how many."""

    where: Where | None
    columns: Names
    sort: Names
    limit: int | None


class Reading(Asked, total=False):
    """The same, of the present or the past."""

    as_of: str | int | datetime | None
    """A sequence, a position or a time; by default the rows as they are now."""


@dataclass(frozen=True, slots=True)
class SortKey:
    """One column of an order."""

    name: str
    is_descending: bool
    ignores_case: bool

    @classmethod
    def of(cls, text: str) -> "SortKey":
        """Return the key of a `_sort`: `n`, `-n`, `n*` or `-n*`."""
        name = text.removeprefix("-")
        return cls(name.removesuffix("*"), text.startswith("-"), name.endswith("*"))


@dataclass(frozen=True, slots=True)
class Query:
    """Which rows, which columns of them, and in which order."""

    where: Where
    columns: tuple[str, ...]
    """Empty: all."""
    sort: tuple[str, ...]
    limit: int | None

    @classmethod
    def of(
        cls,
        where: Where | None = None,
        columns: Names = (),
        sort: Names = (),
        limit: int | None = None,
    ) -> "Query":
        """Return a query.

        Raises:
            ValueError: a condition that would mean something else than it looks like.
        """
        query = cls(dict(where or {}), _names(columns), _names(sort), limit)
        for _ in query.conditions():  # checks them
            pass
        return query

    @property
    def sort_keys(self) -> tuple[SortKey, ...]:
        """The order, read."""
        return tuple(map(SortKey.of, self.sort))

    def conditions(self) -> Iterator[tuple[str, str]]:
        """Iterate over the arguments of the filter."""
        for key, given in self.where.items():
            if key.startswith("_"):
                raise ValueError(f"where: {key}: expected the name of a column")
            if given is None:
                yield f"{key}!", ""
                continue
            several = isinstance(given, list | tuple | set | frozenset)
            values = [text_of(value) for value in (given if several else [given])]
            # An empty condition would widen the answer.
            if not values or "" in values:
                raise ValueError(f"where: {key}: expected a value that is not empty")
            yield from ((key, value) for value in values)

    def followed(self) -> Iterator[tuple[str, str]]:
        """Iterate over the arguments of what follows the rows, and is shown in this order."""
        yield from self.conditions()
        if self.columns:
            names = dict.fromkeys(("id", *self.columns, *(key.name for key in self.sort_keys)))
            yield from (("_c", name) for name in names)
        if self.limit is not None:  # it is for what is shown, and not for what is followed
            yield "_limit", "-1"

    def shape(self) -> Iterator[tuple[str, str]]:
        """Iterate over the arguments for columns, order and number, as of a GET."""
        yield from (("_c", name) for name in self.columns)
        yield from (("_sort", name) for name in self.sort)
        if self.limit is not None:
            yield "_limit", str(self.limit)


def text_of(value: Any) -> str:
    """Return a value as the URL has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, date):  # a datetime is one, too
        return value.isoformat()
    if value is None:
        return ""
    return str(value)


def url_of(base: str, path: str, *arguments: tuple[str, str]) -> str:
    """Return the URL of a path with arguments after those that the path has.

    Args:
        base: the hub; paths are relative to it.
        path: as `messages`, or with arguments of its own.
        arguments: neither encoded nor in need of it.
    """
    path, _, query = path.lstrip("/").partition("?")
    more = [f"{quote(key, safe='')}={quote(value, safe='')}" for key, value in arguments]
    query = "&".join([*filter(None, [query]), *more])
    return f"{base.rstrip('/')}/{quote(path, safe='/%:@!$&()*+,;=~')}{query and f'?{query}'}"


def checked_base(url: str) -> str:
    """Return the URL of a hub without a slash at its end.

    Raises:
        ValueError: it is not one.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"{url!r}: expected the URL of a hub, such as http://127.0.0.1:8080")
    return url.rstrip("/")


def _names(given: Names) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)
