"""Preparing: a client's message after hooks and conversion, whether it is stored or only sent."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from eventhub.channel import Endpoint, checked_id
from eventhub.columns import STAMP, Columns, hook_stamp
from eventhub.errors import EventHubError, Rejected
from eventhub.filters.arguments import nearest, shown
from eventhub.hooks import Hooks
from eventhub.ingest.command import Sender
from eventhub.logs import limited
from eventhub.methods import SEND

_SECONDS = len("2026-11-23T10:00:00")  # without a zone


class Preparing:
    """Prepares the messages of one endpoint."""

    def __init__(self, endpoint: Endpoint, hooks: Hooks, now: Callable[[], datetime]) -> None:
        self._endpoint = endpoint
        self._columns: Columns = endpoint.channel.columns
        self._hooks = hooks
        self._now = now
        self._second: tuple[int, ...] = ()
        self._second_text = ""

    def plain(self, sent: Mapping[str, Any], sender: Sender, now: str) -> dict[str, Any]:
        """Return a POST that no hook changes.

        Args:
            sent: the message, with `_method` as its only control.
            sender: the client.
            now: as `utc` returns it.

        Raises:
            Rejected: a value does not fit its column.
        """
        access = sender.permission.columns
        message = access.given(sent) if access.unknown else {**sent}
        self._hooks.set_built_in(message, sender.handler, now)
        del message["_method"]
        if access.unknown:
            message = access.kept(message, sent, self._columns)
        return self._converted(self._columns.with_defaults(message))

    async def hooked(
        self,
        sent: Mapping[str, Any],
        sender: Sender,
        now: str,
        restored: Mapping[str, Any] | None = None,
    ) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """Run the hooks; return the message, and what is broadcast in its place.

        Args:
            sent: as for `plain`, of any method.
            sender: the client.
            now: as `utc` returns it.
            restored: values that no hook changes.

        Raises:
            Rejected: a value does not fit its column, or a hook refuses the message.
            EventHubError: `internal`: a hook failed.
        """
        hooks, handler, access = self._hooks, sender.handler, sender.permission.columns
        method, message = sent["_method"], access.given(sent)
        await hooks.defaults(message, handler, now)
        await hooks.prepare(message, handler)
        message = access.kept(message, sent, self._columns)
        message["_method"] = method
        if method == "POST":
            message = self._columns.with_defaults(message)
        if STAMP in message:
            message[STAMP] = hook_stamp(message[STAMP])
        try:
            message = self._converted(message)
        except Rejected as error:
            raise access.refusal(error) from None
        if restored is not None:
            message |= {**restored, "id": sent["id"]}
        if method != SEND or "id" in message:
            checked_id(message.get("id"))  # checked before `modify`, which may have side effects
        broadcast = await hooks.modify(self._columns.spelling.numbers(message), handler)
        return as_json(message), broadcast and as_json(broadcast)

    def ignored(
        self, sent: Mapping[str, Any], kept: Mapping[str, Any], sender: Sender
    ) -> tuple[str, ...]:
        """Return the keys that the client sent, the hooks kept, and no column has.

        Raises:
            Rejected: `bad_value`: the endpoint refuses such keys.
        """
        columns, unknown = self._columns, sender.permission.columns.unknown
        if unknown:
            columns = columns.without(unknown)
            kept = {name: None for name in sent if name != "_method"}
        if kept.keys() <= columns.by_name.keys():
            return ()
        ignored = tuple(key for key in kept if key in sent and key not in columns)
        if ignored and self._endpoint.config.unknown == "refuse":
            readable = self._columns.without(sender.permission.columns.hidden)
            near = nearest(ignored[0], readable.names)
            raise Rejected(
                "bad_value", f"{shown(ignored[0])} is not a column{near}", column=ignored[0]
            )
        return ignored

    def utc(self) -> str:
        """Return the time as ISO 8601 with microseconds, without a zone."""
        now = self._now()
        if now.tzinfo is not UTC:
            now = now.astimezone(UTC)
        # Formatting a time takes 1 µs, so the text of the current second is kept.
        second = (now.year, now.month, now.day, now.hour, now.minute, now.second)
        if second != self._second:
            self._second = second
            self._second_text = now.isoformat(timespec="seconds")[:_SECONDS]
        return f"{self._second_text}.{now.microsecond:06}"

    def _converted(self, message: dict[str, Any]) -> dict[str, Any]:
        """Convert the values; text columns accept true and false, an id does not."""
        if isinstance(message.get("id"), bool):
            raise Rejected("bad_id", "id is text or a number, not true or false", column="id")
        return self._columns.convert(message)


def as_json(message: dict[str, Any]) -> dict[str, Any]:
    """Return a message that hooks changed, without controls, as a reader of the event will see it.

    Raises:
        EventHubError: `internal`: a hook set a value that is not JSON.
    """
    try:
        plain = {key: value for key, value in message.items() if not key.startswith("_")}
        read: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(plain))
    except (AttributeError, TypeError, ValueError, RecursionError) as error:
        limited.warning("hook_made_no_json", by="a hook", error=str(error))
        raise EventHubError("internal error: a hook made a value that is not JSON") from error
    return read
