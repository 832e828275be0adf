"""Rule: who may use an endpoint, as its `auth:` says.

The rule is compiled when the hub starts. A key or value that is not valid stops the hub, because
skipping a rule would open the endpoint to everybody.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from eventhub.config import Console, FileEndpoint, MessageEndpoint, SqlEndpoint
from eventhub.errors import EventHubError, Misconfigured, Rejected
from eventhub.expressions import OPEN_NAMES, Expression, compile_expression
from eventhub.handler import Handler, User
from eventhub.hooks import HOOK_SECONDS
from eventhub.logs import limited

Guarded = MessageEndpoint | FileEndpoint | SqlEndpoint | Console
"""What has a rule: entries of `url:`, and the console."""
Membership = Mapping[str, tuple[Any, ...]]
"""Attribute of the user → the values that grant access."""
_NO_ACCESS: Final = "you do not have access to this endpoint"


class Rule:
    """The `auth:` of one endpoint, compiled."""

    def __init__(self, endpoint: Guarded, folder: Path) -> None:
        """Compile the rule.

        Args:
            endpoint: with `auth` as the file has it.
            folder: where the modules that the condition imports are found.

        Raises:
            Misconfigured: a key or value of `auth:` is not valid.
        """
        self._name = "console" if isinstance(endpoint, Console) else endpoint.name
        place = "console" if isinstance(endpoint, Console) else f"url: {endpoint.name}"
        where = f"{place}: auth"
        rules = endpoint.auth if isinstance(endpoint.auth, dict) else {}
        for key in rules:
            if key not in ("membership", "condition"):
                raise Misconfigured(f"{where}: unknown key {key!r}: use membership or condition")
        self.needs_login = endpoint.auth not in (None, False)
        self._memberships: tuple[Membership, ...] = ()
        if "membership" in rules:
            self._memberships = _memberships(rules["membership"], f"{where}: membership")
        self._condition: Expression | None = None
        if "condition" in rules:
            self._condition = _condition(rules["condition"], f"{where}: condition", folder)

    async def check(self, handler: Handler) -> None:
        """Check that a user may use the endpoint.

        Raises:
            Rejected: `unauthorized` without a login, `forbidden` for a user without access.
        """
        if not self.needs_login:
            return
        user = handler.current_user
        if user is None:
            raise Rejected("unauthorized", "log in to use this endpoint")
        if self._memberships and not any(_is_member(user, each) for each in self._memberships):
            raise Rejected("forbidden", _NO_ACCESS)
        if self._condition and not await self._holds(self._condition, handler):
            raise Rejected("forbidden", _NO_ACCESS)

    @property
    def may_read_session(self) -> bool:
        """Whether the condition may read `handler.session`."""
        return self._condition is not None and self._condition.may_read_session

    async def _holds(self, condition: Expression, handler: Handler) -> bool:
        values = {"handler": handler, "handler_current_user": handler.current_user}
        try:
            async with asyncio.timeout(HOOK_SECONDS):
                return bool(await condition(args=handler.args, **values))
        except EventHubError:
            raise
        except Exception:  # the operator's code: a condition that fails grants nothing
            limited.exception("condition_failed", by=self._name, endpoint=self._name)
            return False


def _memberships(given: Any, where: str) -> tuple[Membership, ...]:
    """Return the alternatives: Gramex takes one mapping, or a list of them."""
    alternatives = given if isinstance(given, list) else [given]
    if not alternatives or not all(isinstance(entry, dict) and entry for entry in alternatives):
        raise Misconfigured(f"{where}: expected `attribute: value` or `attribute: [values]`")
    return tuple(
        {str(key): _values(value, f"{where}: {key}") for key, value in entry.items()}
        for entry in alternatives
    )


def _values(value: object, where: str) -> tuple[Any, ...]:
    values = value if isinstance(value, list) else [value]
    for entry in values:
        if not isinstance(entry, str | int | float | bool):
            raise Misconfigured(f"{where}: expected text, a number, true or false, got {entry!r}")
    return tuple(values)


def _condition(given: object, where: str, folder: Path) -> Expression:
    if isinstance(given, dict) and set(given) == {"function"}:  # Gramex's long form
        given = given["function"]
    if not isinstance(given, str):
        raise Misconfigured(f"{where}: expected a Python expression, got {given!r}")
    try:
        return compile_expression(given, OPEN_NAMES, folder=folder)
    except Misconfigured as error:
        raise Misconfigured(f"{where}: {error}") from error


def _is_member(user: User, membership: Membership) -> bool:
    return all(_matches(attribute_of(user, key), values) for key, values in membership.items())


def attribute_of(user: User, key: str) -> Any:
    """Return an attribute; dots name a part of it, unless a claim has that whole name."""
    if (value := user.get(key)) is not None:
        return value
    first, *path = key.split(".")
    value = user.get(first)
    for part in path:
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _matches(attribute: Any, values: tuple[Any, ...]) -> bool:
    owned = attribute if isinstance(attribute, list | tuple | set) else [attribute]
    return any(_is_same(one, value) for one in owned for value in values)


def _is_same(one: Any, other: Any) -> bool:
    """Compare by type as well: in Python True equals 1, but a level of 1 is not a flag."""
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)
