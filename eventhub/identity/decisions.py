"""Decisions: what a rule of `rules:` means: rows of a user, or an answer about one write.

A rule that does not fit, fails, or needs an attribute that the user lacks, grants nothing.
"""

import ast
import re
from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import partial
from inspect import isawaitable, iscoroutinefunction
from pathlib import Path
from typing import Any, Final

from eventhub.columns import Columns, Kind
from eventhub.errors import Misconfigured, Rejected
from eventhub.expressions import Expression, compile_expression
from eventhub.filters.arguments import parse_query_string
from eventhub.filters.comparisons import exact_condition, test_of
from eventhub.filters.conditions import Condition, Filter, Operator
from eventhub.filters.query import all_of
from eventhub.handler import Handler, User
from eventhub.identity.rule import attribute_of
from eventhub.ingest.permission import Decide, Row
from eventhub.logs import limited

ROW_NAMES: Final = ("row", "old", "msg")
CLIENT_NAMES: Final = ("handler", "handler_current_user")
NAMES: Final = (*ROW_NAMES, *CLIENT_NAMES)
"""The names that an expression sees."""
_USER: Final = re.compile(r"\$user\.([A-Za-z_][\w.]*)")
_OWNER: Final = "user"
"""The column that the hub fills with the sender of a message."""
_NOTHING: Final = Filter((Condition("id", Kind.TEXT, Operator.EQUAL),))
"""No value, so no row."""
FilterOf = Callable[[User | None], Filter]
"""Returns the rows that a rule means for a user."""


class Decisions:
    """Compiles the rules of one endpoint."""

    def __init__(self, endpoint: str, columns: Columns, folder: Path) -> None:
        """Make a compiler.

        Args:
            endpoint: its name, for the log.
            columns: of its table.
            folder: where the modules that an expression imports are found.
        """
        self._name = endpoint
        self._columns = columns
        self._folder = folder
        self.may_read_session = False
        """Whether an expression that was compiled may read `handler.session`."""

    def of_writes(self, text: str) -> Callable[[Handler], Decide]:
        """Return what decides on the writes of a client.

        Raises:
            Misconfigured: the rule is neither a word, nor a filter, nor an expression.
            Rejected: `bad_filter`, as `filter_of`.
        """
        if text == "any":
            return lambda _handler: _always
        if text == "none":
            return lambda _handler: _never
        if not is_expression(text):
            rows = filter_of(text, self._columns)
            return lambda handler: partial(_matches, rows(handler.current_user).matches)
        expression = self._compile(text, NAMES)
        decide = self._once if "old" in names_in(text) else self._before_and_after
        return lambda handler: partial(decide, expression, handler)

    def of_clients(self, text: str) -> Callable[[Handler], bool]:
        """Return what decides on a client, whatever the row: `any`, `none` or an expression.

        Raises:
            Misconfigured: the rule is none of these.
        """
        if text in ("any", "none"):
            return lambda _handler: text == "any"
        expression = self._compile(text, CLIENT_NAMES)
        return lambda handler: self._holds(expression, handler)

    def _compile(self, text: str, names: tuple[str, ...]) -> Expression:
        expression = compile_expression(text, names, folder=self._folder)
        if iscoroutinefunction(expression.start):
            raise Misconfigured("a rule cannot await anything")
        self.may_read_session |= expression.may_read_session
        return expression

    def _before_and_after(
        self, expression: Expression, handler: Handler, old: Row | None, row: Row | None, msg: Row
    ) -> bool:
        """Ask about the row before the write, and about the row after it, so far as they exist."""
        rows = [each for each in (old, row) if each is not None]
        return all(self._holds_for(expression, handler, old, each, msg) for each in rows)

    def _once(
        self, expression: Expression, handler: Handler, old: Row | None, row: Row | None, msg: Row
    ) -> bool:
        """Ask once: the expression compares both rows itself."""
        return self._holds_for(expression, handler, old, row, msg)

    def _holds_for(
        self, expression: Expression, handler: Handler, old: Row | None, row: Row | None, msg: Row
    ) -> bool:
        rows = {"old": self._numbers(old), "row": self._numbers(row), "msg": self._numbers(msg)}
        return self._holds(expression, handler, **rows)

    def _holds(self, expression: Expression, handler: Handler, **rows: Row | None) -> bool:
        user = handler.current_user
        try:
            answer = expression.start(**rows, handler=handler, handler_current_user=user)
            return _truth(answer)
        except Exception:  # the operator's code: a rule that fails grants nothing
            limited.exception("rule_failed", by=self._name, endpoint=self._name)
            return False

    def _numbers(self, row: Row | None) -> Row | None:
        """Return a copy of a row as expressions see it, with each DECIMAL as a number."""
        return None if row is None else self._columns.spelling.numbers(dict(row))


