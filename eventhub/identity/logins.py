"""Logins: the access state of a process, and what changes it, for all processes of the hub.

A change is durable before it counts. The store of the hub brings it to every other gateway.
"""

import asyncio
import hashlib
import time
from collections import deque
from contextlib import suppress
from typing import Final, NamedTuple, Self

import msgspec

from eventhub.errors import EventHubError, Unavailable
from eventhub.identity.access import (
    DENIED,
    KEY,
    SESSION,
    USE,
    AccessState,
    Cut,
    Denied,
    Key,
    Session,
    Use,
    Value,
    user_key,
)
from eventhub.identity.expiry import wall_clock
from eventhub.stream import Log, Record, Records

RECORDS: Final = "access"
"""Name of the records in the log."""
READ_SECONDS: Final = 60.0
"""How long reading them may take."""
SESSIONS_OF_USER: Final = 100
"""Logins of one user that hold at the same time; one more ends the oldest."""
ARRIVAL_SECONDS: Final = 1.0
"""How long a session that was just begun on another gateway is waited for."""
KEPT_SECONDS: Final = 3600.0
"""How long the end of a session is kept, which no longer holds without it either."""
KEPT_DENIAL_SECONDS: Final = 60.0
"""How long the end of a token is kept after the token's own: a token that has just expired is
accepted, because clocks differ."""
KEPT_KEY_SECONDS: Final = 30 * 86400.0
"""How long a revoked key is listed."""
USE_SECONDS: Final = 60.0
"""Between two notes of the use of a key."""
KEPT_USE_SECONDS: Final = 400 * 86400.0
"""How long the last use of a key is known."""
MAX_AGENT: Final = 200
"""Characters of what a browser calls itself."""
FORGET_SECONDS: Final = 60.0
"""Between two looks for what has ended by itself."""
OWN_SECONDS: Final = 30.0
"""How long this process keeps what it wrote, in case a store is read again that lacks it."""


class Client(NamedTuple):
    """Where a login comes from."""

    address: str
    agent: str = ""
    """What the browser calls itself."""


def session_token(session_id: str) -> str:
    """Return what names a session in the store, and to operators."""
    return hashlib.sha256(session_id.encode()).hexdigest()[:20]


def session_key(session_id: str) -> str:
    """Return the key of the record of a session; it is its mark, too."""
    return f"{SESSION}.{session_token(session_id)}"


def denied_key(kind: str, name: str) -> str:
    """Return the key of the record that revokes something that the hub did not make."""
    return f"{DENIED}.{hashlib.sha256(f'{kind} {name}'.encode()).hexdigest()[:32]}"


