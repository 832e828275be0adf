"""View: live rows as a GET with the same arguments would answer; it does no input or output."""

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from threading import Lock
from types import MappingProxyType
from typing import Any

from eventhub_client.query import Query, SortKey
from eventhub_client.subscription import Change, Passed

Row = Mapping[str, Any]
_TIME = re.compile(r"^(\d+-\d\d-\d\dT[\d:.]+)Z$")
"""An instant; without its `Z` it is compared with other times as text."""


class View:
    """The rows of a query, changed by events; it may be read from any thread."""

    def __init__(self, query: Query) -> None:
        self._keys = query.sort_keys
        self._limit = query.limit
        self._blank: dict[str, Any] | None = dict.fromkeys(query.columns) if query.columns else None
        """Every column as NULL; None as long as the columns are not known."""
        self._rows: dict[str, Row] = {}
        """In order of creation."""
        self._staged: dict[str, Row] | None = None
        """All rows come again, to replace the others at once."""
        self._newest = ""
        self._shown: Mapping[str, Row] | None = {}
        """The rows as they are shown; None if they have to be made again."""
        self._lock = Lock()

    def apply(self, event: Change | Passed) -> bool:
        """Take an event; tell whether the rows that are shown may differ now."""
        with self._lock:
            if isinstance(event, Change):
                self._change(event)
                may_differ = self._staged is None
            else:
                may_differ = event.is_live and self._replace()
            if may_differ:
                self._shown = None
            return may_differ

    def shown(self) -> Mapping[str, Row]:
        """Return the rows by their ids, in order; it is another object only after a change."""
        with self._lock:
            if self._shown is None:
                rows: Iterable[Row] = self._rows.values()
                if self._keys:
                    rows = _sorted(rows, self._keys)
                several = list(rows)[: self._limit]
                self._shown = MappingProxyType({row["id"]: row for row in several})
            return self._shown

    def _change(self, change: Change) -> None:
        if change.row is None:  # RESET
            self._staged = {}
            self._newest = ""
            return
        into = self._rows if self._staged is None else self._staged
        row = {**change.row, "_seq": change.seq}
        if change.method == "POST":
            self._insert(into, row)
        elif change.method == "DELETE":
            into.pop(change.id, None)
        elif change.id in into:
            into[change.id] = MappingProxyType({**into[change.id], **row})

    def _replace(self) -> bool:
        """Show the rows that came again; tell whether they differ from those before."""
        if self._staged is None:
            return False
        before, self._rows, self._staged = self._rows, self._staged, None
        return list(before.items()) != list(self._rows.items())

    def _insert(self, into: dict[str, Row], row: dict[str, Any]) -> None:
        if self._staged is not None and self._blank is None:
            self._blank = dict.fromkeys(row)
        created = str(row.get("timestamp") or "")
        whole = MappingProxyType({**(self._blank or {}), **row})
        if self._staged is not None or row["id"] in into or created >= self._newest:
            into[row["id"]] = whole
            self._newest = max(self._newest, created)
            return
        # It is older than others, and entered the filter.
        rows = list(into.values())
        at = len(rows)
        while at and str(rows[at - 1].get("timestamp") or "") > created:
            at -= 1
        rows.insert(at, whole)
        self._rows = {each["id"]: each for each in rows}


def _sorted(rows: Iterable[Row], keys: tuple[SortKey, ...]) -> list[Row]:
    ordered = list(rows)
    for key in reversed(keys):  # each sort keeps the order of equal rows
        ordered.sort(key=lambda row: _sortable(row.get(key.name), key), reverse=key.is_descending)
    return ordered


def _sortable(value: Any, key: SortKey) -> tuple[int, Any]:
    """Return a value that is compared as the hub compares: NULL first, text by code points."""
    if value is None:
        return 0, 0
    if isinstance(value, int | float):
        return 1, value
    text = value if isinstance(value, str) else json.dumps(value)
    if key.ignores_case:
        text = unicodedata.normalize("NFC", text).casefold()
    return 2, _TIME.sub(r"\1", text)
