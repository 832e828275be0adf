"""Sending: messages that reach the clients that listen now, and are never stored: SEND.

On its way such a message is any other: hooks, columns and rules decide on it. It becomes no event,
so it has no sequence, no receipt, and no row.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, NamedTuple, TypeGuard

import msgspec

from eventhub import metrics
from eventhub.channel import Endpoint
from eventhub.errors import Rejected
from eventhub.filters.arguments import GRAMEX_CONTROLS, nearest, shown
from eventhub.hooks import Hooks
from eventhub.ingest.command import CONTROLS, MAX_KEYS, Precondition, Sender
from eventhub.ingest.preparing import Preparing
from eventhub.methods import SEND
from eventhub.signals import Signals

MAX_SENT_BYTES: Final = 16 << 10
"""Of one message, as it goes to other processes: what is larger is worth storing."""
_CONTROLS: Final = ("_method", "_ref")
"""The controls of such a message: the others are about what is stored."""


class Sent(NamedTuple):
    """The answer to a sender: the message was handed on. Who gets it is not known."""

    ignored: tuple[str, ...] = ()
    """As of a receipt."""

    def as_dict(self) -> dict[str, object]:
        """Return the JSON object for a client."""
        return {"sent": True, "ignored": self.ignored} if self.ignored else {"sent": True}


class Passing(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A message on its way to the clients that listen, as processes say it to each other."""

    client: str
    """Whose share of the subscribers' time it uses."""
    columns: str
    """The signature of the columns that its values are of."""
    message: dict[str, Any]
    """Without controls; columns and rules are decided on it."""
    broadcast: dict[str, Any] | None = None
    """What clients get in its place."""

    @property
    def outgoing(self) -> dict[str, Any]:
        """What clients get, without controls."""
        return self.message if self.broadcast is None else self.broadcast


def is_send(message: object, method: str | None) -> TypeGuard[dict[str, Any]]:
    """Return whether a message is one that is not stored.

    Args:
        message: the decoded JSON.
        method: of the transport, for a message that names none.
    """
    named = message.get("_method", method) if isinstance(message, dict) else None
    return isinstance(named, str) and named.upper() == SEND


class Sending:
    """Sends the messages of one endpoint."""

    def __init__(
        self, endpoint: Endpoint, hooks: Hooks, signals: Signals, now: Callable[[], datetime]
    ) -> None:
        self._endpoint = endpoint
        self._signals = signals
        self._now = now
        self._preparing = Preparing(endpoint, hooks, now)
        self._sent = metrics.SENT.labels(endpoint.channel.name)

    async def send(
        self, raw: dict[str, Any], sender: Sender, precondition: Precondition | None = None
    ) -> Sent:
        """Hand a message to the subscribers of all processes.

        Args:
            raw: the decoded JSON, of which `is_send` holds.
            sender: the client.
            precondition: of the transport; it has no effect, and is refused.

        Raises:
            Rejected: the endpoint takes no such messages, its rules or hooks do not allow this one,
                a value does not fit, or it is too large.
            EventHubError: `internal`: a hook failed.
            Unavailable: the broker cannot be reached; nobody gets it.
        """
        channel = self._endpoint.channel
        channel.check_writable()
        if not self._endpoint.config.send:
            raise Rejected("bad_method", "this endpoint takes no SEND: its `send` is not true")
        if (validity := sender.handler.validity) is not None:
            validity.check(self._now().timestamp())
        given = self._without_controls(raw)
        if precondition is not None:
            raise Rejected("bad_control", "If-Match and If-None-Match have no effect on a SEND")
        now = self._preparing.utc()
        message, broadcast = await self._preparing.hooked(given, sender, now)
        ignored = self._preparing.ignored(given, message, sender)
        row = {name: message.get(name) for name in channel.columns.names}
        sender.permission.check_sent(row, message, given)
        passing = Passing(
            client=sender.client,
            columns=channel.columns.signature,
            message=message,
            broadcast=broadcast,
        )
        signal = msgspec.json.encode(passing)
        if len(signal) > MAX_SENT_BYTES:
            text = f"a message that is not stored has at most {MAX_SENT_BYTES:,} bytes"
            raise Rejected("too_large", text)
        await self._signals.say(channel, "sent", signal)
        sender.spend(len(signal))
        self._sent.inc()
        return Sent(ignored)

    def _without_controls(self, raw: dict[str, Any]) -> dict[str, Any]:
        """Return a message with `_method` as its only control."""
        if len(raw) > MAX_KEYS:
            raise Rejected("too_large", f"a message has at most {MAX_KEYS:,} keys")
        for name in raw:
            if name[:1] != "_" or name in _CONTROLS or name in GRAMEX_CONTROLS:
                continue
            if name in CONTROLS:
                text = f"{name} has no effect on a SEND, which is not stored"
                raise Rejected("bad_control", text, column=name)
            if self._endpoint.config.unknown != "ignore":
                text = f"{shown(name)} is not a control of a SEND{nearest(name, _CONTROLS)}"
                raise Rejected("bad_control", text, column=name)
        return {"_method": SEND} | {k: v for k, v in raw.items() if k[:1] != "_"}
