"""Column rules: which columns a client may read and write, as `rules: columns:` says.

A column that a client may not read is no column for it. Reading is decided once for a connection or
request, so clients that may read the same columns share their frames and snapshots.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from eventhub.columns import Columns
from eventhub.config import ColumnRule, MessageEndpoint
from eventhub.errors import Misconfigured
from eventhub.filters.arguments import nearest, shown
from eventhub.handler import Handler
from eventhub.identity.decisions import (
    CLIENT_NAMES,
    ROW_NAMES,
    Decisions,
    compiled,
    is_expression,
    names_in,
)
from eventhub.ingest.permission import ALL_COLUMNS, ColumnAccess, Decide

_ROW_ID: Final = "id"
_May = Callable[[Handler], bool]


class ColumnRules:
    """The rules of one endpoint that are about columns, compiled."""

    def __init__(self, endpoint: MessageEndpoint, columns: Columns, folder: Path) -> None:
        """Compile the rules.

        Args:
            endpoint: with `rules` as the file has them.
            columns: of its table.
            folder: where the modules that an expression imports are found.

        Raises:
            Misconfigured: a rule is of no column, or is neither a word, nor what `read` and
                `write` can be.
        """
        rules: Mapping[str, ColumnRule] = {} if endpoint.rules is None else endpoint.rules.columns
        decisions = Decisions(endpoint.name, columns, folder)
        self._reads: dict[str, _May] = {}
        self._writes: dict[str, _May] = {}
        """Those that are equal for all rows."""
        self._decides: dict[str, Callable[[Handler], Decide]] = {}
        for name, rule in rules.items():
            where = f"url: {endpoint.name}: rules: columns: {name}"
            compiled(where, _check_name, name, columns)
            if rule.read not in (None, "any"):
                self._reads[name] = compiled(f"{where}: read", _reading, rule.read, decisions)
            if rule.write in (None, "any"):
                continue
            if _is_about_clients(rule.write):
                self._writes[name] = compiled(f"{where}: write", decisions.of_clients, rule.write)
            else:
                self._decides[name] = compiled(f"{where}: write", decisions.of_writes, rule.write)
        self._named = {name for name, rule in rules.items() if rule.write is not None}
        self.may_read_session = decisions.may_read_session
        """Whether an expression may read `handler.session`."""

    def access(self, handler: Handler) -> ColumnAccess:
        """Return which columns a client may read and write."""
        if not (self._reads or self._writes or self._decides):
            return ALL_COLUMNS
        hidden = frozenset(name for name, may in self._reads.items() if not may(handler))
        closed = {name for name, may in self._writes.items() if not may(handler)}
        # What an answer about a row decides could be asked about a column that is not there.
        closed |= {name for name in hidden if name not in self._named or name in self._decides}
        decides = {
            name: decide(handler) for name, decide in self._decides.items() if name not in closed
        }
        if not (hidden or closed or decides):
            return ALL_COLUMNS
        return ColumnAccess(hidden, frozenset(closed), decides)


def _check_name(name: str, columns: Columns) -> None:
    if name == _ROW_ID:
        raise Misconfigured("frames and writes name their row by id: it cannot have a rule")
    if name not in columns:
        raise Misconfigured(f"{shown(name)} is not a column{nearest(name, columns.names)}")


def _reading(text: str, decisions: Decisions) -> _May:
    """Compile a rule of reading, which no row decides.

    Raises:
        Misconfigured: it is another kind of rule.
    """
    names = names_in(text)
    if not names.isdisjoint(ROW_NAMES):
        known = f"{' or '.join(CLIENT_NAMES)}, not about {', '.join(ROW_NAMES)}"
        raise Misconfigured(f"it is decided before any row is read: write it about {known}")
    is_other = bool(names) and names.isdisjoint(CLIENT_NAMES)
    if is_other and text not in ("any", "none"):
        known = "any, none, or an expression about handler"
        raise Misconfigured(f"{text!r} is not a rule of reading a column: write {known}")
    return decisions.of_clients(text)


def _is_about_clients(text: str) -> bool:
    """Return whether a rule of writing is equal for all rows."""
    return text == "none" or (is_expression(text) and names_in(text).isdisjoint(ROW_NAMES))
