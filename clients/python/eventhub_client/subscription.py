"""Subscription: the protocol of one reader, over all its connections; it does no input or output.

What follows a path opens a WebSocket with `since` as its `_since`, and calls `opened()`, then
`receive()` with each frame, and `closed()` at the end. What these return is what happened, or how
long to wait before the next connection.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from eventhub_client.backoff import Backoff
from eventhub_client.errors import (
    EventHubError,
    ForbiddenError,
    NotFoundError,
    RefusedError,
    UnauthorizedError,
    error_of,
)

SUBPROTOCOL = "eventhub.v1.json"
CHANGED = 4411
_FINAL: dict[int, tuple[type[RefusedError], str]] = {
    4400: (RefusedError, "bad_request"),
    4401: (UnauthorizedError, "unauthorized"),
    4403: (ForbiddenError, "forbidden"),
    4404: (NotFoundError, "unknown_path"),
}
_METHODS = ("POST", "PUT", "DELETE")
POSITION = re.compile(r"(\w+)\.(\d+)")
"""Epoch and sequence."""


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to one row."""

    method: str
    """`POST`, `PUT`, `DELETE`; or `RESET`: discard what you hold, because the position is no longer
    valid, and a `POST` of every row follows."""
    id: str = ""
    """Empty if the method is `RESET`."""
    row: Mapping[str, Any] | None = None
    """The message; of a row that enters the filter, the whole row. None of a `RESET`."""
    seq: int = 0
    """The sequence of the event, for `_if_seq`."""
    position: str | None = None
    """To continue after this change; None while the rows after a `RESET` come."""


RESET = Change("RESET")


@dataclass(frozen=True, slots=True)
class Passed:
    """Everything up to a position has come."""

    position: str
    is_live: bool = False
    """It is the first one of a connection: what follows is live."""


@dataclass(frozen=True, slots=True)
class Expiring:
    """The login is about to end: send another token."""


@dataclass(frozen=True, slots=True)
class Unstored:
    """A frame of what is not stored."""

    frame: Mapping[str, Any]


Event = Change | Passed | Expiring | Unstored


class Subscription:
    """What one reader knows of where it is."""

    def __init__(self, since: str = "", epoch: str = "", backoff: Backoff | None = None) -> None:
        """Start without a connection.

        Args:
            since: `_since` of the first connection; empty: read the current rows.
            epoch: of the log, if it is known, so that reading the past can be interrupted.
            backoff: the pauses between connections.
        """
        self.since = since
        """`_since` of the next connection; empty: read the current rows."""
        found = POSITION.fullmatch(since)
        self._epoch = found[1] if found else epoch
        self._backoff = backoff or Backoff()
        self._problem: EventHubError | None = None

    def opened(self) -> Iterator[Event]:
        """Take note of a new connection."""
        self._problem = None
        if not self.since:
            self._epoch = ""
            yield RESET

    def receive(self, frame: Mapping[str, Any]) -> Event | None:
        """Take one frame.

        Raises:
            UnauthorizedError: the endpoint needs a login, and there was no token.
        """
        if "_method" in frame:
            return self._change(frame)
        if "_ready" in frame:
            self._backoff.reset()
            return self._reach(frame["_ready"]["position"], is_live=True)
        if "_tick" in frame:
            return self._reach(frame["_tick"])
        if "_resume" in frame and not frame["_resume"]["recovered"]:
            self._epoch = self.since = ""
            return RESET
        if "_error" in frame:
            self._problem = error_of(frame["_error"])
        if frame.get("_auth") == "required":  # a token would have been in the handshake
            raise UnauthorizedError("unauthorized", "log in to use this endpoint: give a token")
        return Expiring() if frame.get("_auth") == "expiring" else None

    def closed(self, code: int | None) -> float:
        """Return how many seconds to wait before the next connection.

        Args:
            code: of the close frame; None if there was none.

        Raises:
            RefusedError: it would be refused again; 4401, 4403 and 4404 have classes of their own.
        """
        if code in _FINAL:
            kind, name = _FINAL[code]
            problem = self._problem
            if problem is None or not isinstance(problem, kind):
                problem = kind(name, problem.message if problem else f"closed with {code}")
            raise problem
        if code == CHANGED:  # with its new login it sees other rows
            self._epoch = self.since = ""
        return self._backoff.pause(self._problem.retry_after if self._problem else None)

    def _change(self, frame: Mapping[str, Any]) -> Change | None:
        method, seq = frame["_method"], frame.get("_seq", 0)
        if method not in _METHODS or not seq:
            return None  # it is not stored
        row = {key: value for key, value in frame.items() if key not in ("_method", "_seq")}
        position = None
        if self._epoch:
            position = self.since = f"{self._epoch}.{seq}"
        return Change(method, str(row.get("id", "")), row, seq, position)

    def _reach(self, position: str, *, is_live: bool = False) -> Passed:
        self._epoch = position.partition(".")[0]
        self.since = position
        return Passed(position, is_live)
