"""Command: one message as its sender means it, read from the JSON of a frame or a body.

Nothing here depends on the endpoint that it was sent to, or on the log.
"""

import secrets
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import count
from typing import Any, Literal, NamedTuple

import msgspec

from eventhub.columns import numbers, words
from eventhub.errors import Rejected
from eventhub.filters.arguments import GRAMEX_CONTROLS, Unknown, nearest, shown
from eventhub.handler import Handler
from eventhub.ingest.permission import UNLIMITED, Permission
from eventhub.ingest.receipts import NOBODY, Owner, digest_of, write_id
from eventhub.methods import METHODS, Method

_PROCESS = "w" + secrets.token_urlsafe(12) + "."
_WRITES = count()
"""Numbers the writes of this process; with its random part, no other process uses the ids."""
MAX_KEYS = 1000
"""Of one message, as many as a form has: each is looked up, converted and kept by itself."""
CONTROLS = ("_method", "_key", "_if_seq", "_upsert", "_revert", "_ref", "_alert")
"""Controls of a message. Further ones that Gramex pages send are dropped; any other is an error."""
_MEANT = frozenset(("revert", "upsert"))
"""Fields of controls that change what a message means: a retry must have them too."""
_METHODS: dict[str, Method] = {method: method for method in METHODS}
IF_SEQ = "the sequence of the row's last event"
REVERT = "a sequence: the row becomes what it was after that event"
_USUAL = frozenset(("_method", "_ref", "_key"))
"""Controls that need no checks of their own."""
_KNOWN = frozenset(CONTROLS) | GRAMEX_CONTROLS


def free(_size: int) -> None:
    """Charge nothing for a stored event."""


class Sender(NamedTuple):
    """The client that a message came from."""

    handler: Handler
    owner: Owner = NOBODY
    """Owner of its idempotency keys."""
    permission: Permission = UNLIMITED
    spend: Callable[[int], object] = free
    """Called with the bytes of each event that was stored for it, or message that was sent."""
    client: str = ""
    """Whose limits apply: a user, or an address."""