def _truth(answer: object) -> bool:
    """Return whether an answer is true; an awaitable always would be, whatever its result."""
    if isawaitable(answer):
        if isinstance(answer, Coroutine):
            answer.close()
        raise TypeError("a rule cannot await anything")
    return bool(answer)


def compiled(where: str, compiler: Callable[..., Any], *given: Any) -> Any:
    """Return what a compiler returns; its errors say where the rule is.

    Raises:
        Misconfigured: naming the keys that lead to the rule.
    """
    try:
        return compiler(*given)
    except (Misconfigured, Rejected) as error:
        raise Misconfigured(f"{where}: {error.message}") from None


def _always(_old: Row | None, _row: Row | None, _message: Row) -> bool:
    return True


def _never(_old: Row | None, _row: Row | None, _message: Row) -> bool:
    return False


def _matches(
    matches: Callable[[Mapping[str, Any]], bool], old: Row | None, row: Row | None, _message: Row
) -> bool:
    """Return whether the row fits before the write and after it, so far as it exists."""
    return all(matches(each) for each in (old, row) if each is not None)


def names_in(text: str) -> set[str]:
    """Return the names in a Python expression; nothing if it is none."""
    try:
        tree = ast.parse(f"(\n{text}\n)")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def is_expression(text: str) -> bool:
    """Return whether a rule is an expression: it names what only an expression has."""
    return not names_in(text).isdisjoint(NAMES)


def filter_of(text: str, columns: Columns) -> FilterOf:
    """Return the filter of a rule: as in a URL, but with `$user.…` for values of the user.

    Raises:
        Misconfigured: it is not a filter, or has no condition.
        Rejected: `bad_filter`: a key is no column, or a value does not fit it.
    """
    if text == "none":
        return lambda _user: _NOTHING
    if text == "own":
        text = f"{_OWNER}=$user.id"
    if is_expression(text):
        raise Misconfigured("a database cannot ask Python: write a filter, any, own or none")
    args = parse_query_string(text)
    if "=" not in text or not args:
        known = "a filter such as team=$user.team, an expression about row, any, own or none"
        raise Misconfigured(f"{text!r} is not a rule: write {known}")
    fixed: list[Condition] = []
    varying: list[tuple[str, list[str]]] = []
    for key, values in args.items():
        if any("$user" in value for value in values):
            _check_references(key, values, columns)
            varying.append((key, values))
        else:
            fixed.append(exact_condition(key, values, columns))
    return partial(_rows_of, fixed, varying, columns)


def _check_references(key: str, values: Iterable[str], columns: Columns) -> None:
    test_of(key, columns)
    for value in values:
        if "$user" in value and not _USER.fullmatch(value):
            raise Misconfigured(f"{key}: write $user.NAME, and nothing else, instead of {value!r}")


def _rows_of(
    fixed: Iterable[Condition],
    varying: Iterable[tuple[str, list[str]]],
    columns: Columns,
    user: User | None,
) -> Filter:
    """Return the filter for a user; one who lacks an attribute of it sees nothing."""
    conditions = list(fixed)
    for key, values in varying:
        known = [text for value in values for text in _values(value, user)]
        try:
            conditions.append(exact_condition(key, known, columns))
        except Rejected:  # an attribute is missing, or is no value of the column
            return _NOTHING
    return all_of(conditions)


def _values(value: str, user: User | None) -> list[str]:
    """Return what a value stands for: itself, or an attribute of the user, which may be a list.

    What is missing is a blank text, which no column has: it must not be left out, because a
    condition with `!=` shows more with fewer values.
    """
    reference = _USER.fullmatch(value)
    if reference is None:
        return [value]
    found = None if user is None else attribute_of(user, reference[1])
    owned = found if isinstance(found, list | tuple | set) else [found]
    return [_text(each) for each in owned] or [""]


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, str | int | float) else ""
