"""Errors: every error that EventHub reports, its code, its HTTP status, and whether a retry helps.

The tree is split by what the caller does next, not by the layer that noticed::

    EventHubError
    ├── Rejected        the sender's fault, final: correct the message or the request
    │   ├── Conflict    another writer was first: read the row again, then decide
    │   ├── Expired     the login has ended: connect again with a new one
    │   ├── Changed     the new login sees something else: connect again with it
    │   └── Revoked     the login was ended by its user or an operator: log in again
    ├── Unavailable     retry later, with the same idempotency key, so that no event is stored twice
    ├── Misconfigured   the operator's fault: the hub does not start
    └── Damaged         stored bytes are not what was written: raise an alarm

`CODES` is the table that docs/protocol.md prints and a test compares with it.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any


@dataclass(frozen=True, slots=True)
class Code:
    """One row of the error table."""

    http: int
    """The status of the HTTP answer."""
    retry: bool
    """Whether the same message may succeed later."""
    meaning: str
    retry_after: int | None = None
    """Seconds after which it may, unless the error itself says when."""


CODES: dict[str, Code] = {
    "bad_json": Code(400, False, "The text is not a JSON object or an array of them."),
    "bad_method": Code(400, False, "`_method` is none of those that the endpoint takes."),
    "bad_control": Code(
        400, False, "A key that begins with `_` is unknown, or its value is invalid."
    ),
    "bad_id": Code(400, False, "`id` is missing, too long, or contains control characters."),
    "bad_value": Code(400, False, "A value does not fit its column; `column` names it."),
    "bad_sql": Code(400, False, "The statement is not a single SELECT that can be run."),
    "bad_filter": Code(400, False, "An argument of the URL cannot be understood."),
    "too_costly": Code(400, False, "The rows cost too much to find: narrow the query."),
    "bad_position": Code(
        400,
        False,
        "`_since`, `_as_of`, `Last-Event-ID`, or a moment in SQL, names no state of this log.",
    ),
    "bad_request": Code(400, False, "The request cannot be answered as asked."),
    "bad_body": Code(400, False, "The body is not what `Content-Type` or its encoding says."),
    "refused": Code(400, False, "A hook of the endpoint refused the message; its text says why."),
    "unauthorized": Code(401, False, "The endpoint requires a login."),
    "forbidden": Code(403, False, "This user, or a page of this origin, has no access."),
    "not_found": Code(404, False, "There is no such row, or `_revert` names no event of it."),
    "unknown_path": Code(404, False, "No endpoint, page or file is at this path."),
    "method_not_allowed": Code(
        405, False, "The path does not support this method; see the header `Allow`."
    ),
    "too_slow": Code(408, True, "The body came too slowly; nothing was stored."),
    "duplicate": Code(
        200, False, "The write is already stored. Sent only over WebSockets without a subprotocol."
    ),
    "exists": Code(409, False, "POST of an id that already exists."),
    "changed": Code(409, True, "With its new login the client sees other rows: subscribe again."),
    "gone": Code(410, False, "Changes since this position are not available: read the rows again."),
    "conflict": Code(
        412, False, "The row or file is not as `_if_seq`, `If-Match` or `_revert` needs it."
    ),
    "too_large": Code(413, False, "The message is larger than `server.max_message`."),
    "bad_range": Code(416, False, "`Range` begins after the end of the file."),
    "url_too_long": Code(414, False, "The URL is longer than 64 KiB."),
    "bad_type": Code(415, False, "The body's type, charset or compression is not supported."),
    "upgrade_required": Code(426, False, "The WebSocket's version is not 13."),
    "headers_too_large": Code(431, False, "A header is above 16 KiB, or there are more than 128."),
    "too_many": Code(
        429, True, "Too many messages of the array were refused; this one was not processed."
    ),
    "too_many_reads": Code(
        429, True, "This user, this address, or all clients together read too much at once.", 1
    ),
    "rate_limited": Code(
        429, True, "This user or address sends or connects faster than `server.limits` allows.", 1
    ),
    "too_many_connections": Code(
        429, True, "This user has `server.max_connections_per_user` connections open.", 5
    ),
    "quota_exceeded": Code(
        429, True, "This user has used up a quota of the endpoint for today; nothing was stored."
    ),
    "too_many_logins": Code(429, True, "Too many logins of this account or address failed."),
    "slow_reader": Code(
        429, True, "The client read rows too slowly while other readers waited: read them again.", 1
    ),
    "internal": Code(500, False, "EventHub or a hook failed; the hub has logged the details."),
    "unavailable": Code(503, True, "The event log cannot be reached; nothing was stored."),
    "busy": Code(
        503,
        True,
        "This client, or all clients together, send too much at once; nothing was stored.",
        1,
    ),
    "unknown_outcome": Code(503, True, "The event may or may not be stored; retry with `_key`."),
}


class Close(IntEnum):
    """WebSocket close codes (RFC 6455 section 7.4; 4000 and above are EventHub's own).

    A client reconnects after any code but 4400, 4401, 4403 and 4404: trying again cannot help.
    """

    GOING_AWAY = 1001
    TOO_LARGE = 1009
    INTERNAL = 1011
    RESTART = 1012
    BAD_REQUEST = 4400
    UNAUTHORIZED = 4401
    FORBIDDEN = 4403
    UNKNOWN_PATH = 4404
    STALLED = 4408
    EXPIRED = 4409
    TOO_SLOW = 4410
    CHANGED = 4411
    REVOKED = 4412
    TRY_LATER = 4429
    ELSEWHERE = 4503

    @property
    def reconnect(self) -> bool:
        """Tell whether a client should connect again."""
        return self not in (4400, 4401, 4403, 4404)


CLOSE_MEANINGS: dict[Close, str] = {
    Close.GOING_AWAY: "The client or the hub is going away.",
    Close.TOO_LARGE: "A message was larger than four times `server.max_message`.",
    Close.INTERNAL: "The hub failed, and has logged the details.",
    Close.RESTART: "The hub is restarting: connect again and resume.",
    Close.BAD_REQUEST: "The URL cannot be opened; the preceding `_error` says why.",
    Close.UNAUTHORIZED: "The endpoint requires a login.",
    Close.FORBIDDEN: "This user, or a page of this origin, has no access.",
    Close.UNKNOWN_PATH: "No endpoint is at this path.",
    Close.STALLED: "The client took no data for `server.stalled_after`, or stopped within a large"
    " message: connect again and resume.",
    Close.EXPIRED: "The login has ended: connect again with a new token, and resume.",
    Close.TOO_SLOW: "The client read rows too slowly while other readers waited: connect again"
    " and resume.",
    Close.CHANGED: "With its new login the client sees something else: connect again with it, and"
    " read from the beginning.",
    Close.REVOKED: "The login was ended, by its user or an operator: log in again, and resume.",
    Close.TRY_LATER: "A limit of this client, or of all, was met; the preceding `_error` says"
    " which, and how long to wait.",
    Close.ELSEWHERE: "This process is cut off from the event log: connect again, to reach another"
    " one, and resume.",
}


class EventHubError(Exception):
    """Base of every error with a code."""

    code = "internal"

    def __init__(self, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self._retry_after = retry_after

    @property
    def retry_after(self) -> int | None:
        """Seconds after which the same message may succeed; None if that is not known."""
        return CODES[self.code].retry_after if self._retry_after is None else self._retry_after

    @property
    def http_status(self) -> int:
        """The status of an HTTP answer with this error."""
        return CODES[self.code].http

    def as_dict(self, ref: Any = None) -> dict[str, Any]:
        """Return the error object as it is sent to a client (docs/protocol.md)."""
        fields: dict[str, Any] = {"code": self.code, "message": self.message}
        if ref is not None:
            fields["ref"] = ref
        fields["retry"] = CODES[self.code].retry
        if self.retry_after is not None:
            fields["retry_after"] = self.retry_after
        return fields


class Rejected(EventHubError):  # noqa: N818 - the word of the protocol
    """The sender's fault: the same message would be refused again."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        column: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message, retry_after=retry_after)
        if code not in CODES:
            raise ValueError(f"no error code {code!r} in the table")
        self.code = code
        self.column = column
        """The column, control or argument of the URL that was wrong; None if there is none."""

    def as_dict(self, ref: Any = None) -> dict[str, Any]:
        """Return the error object, with the column if there is one."""
        fields = super().as_dict(ref)
        if self.column is not None:
            fields["column"] = self.column
        return fields


class Expired(Rejected):
    """The login that a connection was opened with has ended."""

    def __init__(self) -> None:
        super().__init__("unauthorized", "the login has expired: connect again with a new one")


class Changed(Rejected):
    """With its new login a client would see something else than on its open connection."""

    def __init__(self, *, is_first: bool) -> None:
        """Make the error.

        Args:
            is_first: the client had no login before, so that it would come back without one.
        """
        how = "in the handshake, as a subprotocol" if is_first else "and read it from the beginning"
        text = f"with this login you see something else: connect again with the token, {how}"
        super().__init__("bad_request" if is_first else "unauthorized", text)
        self.is_first = is_first


class Revoked(Rejected):
    """The login was ended, by its user or an operator."""

    def __init__(self) -> None:
        super().__init__("unauthorized", "the login was ended: log in again")


class Conflict(Rejected):
    """Another writer was first: the row is not what the sender expected."""


class Unavailable(EventHubError):  # noqa: N818 - the word of the protocol
    """A part of the hub cannot be reached or did not answer in time; a retry may succeed."""

    def __init__(
        self, message: str, *, code: str = "unavailable", retry_after: int | None = None
    ) -> None:
        super().__init__(message, retry_after=retry_after)
        self.code = code


class CutOff(Unavailable):
    """This process does not reach the event log, while another one may: clients should go there."""

    def __init__(self, trouble: str) -> None:
        """Make the error; `trouble` is for the log of the hub, not for clients."""
        super().__init__(
            "this hub is cut off from the event log: connect again, or try another one"
        )
        self.trouble = trouble


class Misconfigured(EventHubError):  # noqa: N818 - reads as a sentence where it is raised
    """The configuration or the machine cannot work; `eventhub` stops and prints the message."""


class Damaged(EventHubError):  # noqa: N818 - reads as a sentence where it is raised
    """Stored bytes are not what was written: a flipped bit, or a message of another program."""


_CLOSE_OF_CODE = {"slow_reader": 4410, "busy": 4429, "unknown_path": 4404}
_CLOSE_OF_STATUS = {401: Close.UNAUTHORIZED, 403: Close.FORBIDDEN, 429: Close.TRY_LATER}


def close_code_of(error: EventHubError) -> Close:
    """Return the close code of a connection that cannot be opened or continued."""
    if isinstance(error, Expired):
        return Close.EXPIRED
    if isinstance(error, Revoked):
        return Close.REVOKED
    if isinstance(error, Changed) and not error.is_first:
        return Close.CHANGED
    if isinstance(error, CutOff):
        return Close.ELSEWHERE
    if error.code in _CLOSE_OF_CODE:
        return Close(_CLOSE_OF_CODE[error.code])
    if error.http_status >= 500:
        return Close.RESTART if error.as_dict()["retry"] else Close.INTERNAL
    return _CLOSE_OF_STATUS.get(error.http_status, Close.BAD_REQUEST)
