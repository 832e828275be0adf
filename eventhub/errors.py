"""Every error EventHub tells anyone: its code, its HTTP status, whether a retry helps.

The tree is split by what the caller does next, not by the layer that noticed::

    EventHubError
    ├── Rejected        the sender's fault, final: correct the message or the request
    │   ├── Conflict    somebody was first: read again, then decide
    │   └── Expired     the login has ended: connect again with a new one
    ├── Unavailable     try later; the same idempotency key keeps a retry from being a second event
    ├── Misconfigured   the operator's fault: stop at start-up
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
    """Status of an HTTP answer."""
    retry: bool
    """The same message may succeed later, unchanged."""
    meaning: str


CODES: dict[str, Code] = {
    "bad_json": Code(400, False, "The text is not a JSON object or an array of them."),
    "bad_method": Code(400, False, "`_method` is not POST, PUT or DELETE."),
    "bad_control": Code(400, False, "A key that begins with `_` has a value it cannot have."),
    "bad_id": Code(400, False, "`id` is missing, or not 1 to 200 characters without controls."),
    "bad_value": Code(400, False, "A value does not fit its column; `column` names it."),
    "bad_filter": Code(400, False, "An argument of the URL cannot be understood."),
    "too_costly": Code(400, False, "The rows cost too much to find: ask a narrower question."),
    "bad_position": Code(400, False, "`_since` or `Last-Event-ID` is not a position."),
    "bad_request": Code(400, False, "The request cannot be answered as asked."),
    "bad_body": Code(400, False, "The body is not what `Content-Type` or its encoding says."),
    "refused": Code(400, False, "A hook of the endpoint refused the message; its text says why."),
    "unauthorized": Code(401, False, "The endpoint asks for a login."),
    "forbidden": Code(403, False, "This user, or a page of this origin, may not."),
    "not_found": Code(404, False, "PUT or DELETE of an id that does not exist."),
    "unknown_path": Code(404, False, "No endpoint, page or file is at this path."),
    "method_not_allowed": Code(405, False, "The path has no such method; see the header `Allow`."),
    "too_slow": Code(408, True, "The body came too slowly; nothing was stored."),
    "duplicate": Code(
        200, False, "A retry of a write that is stored; only bare WebSockets are told so."
    ),
    "exists": Code(409, False, "POST of an id that exists."),
    "gone": Code(410, False, "Nothing can be told since this position: read the rows again."),
    "conflict": Code(412, False, "The row has moved on from `_if_seq` or `If-Match`."),
    "too_large": Code(413, False, "The message is larger than `server.max_message`."),
    "url_too_long": Code(414, False, "The URL is longer than 64 KiB."),
    "bad_type": Code(415, False, "The body's type, charset or compression is not supported."),
    "upgrade_required": Code(426, False, "The WebSocket's version is not 13."),
    "headers_too_large": Code(431, False, "A header is above 16 KiB, or there are more than 128."),
    "too_many": Code(
        429, True, "Too many messages of the array were refused; this one was not looked at."
    ),
    "too_many_reads": Code(
        429, True, "This user or address reads or listens to too much at once; or all do."
    ),
    "slow_reader": Code(
        429, True, "Rows were taken too slowly while others waited for their room: read them again."
    ),
    "internal": Code(500, False, "EventHub or a hook failed; the log has the details."),
    "unavailable": Code(503, True, "The event log cannot be reached now; nothing was stored."),
    "busy": Code(503, True, "Too much of yours or in all is under way; nothing is stored."),
    "unknown_outcome": Code(503, True, "The event may or may not be stored; retry with `_key`."),
}


class Close(IntEnum):
    """WebSocket close codes (RFC 6455 section 7.4; 4000 and above are ours).

    A client reconnects after any code but 4400, 4401 and 4403, where trying again cannot help.
    """

    GOING_AWAY = 1001
    TOO_LARGE = 1009
    INTERNAL = 1011
    RESTART = 1012
    BAD_REQUEST = 4400
    UNAUTHORIZED = 4401
    FORBIDDEN = 4403
    STALLED = 4408
    EXPIRED = 4409
    TOO_SLOW = 4410
    TRY_LATER = 4429

    @property
    def reconnect(self) -> bool:
        """Tell whether a client should connect again."""
        return self not in (Close.BAD_REQUEST, Close.UNAUTHORIZED, Close.FORBIDDEN)


CLOSE_MEANINGS: dict[Close, str] = {
    Close.GOING_AWAY: "The client or the hub is leaving.",
    Close.TOO_LARGE: "A message was above four times `server.max_message`.",
    Close.INTERNAL: "The hub failed; the log has the details.",
    Close.RESTART: "The hub is restarting: connect again and resume.",
    Close.BAD_REQUEST: "The URL cannot be opened: the `_error` before it says why.",
    Close.UNAUTHORIZED: "The endpoint asks for a login.",
    Close.FORBIDDEN: "This user, or a page of this origin, may not.",
    Close.STALLED: "The client took nothing for `server.stalled_after`, or half a large message"
    " came and no more: connect again and resume.",
    Close.EXPIRED: "The login has ended: connect again with a new token, and resume.",
    Close.TOO_SLOW: "Rows were taken too slowly while others waited: connect again and resume.",
    Close.TRY_LATER: "Too much at once is read or listened to: the `_error` before it says what.",
}


class EventHubError(Exception):
    """Base of every error with a code."""

    code = "internal"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    @property
    def http_status(self) -> int:
        """Status of the HTTP answer that tells this error."""
        return CODES[self.code].http

    def as_dict(self, ref: Any = None) -> dict[str, Any]:
        """Return the error object as it goes to a client (docs/protocol.md)."""
        fields: dict[str, Any] = {"code": self.code, "message": self.message}
        if ref is not None:
            fields["ref"] = ref
        fields["retry"] = CODES[self.code].retry
        return fields


class Rejected(EventHubError):  # noqa: N818 - the word of the protocol
    """The sender's fault; sending the same again fails again."""

    def __init__(self, code: str, message: str, *, column: str | None = None) -> None:
        super().__init__(message)
        if code not in CODES:
            raise ValueError(f"no error code {code!r} in the table")
        self.code = code
        self.column = column
        """The column or URL argument at fault, if one is."""

    def as_dict(self, ref: Any = None) -> dict[str, Any]:
        """Return the error object, with the column at fault if one is."""
        fields = super().as_dict(ref)
        if self.column is not None:
            fields["column"] = self.column
        return fields


class Expired(Rejected):
    """The login that a connection was opened with has ended."""

    def __init__(self) -> None:
        super().__init__("unauthorized", "the login has expired: connect again with a new one")


class Conflict(Rejected):
    """Somebody was first: the row is not what the writer believed."""


class Unavailable(EventHubError):  # noqa: N818 - the word of the protocol
    """The log cannot be reached, or did not answer in time; a retry may help."""

    def __init__(self, message: str, *, code: str = "unavailable") -> None:
        super().__init__(message)
        self.code = code


class Misconfigured(EventHubError):  # noqa: N818 - reads as a sentence where it is raised
    """The configuration or the machine cannot work; `eventhub` stops and prints the message."""


class Damaged(EventHubError):  # noqa: N818 - reads as a sentence where it is raised
    """Stored bytes are not what was written: a flipped bit, or a message that is not ours."""
