"""Access state: which logins, API keys and tokens hold now, and what to call when one ends.

It is made of the records of a store, in any order and however often they come. A record that cannot
be read ends what it names: nothing is let in because of damage.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple

import msgspec
import structlog

from eventhub.channel import encode_token
from eventhub.stream import Record

logger = structlog.get_logger(__name__)

Marks = frozenset[str]
"""What a login depends on: keys of records. It ends when one of them is ended."""
SESSION, USER, KEY, USE, DENIED = "session", "user", "key", "seen", "denied"
"""The first tokens of the keys."""
_REQUIRED: Final = frozenset((SESSION, KEY))
"""Without a record of these kinds a login does not hold; without one of the others it does."""


class Session(msgspec.Struct, frozen=True, kw_only=True, tag=SESSION):
    """A login in a browser, or the end of one."""

    user: str
    begun: float
    """Unix time, as all times here."""
    ends: float
    """When it ends by itself."""
    address: str = ""
    agent: str = ""
    """What the browser calls itself."""
    ended: float | None = None
    """When it was ended before."""


class Cut(msgspec.Struct, frozen=True, kw_only=True, tag=USER):
    """The end of all logins of a user up to a time."""

    user: str
    not_before: float


class Key(msgspec.Struct, frozen=True, kw_only=True, tag=KEY):
    """An API key, without its secret."""

    user: str
    digest: str
    """Of the secret: SHA-256, in hexadecimal."""
    scopes: tuple[str, ...] = ()
    attributes: dict[str, Any] = {}
    """Further attributes of its user."""
    created: float
    expires: float | None = None
    note: str = ""
    revoked: float | None = None


class Use(msgspec.Struct, frozen=True, kw_only=True, tag=USE):
    """The last use of an API key, to within a minute."""

    at: float


class Denied(msgspec.Struct, frozen=True, kw_only=True, tag=DENIED):
    """A token of another issuer, or a session of another program, that was revoked."""

    ends: float
    """When it would end by itself."""


Value = Session | Cut | Key | Use | Denied
_decode: Final = msgspec.json.Decoder(Value).decode


def user_key(user: str) -> str:
    """Return the key of the record that ends all logins of a user; it is their mark, too."""
    return f"{USER}.{encode_token(user)}"


class Stored(NamedTuple):
    """A record as it was read."""

    sequence: int
    value: Value | None
    """None: it cannot be read."""


class Watch:
    """A call that is made when a login ends; `cancel` it when the login is no longer used."""

    __slots__ = ("_state", "began", "end", "marks")

    def __init__(
        self, state: "AccessState", marks: Marks, began: float, end: Callable[[], None]
    ) -> None:
        self._state = state
        self.marks = marks
        self.began = began
        self.end = end

    def cancel(self) -> None:
        """Do not make the call; idempotent."""
        self._state.unwatch(self)


class AccessState:
    """The records by key, and the watches of the logins that are in use."""

    def __init__(self) -> None:
        self._records: dict[str, Stored] = {}
        self.has_keys = False
        """Whether there is an API key, or was one since all records were read."""
        self._watches: dict[str, set[Watch]] = {}
        """By mark."""

    def apply(self, records: Iterable[Record]) -> None:
        """Take records, in any order; older ones of the same key have no effect."""
        changed = [record.key for record in records if self._take(record)]
        for key in changed:
            self._check(key)

    def replace(self, records: Iterable[Record]) -> None:
        """Take all records that there are: what is not among them is no longer there."""
        self._records, self.has_keys = {}, False
        for record in records:
            self._take(record)
        for mark in tuple(self._watches):
            self._check(mark)

    def forget(self, now: float) -> None:
        """Forget what has ended by itself."""
        ended = [key for key, stored in self._records.items() if _is_over(stored.value, now)]
        for key in ended:
            del self._records[key]

    def get(self, key: str) -> Value | None:
        """Return the value of a record; None if there is none, or it cannot be read."""
        stored = self._records.get(key)
        return None if stored is None else stored.value

    def items(self, kind: str) -> Iterator[tuple[str, Value]]:
        """Iterate over the records of a kind: the rest of their keys, and their values."""
        prefix = f"{kind}."
        for key, stored in self._records.items():
            if key.startswith(prefix) and stored.value is not None:
                yield key.removeprefix(prefix), stored.value

    def has_ended(self, marks: Marks, began: float) -> bool:
        """Return whether a login does not hold.

        Args:
            marks: what it depends on.
            began: Unix time at which it began.
        """
        return any(self._has_ended(mark, began) for mark in marks)

    def watch(self, marks: Marks, began: float, end: Callable[[], None]) -> Watch:
        """Call `end` once, when a login ends that holds now."""
        watch = Watch(self, marks, began, end)
        for mark in marks:
            self._watches.setdefault(mark, set()).add(watch)
        return watch

    def unwatch(self, watch: Watch) -> None:
        """Forget a watch; idempotent."""
        for mark in watch.marks:
            watches = self._watches.get(mark)
            if watches is not None:
                watches.discard(watch)
                if not watches:
                    del self._watches[mark]

    def _take(self, record: Record) -> bool:
        known = self._records.get(record.key)
        if known is not None and known.sequence >= record.sequence:
            return False
        value = _value_of(record)
        if value is None:
            logger.error("access_record_unreadable", key=record.key, sequence=record.sequence)
        self._records[record.key] = Stored(record.sequence, value)
        self.has_keys = self.has_keys or isinstance(value, Key)
        return True

    def _check(self, mark: str) -> None:
        for watch in tuple(self._watches.get(mark, ())):
            if self.has_ended(watch.marks, watch.began):
                self.unwatch(watch)
                watch.end()

    def _has_ended(self, mark: str, began: float) -> bool:
        stored = self._records.get(mark)
        if stored is None:
            return mark.partition(".")[0] in _REQUIRED
        match stored.value:
            case Session(user=user, ended=ended):
                cut = self._records.get(user_key(user))  # in the log's order: clocks may differ
                return ended is not None or (cut is not None and cut.sequence > stored.sequence)
            case Cut(not_before=not_before):
                return began < not_before
            case Key(revoked=revoked):
                return revoked is not None
            case _:
                return True


def _value_of(record: Record) -> Value | None:
    """Return the value of a record; None if it cannot be read."""
    try:
        value: Value = _decode(record.value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return value


def _is_over(value: Value | None, now: float) -> bool:
    match value:
        case Session(ends=ends) | Denied(ends=ends):
            return ends < now
        case Key(expires=float() as expires):
            return expires < now
        case _:
            return False