class Precondition(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The state of the row that a write requires (RFC 9110 section 13.1).

    It is given as sequences of the row's last event, or as `*` for any; 0 stands for a row that
    never existed.
    """

    match: frozenset[int] | Literal["*"] | None = None
    """The last event is one of these; with `*`, the row exists."""
    none_match: frozenset[int] | Literal["*"] | None = None
    """The last event is none of these; with `*`, the row does not exist."""

    def holds(self, sequence: int, *, exists: bool) -> bool:
        """Tell whether the last event of a row permits the write."""
        if self.match is not None and not _is_among(self.match, sequence, exists=exists):
            return False
        return self.none_match is None or not _is_among(self.none_match, sequence, exists=exists)


def _is_among(wanted: frozenset[int] | Literal["*"], sequence: int, *, exists: bool) -> bool:
    return exists if wanted == "*" else sequence in wanted


class Command(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One message as its sender means it: controls read, the rest untouched."""

    method: Method
    message: dict[str, Any]
    """Without controls, except `_method` in upper case."""
    write: str
    is_keyed: bool = False
    digest: str = ""
    """Of a message with a key: equal for a retry, and different for another message."""
    earlier: str | None = None
    """The write id of an earlier attempt, if the client used the key before it had a session."""
    if_sequence: int | None = None
    precondition: Precondition | None = None
    """What the HTTP headers require, besides `if_sequence`."""
    alert: bool = True
    upsert: bool = False
    """It changes its row, or creates it if there is none; `method` is decided by that."""
    revert: int | None = None
    """The sequence of the event that made the version to restore; 0 for no row."""
    restored: dict[str, Any] | None = None
    """The row of that version, once it is known; empty for a DELETE. No hook changes it."""

    @property
    def needs_no_row(self) -> bool:
        """Tell whether it is a POST that expects nothing: it depends on no row of the log."""
        if self.method != "POST" or self.earlier or self.upsert:
            return False
        return self.if_sequence is None and self.precondition is None

    @classmethod
    def parse(
        cls,
        raw: object,
        *,
        method: str | None = None,
        owner: Owner = NOBODY,
        unknown: Unknown | None = None,
        precondition: Precondition | None = None,
        is_suppressible: bool = True,
    ) -> "Command":
        """Read the controls of a message.

        Args:
            raw: the decoded JSON.
            method: of the transport, for a message that names none; the default is POST.
            owner: of the key; the same key of another owner is another key.
            unknown: `ignore` drops unknown controls.
            precondition: of the transport.
            is_suppressible: whether the message may suppress its alert.

        Raises:
            Rejected: `bad_json`, `bad_method`, `bad_control`, or `too_large`: it has more than
                `MAX_KEYS` keys.
        """
        if not isinstance(raw, dict) or len(raw) > MAX_KEYS:
            raise _no_message(raw)
        known: Method = "POST"
        if method or "_method" in raw:
            known = _method(raw.get("_method", method))
        message: dict[str, Any] = {"_method": known, **raw}
        controls = [name for name in raw if name[:1] == "_"]
        if controls:
            for name in controls:
                del message[name]
            message["_method"] = known
        further: dict[str, Any] = {}
        meaning = message
        if not _USUAL.issuperset(controls):
            further = _further(raw, message, controls, unknown, is_suppressible=is_suppressible)
            meaning = {**message, **{f"_{name}": further[name] for name in _MEANT & further.keys()}}
        key = raw.get("_key")
        return cls(
            method=known,
            message=message,
            write=f"{_PROCESS}{next(_WRITES):x}" if key is None else write_id(key, owner),
            is_keyed=key is not None,
            digest="" if key is None else digest_of(known, meaning),
            earlier=write_id(key) if key is not None and owner.is_new else None,
            precondition=precondition,
            **further,
        )


def _further(
    raw: dict[str, Any],
    message: dict[str, Any],
    controls: Iterable[str],
    unknown: Unknown | None,
    *,
    is_suppressible: bool,
) -> dict[str, Any]:
    """Return the fields of a command that only some messages set; errors as `Command.parse`."""
    if "_auth" in raw:
        text = "_auth is a frame of its own, over a WebSocket with eventhub.v1.json"
        raise Rejected("bad_control", text, column="_auth")
    if unknown != "ignore":
        _check_controls(controls)
    alert = not words.is_false(raw.get("_alert"))
    if not alert and not is_suppressible:
        text = "this alert is not suppressible (suppressible: true of the endpoint): omit _alert"
        raise Rejected("bad_control", text, column="_alert")
    further: dict[str, Any] = {"alert": alert}
    if_sequence = _sequence("_if_seq", raw.get("_if_seq"), IF_SEQ)
    revert = _sequence("_revert", raw.get("_revert"), REVERT)
    upsert = _upsert(raw.get("_upsert"))
    if if_sequence is not None:
        further["if_sequence"] = if_sequence
    if revert is not None:
        _check_revert(message, if_sequence)
        further["revert"] = revert
    if upsert:
        _check_upsert(message["_method"], revert)
        further["upsert"] = True
    return further


def _no_message(raw: object) -> Rejected:
    if isinstance(raw, dict):
        return Rejected("too_large", f"a message has at most {MAX_KEYS:,} keys")
    return Rejected("bad_json", "a message is a JSON object")


def _check_controls(names: Iterable[str]) -> None:
    for name in names:
        if name not in _KNOWN:
            message = f"{shown(name)} is not a control of a message{nearest(name, CONTROLS)}"
            raise Rejected("bad_control", message, column=name)


def _method(name: object) -> Method:
    if isinstance(name, str):
        method = _METHODS.get(name) or _METHODS.get(name.upper())
        if method is not None:
            return method
    raise Rejected("bad_method", f"_method must be one of {', '.join(METHODS)}")


def _check_revert(message: dict[str, Any], if_sequence: int | None) -> None:
    if if_sequence is None:
        text = "_revert needs _if_seq, the sequence of the row's last event that you know of"
        raise Rejected("bad_control", text, column="_revert")
    if message["_method"] == "DELETE" or message.keys() - {"_method", "id"}:
        text = "a message with _revert has an id and no values, and is no DELETE"
        raise Rejected("bad_control", text, column="_revert")


def _upsert(value: object) -> bool:
    if isinstance(value, str):
        with suppress(ValueError):
            value = words.boolean(value)
    if value is not None and not isinstance(value, bool | int | float):
        raise Rejected("bad_control", "_upsert must be true or false", column="_upsert")
    return bool(value)


def _check_upsert(method: Method, revert: int | None) -> None:
    if method == "DELETE" or revert is not None:
        text = "_upsert creates or changes a row: leave it out of a DELETE, and next to _revert"
        raise Rejected("bad_control", text, column="_upsert")


def _sequence(name: str, value: object, meaning: str) -> int | None:
    if value is None:
        return None
    if isinstance(value, str):
        with suppress(ValueError):
            value = numbers.whole(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise Rejected("bad_control", f"{name} must be {meaning}")
    return value
