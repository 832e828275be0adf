"""Ephemeral: messages that are not stored, and who is connected; what is missed stays missed."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from eventhub_client.backoff import Backoff
from eventhub_client.following import Offline
from eventhub_client.subscription import Event, Subscription, Unstored

START = "now"
NO_ROWS = (("id!", ""), ("id", "0"))
"""Conditions that no row and no message meets both."""


@dataclass(frozen=True, slots=True)
class Present:
    """Who is connected to an endpoint, at any gateway."""

    users: Mapping[str, int]
    """How many connections each user has."""
    anonymous: int = 0
    """Connections without a login."""

    @property
    def connections(self) -> int:
        """The number of all connections."""
        return sum(self.users.values()) + self.anonymous

    def after(self, told: Mapping[str, Any]) -> "Present":
        """Return who is connected after a frame, which has the whole state or what changed."""
        users = {} if "users" in told else dict(self.users)
        for kind in ("users", "join", "change"):
            users.update((each["user"], each["connections"]) for each in told.get(kind, ()))
        for each in told.get("leave", ()):
            users.pop(each["user"], None)
        return Present(users, told.get("anonymous", self.anonymous))


class Listening(Subscription):
    """The protocol of a reader of what is not stored: each connection begins at the present."""

    def __init__(self, backoff: Backoff | None = None) -> None:
        """Start without a connection; see `Subscription`."""
        super().__init__(START, backoff=backoff)

    def receive(self, frame: Mapping[str, Any]) -> Event | None:
        """Take one frame; see `Subscription`."""
        if frame.get("_method") == "SEND" or "_presence" in frame:
            return Unstored(frame)
        event = super().receive(frame)
        self.since = START
        return event

    def closed(self, code: int | None) -> float:
        """Return how long to wait; see `Subscription`."""
        pause = super().closed(code)
        self.since = START
        return pause


async def messages(
    events: AsyncGenerator[Event | Offline, None],
) -> AsyncGenerator[dict[str, Any], None]:
    """Iterate over the messages that are not stored."""
    async with aclosing(events):
        async for event in events:
            if isinstance(event, Unstored) and "_method" in event.frame:
                yield {key: value for key, value in event.frame.items() if key != "_method"}


async def states(
    events: AsyncGenerator[Event | Offline, None],
) -> AsyncGenerator[Present | None, None]:
    """Iterate over who is connected, after each change; None once that is not known any more."""
    present: Present | None = None
    async with aclosing(events):
        async for event in events:
            if isinstance(event, Unstored) and "_presence" in event.frame:
                present = (present or Present({})).after(event.frame["_presence"])
                yield present
            elif isinstance(event, Offline) and present is not None:
                present = None
                yield None
