"""Row rules: which rows a user may see and change, as `rules:` of an endpoint says.

The rules are compiled when the hub starts.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from eventhub.columns import Columns
from eventhub.config import MessageEndpoint, Rules
from eventhub.filters.conditions import EVERYTHING, Filter
from eventhub.filters.query import all_of
from eventhub.handler import Handler
from eventhub.identity.decisions import Decisions, FilterOf, compiled, filter_of
from eventhub.ingest.permission import ALL_COLUMNS, UNLIMITED, ColumnAccess, Decide, Permission
from eventhub.methods import Method

_METHODS: Final[dict[str, Method]] = {"create": "POST", "update": "PUT", "delete": "DELETE"}


class RowRules:
    """The rules of one endpoint that are about rows, compiled."""

    def __init__(self, endpoint: MessageEndpoint, columns: Columns, folder: Path) -> None:
        """Compile the rules.

        Args:
            endpoint: with `rules` as the file has them.
            columns: of its table.
            folder: where the modules that an expression imports are found.

        Raises:
            Misconfigured: a rule is neither a word, nor a filter of these columns, nor an
                expression.
        """
        rules, where = endpoint.rules, f"url: {endpoint.name}: rules"
        decisions = Decisions(endpoint.name, columns, folder)
        self._reads: FilterOf | None = None
        if rules is not None and rules.read is not None and rules.read != "any":
            self._reads = compiled(f"{where}: read", filter_of, rules.read, columns)
        self._decides: dict[Method, Callable[[Handler], Decide]] = {}
        for name, method in _METHODS.items():
            text = None if rules is None else getattr(rules, name)
            if text is not None and text != "any":
                self._decides[method] = compiled(f"{where}: {name}", decisions.of_writes, text)
        self._sends = None if rules is None else self._of_sends(rules, decisions, where)
        self.may_read_session = decisions.may_read_session
        """Whether an expression may read `handler.session`."""

    def _of_sends(
        self, rules: Rules, decisions: Decisions, where: str
    ) -> Callable[[Handler], Decide] | None:
        """Return what decides on messages that are not stored: their own rule, or that of rows."""
        if rules.send is None:
            return self._decides.get("POST")
        found: Callable[[Handler], Decide]
        found = compiled(f"{where}: send", decisions.of_writes, rules.send)
        return found

    def permission(
        self, handler: Handler, restriction: Filter, columns: ColumnAccess = ALL_COLUMNS
    ) -> Permission:
        """Return what a client may see and do.

        Args:
            handler: the client.
            restriction: what `open` lets it see.
            columns: which columns of that.
        """
        sees = restriction
        if self._reads is not None:
            mine = self._reads(handler.current_user)
            sees = all_of([*restriction.conditions, *mine.conditions])
        is_limited = bool(self._decides) or self._sends is not None
        if sees == EVERYTHING and not is_limited and columns is ALL_COLUMNS:
            return UNLIMITED
        decides = {method: decide(handler) for method, decide in self._decides.items()}
        sends = None if self._sends is None else self._sends(handler)
        return Permission(sees, decides, columns, sends)
