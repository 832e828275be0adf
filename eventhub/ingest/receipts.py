"""Receipts: which keyed write became which event, so that a retry gets the first answer.

The log itself refuses a write id that it stored in the last minutes. It cannot tell a retry from a
mistake once the row has changed: the retried POST of a row that another client has edited since
looks like a POST of an existing id. So this remembers the keyed writes of all processes, and reads
back those from before this process started, or from when it did not follow the channel.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import msgspec

from eventhub.errors import Rejected, Unavailable
from eventhub.event import StoredEvent
from eventhub.stream import EventStream

WINDOW = timedelta(minutes=10)
"""How long a key is remembered; the protocol promises two minutes."""
MAX_REMEMBERED = 1_000_000
"""Keyed writes that are kept, about 200 bytes each; the oldest go first."""
MAX_KEY_LENGTH = 500
_NUMBERS = frozenset((int, float, Decimal))
_SORTED = msgspec.json.Encoder(order="sorted").encode
READ_BACK_SECONDS = 20.0


class Receipt(NamedTuple):
    """The answer to a writer."""

    id: str
    sequence: int
    duplicate: bool
    ignored: tuple[str, ...] = ()
    """Keys of the message that are no columns: broadcast, but no part of the row."""
    created: bool | None = None
    """Whether an upsert created its row; None for any other message."""

    def as_dict(self) -> dict[str, object]:
        """Return the receipt as the JSON object for a client."""
        reply: dict[str, object] = {
            "id": self.id,
            "_seq": self.sequence,
            "duplicate": self.duplicate,
        }
        if self.created is not None:
            reply["created"] = self.created
        return {**reply, "ignored": self.ignored} if self.ignored else reply


class Owner(NamedTuple):
    """The owner of a key: a user, or a session; without either, all such clients share it."""

    user: str = ""
    session: str = ""
    """Of a client without a login, if it sent the session's cookie."""
    is_new: bool = False
    """The session is so new that the client may have used the key before it had the cookie."""


NOBODY: Final = Owner()


def write_id(key: object, owner: Owner = NOBODY) -> str:
    """Return the id of every write of an owner with this idempotency key.

    Raises:
        Rejected: `bad_control`: a key is 1 to 500 characters, or a number.
    """
    if isinstance(key, int) and not isinstance(key, bool):
        key = str(key)
    if not isinstance(key, str) or not 1 <= len(key) <= MAX_KEY_LENGTH:
        raise Rejected("bad_control", f"_key must be text of 1 to {MAX_KEY_LENGTH} characters")
    # A header may hold bytes that are not UTF-8: aiohttp passes them on as lone surrogates.
    named = f"{owner.user or owner.session}\0{key}".encode(errors="surrogatepass")
    kind = b"" if owner.user or not owner.session else b"session"
    return "k" + blake2b(named, digest_size=16, person=kind).hexdigest()


def digest_of(method: str, message: Mapping[str, Any]) -> str:
    """Return a digest that is equal for messages that mean the same.

    The order of keys does not count, and a number is equal to its text, as a form or the command
    line sends it.
    """
    message = {
        name: str(value) if type(value) in _NUMBERS else value for name, value in message.items()
    }
    try:
        text = _SORTED([method, message])
    except (TypeError, ValueError, RecursionError):  # a form's field that is not UTF-8
        text = repr([method, sorted(message.items())]).encode(errors="backslashreplace")
    return blake2b(text, digest_size=12).hexdigest()


class Receipts:
    """The keyed writes of one channel, of all processes, for `WINDOW`."""

    def __init__(
        self,
        stream: EventStream,
        after: int | None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Start to remember.

        Args:
            stream: the channel's log.
            after: as for `on_followed`.
            now: the clock; returns aware instants.
        """
        self._stream = stream
        self._now = now
        self._known: OrderedDict[str, tuple[str, int]] = OrderedDict()
        self._started_at = now()
        self._started_after = after
        self._read_to = 0
        """All keyed writes of the window up to here are known."""
        self._read_back = asyncio.Lock()

    def on_followed(self, after: int | None) -> None:
        """Start again: `note` will be given every event after a sequence; None: no more events."""
        self._started_at, self._started_after = self._now(), after

    @property
    def _is_complete(self) -> bool:
        return self._started_after is not None and self._read_to >= self._started_after

    def note(self, batch: Sequence[StoredEvent]) -> None:
        """Remember the keyed writes among events that were delivered, in order."""
        if self._is_complete:
            self._read_to = batch[-1].sequence
        self._remember(batch)

    def _remember(self, batch: Iterable[StoredEvent]) -> None:
        for stored in batch:
            if stored.event.write.startswith("k"):
                self._known[stored.event.write] = (stored.event.id, stored.sequence)
        while len(self._known) > MAX_REMEMBERED:
            self._known.popitem(last=False)

    async def find(self, write: str) -> Receipt | None:
        """Return the receipt of an earlier write, or None if there was none in the window.

        Raises:
            Unavailable: the log does not answer, so it is not known.
        """
        known = self._known.get(write)
        if known is None and not self._is_complete:
            try:
                await self._complete()
            except TimeoutError:
                raise Unavailable("the event log does not answer") from None
            known = self._known.get(write)
        return None if known is None else Receipt(*known, duplicate=True)

    async def _complete(self) -> None:
        async with asyncio.timeout(READ_BACK_SECONDS), self._read_back:
            if not self._is_complete:
                self._read_to = await self._read_earlier_writes(self._started_after)

    async def _read_earlier_writes(self, after: int | None) -> int:
        """Read what was not noted of the window. It happens only if needed.

        Returns:
            The sequence up to which all is known: `after`, or, without one, the last of the log.
        """
        now = self._now()
        if after is not None and now - self._started_at > WINDOW:
            return after
        last = (await self._stream.bounds()).last
        position = max(self._read_to, await self._stream.sequence_before(now - WINDOW))
        end = last if after is None else min(after, last)
        if position < end:
            async with self._stream.follow(position) as batches:
                async for batch in batches:
                    self._remember(batch)
                    if batch[-1].sequence >= end:
                        break
        return last if after is None else after
