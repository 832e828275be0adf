"""Hooks: the expressions of an endpoint that run for a connection and for each message.

Hooks run on the event loop: `open` for a connection, then defaults, `prepare` and `modify` for each
message. If they raise ValueError or PermissionError, the sender gets the text. Any other exception
is a bug in the configuration: it is logged, and the sender gets `internal` without details.
"""

import asyncio
import os
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from inspect import isawaitable
from pathlib import Path
from typing import Any

from eventhub.columns import STAMP, stamp
from eventhub.config import MessageEndpoint
from eventhub.errors import EventHubError, Rejected
from eventhub.expressions import MESSAGE_NAMES, OPEN_NAMES, Expression, compile_expression
from eventhub.filters.arguments import Args
from eventhub.filters.restriction import as_sent, set_by_open
from eventhub.handler import Handler
from eventhub.logs import limited
from eventhub.methods import SEND

HOOK_SECONDS = 30.0
"""A coroutine of a hook that takes longer is cancelled, and the message is refused."""


class Hooks:
    """The hooks of one endpoint, compiled."""

    def __init__(
        self,
        endpoint: MessageEndpoint,
        folder: Path,
    ) -> None:
        """Compile the expressions.

        Args:
            endpoint: the endpoint with the expressions.
            folder: the folder of modules that are not installed.

        Raises:
            Misconfigured: an expression does not compile.
        """

        def compile_if_given(source: str | None, names: tuple[str, ...]) -> Expression | None:
            return None if source is None else compile_expression(source, names, folder=folder)

        self._endpoint = endpoint.name
        self._uses_hub_clock = "hub" in endpoint.timestamps
        self._open = compile_if_given(endpoint.open, OPEN_NAMES)
        self._prepare = compile_if_given(endpoint.prepare, MESSAGE_NAMES)
        self._modify = compile_if_given(endpoint.modify, MESSAGE_NAMES)
        self._defaults = {
            method: {
                key: compile_if_given(value, MESSAGE_NAMES) if isinstance(value, str) else value
                for key, value in values.items()
            }
            for method, values in endpoint.message_default.items()
        }
        defaults = [value for values in self._defaults.values() for value in values.values()]
        configured = (self._open, self._prepare, self._modify, *defaults)
        self.may_read_session = any(
            isinstance(one, Expression) and one.may_read_session for one in configured
        )
        """Whether a hook may read `handler.session`."""

    @property
    def changes_posts(self) -> bool:
        """Whether hooks may change a POST, in addition to the built-in defaults."""
        configured = (self._defaults.get("POST"), self._prepare, self._modify)
        return any(configured)

    async def open(self, handler: Handler) -> Args:
        """Run `open:`, which may change `handler.args` or refuse the connection.

        Returns:
            The arguments that it set or changed.

        Raises:
            Rejected: `bad_request` or `forbidden`, with the text of the exception of the hook.
            EventHubError: the hook failed, or set an argument that is not a list of text.
        """
        if self._open is None:
            return {}
        lists = as_sent(handler.args)
        kept = {name: tuple(values) for name, values in lists.items()}
        handler.args = dict(lists)
        with _guard("open", self._endpoint, refusal="bad_request"):
            await _with_deadline(
                self._open.start(
                    args=handler.args, handler=handler, handler_current_user=handler.current_user
                )
            )
            chosen = set_by_open(handler.args, lists, kept)
            left = {**handler.args, **chosen}
            handler.args = {name: [str(value) for value in values] for name, values in left.items()}
        return chosen

    async def defaults(self, message: dict[str, Any], handler: Handler, now: str) -> None:
        """Set values that the sender left out or may not set.

        The built-in defaults are set first. `message_default:` overwrites them and the values of
        the sender.

        Args:
            message: changed in place; its `_method` selects the section of `message_default:`.
            handler: the connection of the sender.
            now: UTC in ISO 8601 with microseconds, without a zone.

        Raises:
            Rejected: `refused` or `forbidden`: an expression refused the message. Errors of
                `set_built_in` too.
            EventHubError: an expression failed.
        """
        method = message["_method"]
        self.set_built_in(message, handler, now)
        configured = self._defaults.get(method)
        if not configured:
            return
        with _guard("message_default", self._endpoint):
            for key, value in configured.items():
                message[key] = (
                    await _evaluate(value, message, handler)
                    if isinstance(value, Expression)
                    else deepcopy(value)
                )

    def set_built_in(self, message: dict[str, Any], handler: Handler, now: str) -> None:
        """Set only the built-in defaults; see `defaults`.

        Raises:
            Rejected: `bad_value`: the `timestamp` of the client is not a time.
        """
        given = message.get(STAMP)
        if given is not None:
            if given == "" or self._uses_hub_clock:
                given = None
            else:
                message[STAMP] = stamp(given)
        if message["_method"] not in ("POST", SEND):
            # A row keeps the user who created it, and its time unless the client sets another.
            message.pop("user", None)
            if given is None:
                message.pop(STAMP, None)
            return
        if message.get("id") in (None, ""):
            if message["_method"] == "POST":
                message["id"] = next(_IDS)
            else:  # there is no row to name
                message.pop("id", None)
        message["user"] = None if handler.current_user is None else handler.current_user.id
        if given is None:
            message[STAMP] = now.removesuffix(".000000")

    async def prepare(self, message: dict[str, Any], handler: Handler) -> None:
        """Run `prepare:`, which may change `message` in place, or refuse it.

        Raises:
            Rejected: `refused` or `forbidden`, with the text of the exception of the hook.
            EventHubError: the hook failed.
        """
        if self._prepare is None:
            return
        method = message.get("_method")
        with _guard("prepare", self._endpoint):
            await _evaluate(self._prepare, message, handler)
        if method is not None:
            message["_method"] = method

    async def modify(self, message: dict[str, Any], handler: Handler) -> dict[str, Any] | None:
        """Run `modify:` on a copy; return the message to broadcast, or None if it is unchanged.

        `_method` and `id` cannot change, because receivers of the broadcast rely on them.

        Raises:
            Rejected: `refused` or `forbidden`, with the text of the exception of the hook.
            EventHubError: the hook failed.
        """
        if self._modify is None:
            return None
        modified = deepcopy(message)
        with _guard("modify", self._endpoint):
            await _evaluate(self._modify, modified, handler)
        modified.update({key: message[key] for key in ("_method", "id") if key in message})
        return None if modified == message else modified


