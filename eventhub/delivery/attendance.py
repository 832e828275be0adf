"""Attendance: who is connected to one endpoint, at which process, and who may see it; pure.

Each process says how many connections its users have, whole and again and again. What it said last
counts, and nothing once it has been silent for a while: so a lost signal, or a process that was
killed, is put right by itself, whatever came in which order.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from eventhub.filters.conditions import Filter

MAX_USERS: Final = 1000
"""Users of one endpoint who are named. Connections of further ones count as anonymous."""
MAX_NAMES_BYTES: Final = 256 << 10
"""Of the names that one process says."""
MAX_PROCESSES: Final = 64
"""Processes that are listened to, for one endpoint."""
SILENCE_SECONDS: Final = 6.0
"""After it, the connections of a process that says nothing count no more."""


class Present(NamedTuple):
    """The connections of an endpoint."""

    users: Mapping[str, int] = {}
    """Connections of each user who is named, at least one."""
    anonymous: int = 0
    """Connections of all others."""


NOBODY: Final = Present()


class Attending(msgspec.Struct, frozen=True, kw_only=True):
    """The connections of an endpoint at one process, as it says them to the others."""

    process: str
    endpoint: str
    users: dict[str, int] = {}
    anonymous: int = 0
    asks: bool = False
    """It has just begun to listen, and wants to hear what the others have."""


class Attendance:
    """The connections of one endpoint at all processes."""

    def __init__(self) -> None:
        self._mine: Counter[str | None] = Counter()
        """By user; None: without a login."""
        self._readings: Counter[tuple[str | None, Hashable]] = Counter()
        """By user and socket: several readings on one socket are one connection."""
        self._others: dict[str, tuple[float, Present]] = {}
        """When each process spoke last, and what it said."""
        self._known_mine: Present | None = NOBODY
        self._known_whole: Present | None = NOBODY
        """None if they have changed since they were asked for."""

    def enter(self, user: str | None, socket: Hashable) -> None:
        """Count a reading that was opened here, as a connection if it is the first of its socket.

        Args:
            user: who reads; None: without a login.
            socket: of the client, which may have several readings.
        """
        self._readings[user, socket] += 1
        if self._readings[user, socket] == 1:
            self._mine[user] += 1
            self._known_mine = self._known_whole = None

    def leave(self, user: str | None, socket: Hashable) -> None:
        """Count it no more."""
        self._readings[user, socket] -= 1
        if self._readings[user, socket]:
            return
        del self._readings[user, socket]
        self._mine[user] -= 1
        if not self._mine[user]:
            del self._mine[user]
        self._known_mine = self._known_whole = None

    def hear(self, process: str, said: Present, now: float) -> None:
        """Take what another process says.

        Args:
            process: its name.
            said: all of its connections.
            now: monotonic, in seconds.
        """
        if said == NOBODY:
            self._others.pop(process, None)
        elif process in self._others or len(self._others) < MAX_PROCESSES:
            self._others[process] = (now, said)
        self._known_whole = None

    def forget_silent(self, now: float) -> None:
        """Forget the processes that have said nothing for `SILENCE_SECONDS`."""
        for process, (spoke, _) in tuple(self._others.items()):
            if now - spoke > SILENCE_SECONDS:
                del self._others[process]
                self._known_whole = None

    @property
    def mine(self) -> Present:
        """The connections at this process, within the bounds of what it says."""
        if self._known_mine is None:
            self._known_mine = _bounded(self._mine, MAX_NAMES_BYTES)
        return self._known_mine

    @property
    def whole(self) -> Present:
        """The connections at all processes."""
        if self._known_whole is not None:
            return self._known_whole
        total: Counter[str | None] = Counter()
        for users, anonymous in (self.mine, *(said for _, said in self._others.values())):
            total.update(users)
            total[None] += anonymous
        self._known_whole = _bounded(total)
        return self._known_whole


def _bounded(connections: Mapping[str | None, int], most_bytes: float = float("inf")) -> Present:
    """Return connections by user, of whom the first by name are named, on every process alike."""
    named: dict[str, int] = {}
    size = 0
    for user in sorted(user for user in connections if user is not None):
        size += len(user.encode(errors="replace"))
        if len(named) == MAX_USERS or size > most_bytes:
            break
        named[user] = connections[user]
    return Present(named, sum(connections.values()) - sum(named.values()))


class Sight:
    """What readers with equal rights see of the connections.

    A user is seen by whoever may read a row that has nothing but its `user`, and connections
    without a name by whoever may read one without any.
    """

    def __init__(self, sees: Filter, columns: Iterable[str]) -> None:
        self._empty: dict[str, Any] = dict.fromkeys(columns)
        self._matches: Callable[[Mapping[str, Any]], bool] = sees.matches
        self._sees_all = not sees.conditions

    def of(self, present: Present) -> Present:
        """Return what they see."""
        if self._sees_all:
            return present
        users = {user: n for user, n in present.users.items() if self._is_seen(user)}
        return Present(users, present.anonymous if self._is_seen(None) else 0)

    def _is_seen(self, user: str | None) -> bool:
        return self._matches({**self._empty, "user": user})


def state_frame(present: Present) -> dict[str, Any]:
    """Return the frame with all connections."""
    users = [_entry(user, count) for user, count in present.users.items()]
    return {"_presence": {"users": users, "anonymous": present.anonymous}}


def change_frame(before: Present, after: Present) -> dict[str, Any] | None:
    """Return the frame with what has changed; None if nothing has."""
    changes: dict[str, Any] = {}
    for user, count in after.users.items():
        if user not in before.users:
            changes.setdefault("join", []).append(_entry(user, count))
        elif before.users[user] != count:
            changes.setdefault("change", []).append(_entry(user, count))
    for user in before.users:
        if user not in after.users:
            changes.setdefault("leave", []).append(_entry(user, 0))
    if before.anonymous != after.anonymous:
        changes["anonymous"] = after.anonymous
    return {"_presence": changes} if changes else None


def changed(before: Present, after: Present) -> tuple[Present, Present]:
    """Return the parts of two states that differ, with both numbers of anonymous connections."""
    names = {
        user
        for user in before.users.keys() | after.users.keys()
        if before.users.get(user) != after.users.get(user)
    }
    old, new = (
        Present({user: n for user, n in each.users.items() if user in names}, each.anonymous)
        for each in (before, after)
    )
    return old, new


def _entry(user: str, connections: int) -> dict[str, Any]:
    return {"user": user, "connections": connections}
