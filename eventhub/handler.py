"""Handler: what expressions see of a connection, its user and its request."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


class User(Mapping[str, Any]):
    """A logged-in user: a read-only mapping with its keys as attributes; it always has `id`."""

    def __init__(self, attributes: Mapping[str, Any]) -> None:
        user_id = attributes.get("id")
        if user_id is None or user_id == "":
            raise ValueError("a user needs an id")
        self._attributes = {**attributes, "id": str(user_id)}

    @property
    def id(self) -> str:
        """The value of the column `user`."""
        return str(self._attributes["id"])

    def __getitem__(self, key: str) -> Any:
        return self._attributes[key]

    def __getattr__(self, name: str) -> Any:
        # Private names are never keys: `copy` looks them up before `_attributes` exists.
        if name.startswith("_") or name not in self._attributes:
            raise AttributeError(f"the user has no {name!r}")
        return self._attributes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._attributes)

    def __len__(self) -> int:
        return len(self._attributes)

    def __repr__(self) -> str:
        return f"User({self.id!r})"


class Watch(Protocol):
    """A call that is made when a login ends."""

    def cancel(self) -> None:
        """Do not make the call; idempotent."""


class Validity(Protocol):
    """How long a login holds: see `eventhub.identity.expiry`."""

    @property
    def expires_at(self) -> float | None:
        """Unix time at which the login ends by itself; None if it does not."""

    @property
    def is_revoked(self) -> bool:
        """Whether the login was ended before."""

    def check(self, now: float) -> None:
        """Check that the login holds at a Unix time.

        Raises:
            Rejected: `unauthorized`: it has ended.
        """

    def watch(self, end: Callable[[], None]) -> Watch:
        """Call `end` when the login, which holds now, is revoked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestInfo:
    """The HTTP request that opened a connection, as expressions see it."""

    headers: Mapping[str, str] = field(default_factory=dict)
    remote: str | None = None
    """The client's address."""
    path: str = "/"


@dataclass(slots=True, weakref_slot=True, kw_only=True, eq=False)
class Handler:
    """One connection, as expressions see it: `handler`."""

    current_user: User | None = None
    session: dict[str, Any]
    """Has `id`, which is equal for all connections of one browser."""
    args: dict[str, list[str]] = field(default_factory=dict)
    """Arguments of the URL; `open` may change them before the filter is read from them."""
    request: RequestInfo = field(default_factory=RequestInfo)
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    validity: Validity | None = None
    """How long the login of the user holds; None without one."""

    def get_arg(self, name: str, default: Any = None) -> Any:
        """Return the last value of an argument of the URL."""
        values = self.args.get(name)
        return values[-1] if values else default