def _random_ids() -> Iterator[str]:
    """Yield UUID4s (RFC 9562 section 5.4) as 22 characters that need no escaping in a URL.

    Many are made at a time: one system call for each would take 5 % of the time of a message.
    """
    while True:
        values = bytearray(os.urandom(18 * _IDS_AT_ONCE))  # 16 bytes, and 2 that are cut off
        for start in range(0, len(values), 18):
            values[start + 6] = values[start + 6] & 0x0F | 0x40
            values[start + 8] = values[start + 8] & 0x3F | 0x80
            values[start + 16] = 0
        text = urlsafe_b64encode(values).decode()
        yield from [text[at : at + 22] for at in range(0, len(text), 24)]


_IDS_AT_ONCE = 256
_IDS = _random_ids()


async def _evaluate(expression: Expression, message: dict[str, Any], handler: Handler) -> Any:
    return await _with_deadline(
        expression.start(
            msg=message,
            args=handler.args,
            handler=handler,
            handler_current_user=handler.current_user,
        )
    )


async def _with_deadline(result: Any) -> Any:
    """Return a result; await it within `HOOK_SECONDS` if it is awaitable."""
    if not isawaitable(result):
        return result
    async with asyncio.timeout(HOOK_SECONDS):
        return await result


@contextmanager
def _guard(hook: str, endpoint: str, *, refusal: str = "refused") -> Iterator[None]:
    """Turn an exception of a hook into the error that the sender gets."""
    try:
        yield
    except Rejected:
        raise
    except ValueError as error:
        raise Rejected(refusal, str(error) or f"refused by {hook}") from error
    except Exception as error:
        # With an errno it comes from the operating system, about a file, and is not a refusal.
        if isinstance(error, PermissionError) and error.errno is None:
            raise Rejected("forbidden", str(error) or f"forbidden by {hook}") from error
        limited.exception("hook_failed", by=endpoint, reason=hook, endpoint=endpoint, hook=hook)
        raise EventHubError(f"internal error in {hook}") from error
