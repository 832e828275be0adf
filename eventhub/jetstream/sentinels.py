"""Sentinels: of the pulls whose consumers one server serves, one that soon notices its loss.

A pull that gets nothing rests: it asks for few heartbeats, because those of a thousand idle tables
would keep a core busy. One of those on each server asks for many all the same: the sentinel. If it
hears nothing, all of them are in doubt.
"""

from typing import Protocol


class Resting(Protocol):
    """A pull that may rest."""

    def suspect(self, reason: str) -> None:
        """Note that something may be missing."""

    def rouse(self, *, if_overdue: bool) -> None:
        """Ask for many heartbeats again; with `if_overdue`, only if a message should have come."""


class Sentinels:
    """The pulls that may rest, by server; the first that came is the sentinel."""

    def __init__(self) -> None:
        self._pulls: dict[str, dict[Resting, None]] = {}

    def join(self, server: str, pull: Resting) -> None:
        """Add a pull.

        Args:
            server: the name of the server that serves its consumer.
            pull: may become the sentinel, at once or later.
        """
        self._pulls.setdefault(server, {})[pull] = None

    def leave(self, server: str, pull: Resting) -> None:
        """Remove a pull; if it was the sentinel, another one takes its place."""
        pulls = self._pulls.get(server, {})
        was_sentinel = self.is_sentinel(server, pull)
        pulls.pop(pull, None)
        if was_sentinel and pulls:
            next(iter(pulls)).rouse(if_overdue=False)

    def is_sentinel(self, server: str, pull: Resting) -> bool:
        """Return whether a pull has to ask for many heartbeats."""
        return next(iter(self._pulls.get(server, ())), None) is pull

    def on_heartbeat(self, server: str) -> None:
        """Rouse those whose messages do not come although the server lives."""
        for pull in self._pulls[server]:
            pull.rouse(if_overdue=True)

    def on_silence(self, server: str) -> None:
        """Note that the sentinel hears nothing: the server may be lost."""
        for pull in tuple(self._pulls[server]):
            pull.suspect("the server is silent")