class Logins:
    """The sessions and tokens that hold.

    Args:
        records: the store of the hub.
    """

    def __init__(self, records: Records) -> None:
        self.state = AccessState()
        self._records = records
        self._changed = asyncio.Event()
        """Set with the next change, and then replaced."""
        self._own: deque[tuple[float, Record]] = deque()
        """What this process wrote lately, and when."""
        self._being_used: set[str] = set()
        self._forgot_at = float("-inf")
        self._used: dict[str, float] = {}
        """The last use of each API key that was noted, as Unix time."""
        self._unwritten: set[str] = set()
        self._has_unwritten = asyncio.Event()

    @classmethod
    async def read(cls, event_log: Log) -> Self:
        """Return the logins of a log as they are now; `run` keeps them current.

        Raises:
            Unavailable: they cannot be read now.
        """
        logins = cls(await event_log.records(RECORDS))
        async with logins._records.watch() as watching:
            try:
                async with asyncio.timeout(READ_SECONDS):
                    watched = await anext(watching)
            except TimeoutError:
                text = f"the logins cannot be read from the event log in {READ_SECONDS:.0f} s"
                raise Unavailable(text) from None
        logins.state.replace(watched.records)
        return logins

    async def run(self) -> None:
        """Follow the store, and write when keys were used, until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow())
            group.create_task(self._write_uses())

    async def _follow(self) -> None:
        async with self._records.watch() as watching:
            async for watched in watching:
                if watched.is_whole:
                    self.state.replace([*watched.records, *self._newer(watched.records)])
                else:
                    self.state.apply(watched.records)
                self._forget()
                self._changed.set()
                self._changed = asyncio.Event()

    async def until_known(self, key: str) -> None:
        """Wait a moment for a record that another gateway may just have written."""
        with suppress(TimeoutError):
            async with asyncio.timeout(ARRIVAL_SECONDS):
                while self.state.get(key) is None:
                    await self._changed.wait()

    async def begin_session(self, session_id: str, user: str, ends: float, client: Client) -> None:
        """Store that a user has logged in; errors as `end_session`."""
        await self._end_oldest(user)
        now = wall_clock()
        session = Session(
            user=user,
            begun=now,
            ends=ends,
            address=client.address,
            agent="".join(filter(str.isprintable, client.agent[:MAX_AGENT])),
        )
        await self._put(session_key(session_id), session, ends - now)

    async def end_session(self, token: str) -> bool:
        """End a session on every gateway; return whether it held.

        Args:
            token: names it, as `session_token`.

        Raises:
            Unavailable: that cannot be stored now.
        """
        key = f"{SESSION}.{token}"
        known = self.state.get(key)
        if not isinstance(known, Session) or self.state.has_ended(frozenset((key,)), 0.0):
            return False
        now = wall_clock()
        ended = msgspec.structs.replace(known, ended=now)
        await self._put(key, ended, min(KEPT_SECONDS, max(known.ends - now, 1.0)))
        return True

    async def end_user(self, user: str) -> None:
        """End all logins of a user on every gateway, those of other issuers included.

        Errors as `end_session`.
        """
        await self._put(user_key(user), Cut(user=user, not_before=wall_clock()))

    async def deny(self, key: str, ends: float) -> None:
        """Revoke what another program made; errors as `end_session`.

        Args:
            key: of `denied_key`.
            ends: Unix time at which it would end by itself.
        """
        kept_until = ends + KEPT_DENIAL_SECONDS
        await self._put(key, Denied(ends=kept_until), max(kept_until - wall_clock(), 1.0))

    async def use_up(self, key: str, ends: float) -> bool:
        """Use what may be used once; return whether it was not used before, on any gateway.

        Args:
            key: of `denied_key`.
            ends: Unix time from which it is worthless in any case.

        Raises:
            Unavailable: that cannot be stored now; it is not used.
        """
        if self.state.get(key) is not None or key in self._being_used:
            return False
        self._being_used.add(key)
        try:
            await self.deny(key, ends)
        finally:
            self._being_used.discard(key)
        return True

    def sessions(self, user: str | None = None) -> list[tuple[str, Session]]:
        """Return the sessions that hold, oldest first, each with its token.

        Args:
            user: whose; None for those of all users.
        """
        now = wall_clock()
        found = [
            (token, value)
            for token, value in self.state.items(SESSION)
            if isinstance(value, Session)
            and user in (None, value.user)  # first, because every login asks
            and value.ends > now
            and not self.state.has_ended(frozenset((f"{SESSION}.{token}",)), 0.0)
        ]
        return sorted(found, key=lambda each: each[1].begun)

    async def create_key(self, key_id: str, key: Key) -> None:
        """Store an API key; errors as `end_session`."""
        left = None if key.expires is None else max(key.expires - wall_clock(), 1.0)
        await self._put(f"{KEY}.{key_id}", key, left)

    async def revoke_key(self, key_id: str) -> bool:
        """End an API key on every gateway; return whether it held; errors as `end_session`."""
        name = f"{KEY}.{key_id}"
        known = self.state.get(name)
        if not isinstance(known, Key) or self.state.has_ended(frozenset((name,)), 0.0):
            return False
        revoked = msgspec.structs.replace(known, revoked=wall_clock())
        await self._put(name, revoked, KEPT_KEY_SECONDS)
        return True

    def api_keys(self) -> list[tuple[str, Key, float | None]]:
        """Return the API keys, oldest first, each with its id and its last use."""
        uses = {key_id: use.at for key_id, use in self.state.items(USE) if isinstance(use, Use)}
        found = [
            (key_id, key, uses.get(key_id))
            for key_id, key in self.state.items(KEY)
            if isinstance(key, Key)
        ]
        return sorted(found, key=lambda each: each[1].created)

    def note_use(self, key_id: str) -> None:
        """Note that an API key was used, without waiting until that is stored."""
        now = wall_clock()
        if now - self._used.get(key_id, 0.0) >= USE_SECONDS:
            self._used[key_id] = now
            self._unwritten.add(key_id)
            self._has_unwritten.set()

    async def _write_uses(self) -> None:
        while True:
            await self._has_unwritten.wait()
            self._has_unwritten.clear()
            while self._unwritten:
                key_id = self._unwritten.pop()
                with suppress(EventHubError):  # another use will be written
                    await self._put(f"{USE}.{key_id}", Use(at=self._used[key_id]), KEPT_USE_SECONDS)

    async def _end_oldest(self, user: str) -> None:
        tokens = [token for token, _ in self.sessions(user)]
        for token in tokens[: max(0, len(tokens) - SESSIONS_OF_USER + 1)]:
            await self.end_session(token)

    async def _put(self, key: str, value: Value, seconds: float | None = None) -> None:
        encoded = msgspec.json.encode(value)
        record = Record(key, encoded, await self._records.put(key, encoded, seconds=seconds))
        self._own.append((time.monotonic(), record))
        while self._own[0][0] < time.monotonic() - OWN_SECONDS:
            self._own.popleft()
        self.state.apply([record])  # the store brings it, too, but a moment later

    def _newer(self, records: list[Record]) -> list[Record]:
        """Return what this process wrote while a whole store was read, if it lacks it."""
        newest = max((record.sequence for record in records), default=0)
        since = time.monotonic() - OWN_SECONDS
        return [each for at, each in self._own if at > since and each.sequence > newest]

    def _forget(self) -> None:
        if time.monotonic() - self._forgot_at > FORGET_SECONDS:
            self._forgot_at = time.monotonic()
            self.state.forget(wall_clock())
