"""Errors: what a hub, or the way to it, answered, by what the caller does next.

The tree::

    EventHubError
    ├── RefusedError            final: the same request would be refused again
    │   ├── UnauthorizedError   log in: there is no valid token
    │   ├── ForbiddenError      this user may not
    │   ├── NotFoundError       no such row, or no such path
    │   └── ConflictError       another writer was first: read the row again, then decide
    ├── UnavailableError        nothing was stored, and a retry may succeed
    ├── UnknownOutcomeError     the write may or may not be stored
    ├── BulkError               some rows of a bulk write were refused
    └── ClosedError             the client was closed
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


class EventHubError(Exception):
    """Base of every error of this package."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        column: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        """A code of the protocol, or `closed`."""
        self.message = message
        self.column = column
        """The column, control or argument at fault; None if there is none."""
        self.retry_after = retry_after
        """Seconds after which the same request may succeed; None if that is not known."""


class RefusedError(EventHubError):
    """The same request would be refused again."""


class UnauthorizedError(RefusedError):
    """There is no login, or it is not valid."""


class ForbiddenError(RefusedError):
    """This user has no access."""


class NotFoundError(RefusedError):
    """There is no such row, or nothing is at this path."""


class ConflictError(RefusedError):
    """The row exists already, or is not as the condition needs it."""


class UnavailableError(EventHubError):
    """The hub cannot be reached, or asks to try later; nothing was stored."""


class UnknownOutcomeError(EventHubError):
    """The write was sent, and nobody answered in time: it may or may not be stored."""


class ClosedError(EventHubError):
    """The client was closed."""

    def __init__(self) -> None:
        super().__init__("closed", "the client was closed")


@dataclass(frozen=True, slots=True)
class Refusal:
    """One row of a bulk write that was refused."""

    index: int
    """Which one of the rows, from 0."""
    row: Mapping[str, Any]
    error: EventHubError


class BulkError(EventHubError):
    """Rows of a bulk write were refused, or it could not go on; what is stored stays stored."""

    def __init__(self, stored: int, refused: Sequence[Refusal], cause: str = "") -> None:
        first = f"row {refused[0].index}: {refused[0].error}" if refused else ""
        counts = f"{stored:,} rows are stored, {len(refused):,} were refused"
        super().__init__("bulk", "; ".join(filter(None, (counts, first, cause))))
        self.stored = stored
        """Rows that are known to be stored."""
        self.refused = tuple(refused)


MOST_RETRY_AFTER = 60.0
"""Seconds."""

_CLASSES: dict[str, type[EventHubError]] = {
    "unauthorized": UnauthorizedError,
    "forbidden": ForbiddenError,
    "not_found": NotFoundError,
    "unknown_path": NotFoundError,
    "conflict": ConflictError,
    "exists": ConflictError,
    "unknown_outcome": UnknownOutcomeError,
}


def error_of(sent: Mapping[str, Any]) -> EventHubError:
    """Return the exception for an error object of the protocol."""
    code, retry = str(sent.get("code", "internal")), sent.get("retry", False)
    kind = _CLASSES.get(code, UnavailableError if retry else RefusedError)
    text = str(sent.get("message", "the hub gave no reason"))
    return kind(code, text, column=sent.get("column"), retry_after=sent.get("retry_after"))


def is_passing(error: EventHubError) -> bool:
    """Tell whether the same request may succeed in a moment.

    A longer pause that the hub asks for, as of a quota of the day, is for the caller to decide.
    """
    is_temporary = isinstance(error, UnavailableError | UnknownOutcomeError)
    return is_temporary and (error.retry_after or 0.0) <= MOST_RETRY_AFTER
