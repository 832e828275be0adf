"""Expiry: a connection or a request ends when its login does, by time or because it was revoked."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from eventhub.errors import Expired, Rejected, Revoked
from eventhub.handler import Validity, Watch
from eventhub.identity.access import AccessState, Marks

WARNING_SECONDS = 30.0
"""Before the end: time for a client to get another token, and to connect with it."""
MAX_SECONDS = 86400.0
"""Longest timer: a later end is checked again, because the clock may be set in between."""


def wall_clock() -> float:
    """Return the Unix time, in which tokens and cookies state their end."""
    return time.time()  # noqa: TID251 - compared with the time in tokens and cookies


class LoginValidity:
    """How long a login holds; a `Validity`."""

    __slots__ = ("_began", "_state", "expires_at", "marks")

    def __init__(
        self,
        expires_at: float | None,
        marks: Marks,
        began: float,
        state: AccessState,
    ) -> None:
        """Describe a login.

        Args:
            expires_at: Unix time at which it ends by itself; None if it does not.
            marks: what it depends on.
            began: Unix time at which it began.
            state: knows when one of the marks is ended.
        """
        self.expires_at = expires_at
        """Unix time at which the login ends by itself; None if it does not."""
        self.marks = marks
        """What it depends on: when one of them is ended, so is the login."""
        self._began = began
        self._state = state

    def check(self, now: float) -> None:
        """Check that the login holds.

        Raises:
            Expired: it has ended by itself.
            Revoked: it was ended.
        """
        if self.expires_at is not None and now >= self.expires_at:
            raise Expired
        if self.is_revoked:
            raise Revoked

    def watch(self, end: Callable[[], None]) -> Watch:
        """Call `end` when the login, which holds now, is ended."""
        return self._state.watch(self.marks, self._began, end)

    @property
    def is_revoked(self) -> bool:
        """Whether the login was ended."""
        return self._state.has_ended(self.marks, self._began)


class Expiry:
    """Ends one connection with its login. Its owner cancels it when the connection closes."""

    __slots__ = ("_at", "_end", "_timer", "_warn", "_watch")

    def __init__(
        self, validity: Validity, warn: Callable[[], None], end: Callable[[Rejected], None]
    ) -> None:
        """Start the timer, and watch for a revocation.

        Args:
            validity: of the login.
            warn: called `WARNING_SECONDS` before it expires, or at once if less is left.
            end: called once with the reason, when the login ends.
        """
        self._at = validity.expires_at
        self._warn: Callable[[], None] | None = warn
        self._end = end
        self._timer: asyncio.TimerHandle | None = None
        self._watch = validity.watch(self._on_revoked)
        if validity.is_revoked:  # while the connection was being opened
            self._timer = asyncio.get_running_loop().call_later(0, self._on_revoked)
        else:
            self._wait()

    def cancel(self) -> None:
        """Stop both; idempotent."""
        if self._timer is not None:
            self._timer.cancel()
        self._watch.cancel()
        self._end = _nothing

    def _on_revoked(self) -> None:
        self._finish(Revoked())

    def _finish(self, reason: Rejected) -> None:
        end = self._end
        self.cancel()
        end(reason)

    def _wait(self) -> None:
        if self._at is None:
            return
        left = self._at - wall_clock()
        if self._warn is not None:
            left -= WARNING_SECONDS
        seconds = min(max(left, 0.0), MAX_SECONDS)
        self._timer = asyncio.get_running_loop().call_later(seconds, self._look, self._at)

    def _look(self, at: float) -> None:
        left = at - wall_clock()
        if left <= 0:
            self._finish(Expired())
            return
        if left <= WARNING_SECONDS and self._warn is not None:
            warn, self._warn = self._warn, None
            warn()
        self._wait()


def _nothing(_: Rejected) -> None:
    """Do nothing: the expiry was cancelled."""


@asynccontextmanager
async def while_valid(validity: Validity | None) -> AsyncIterator[None]:
    """Cancel the block when a login ends.

    Args:
        validity: of the login; None without one.

    Raises:
        Expired: the login has ended by itself.
        Revoked: it was ended.
    """
    if validity is None:
        yield
        return
    now = wall_clock()
    validity.check(now)
    scope = asyncio.timeout(None if validity.expires_at is None else validity.expires_at - now)
    watch = validity.watch(lambda: scope.reschedule(asyncio.get_running_loop().time()))
    try:
        async with scope:
            try:
                yield
            finally:
                watch.cancel()
    except TimeoutError:
        if not scope.expired():
            raise
        raise (Revoked if validity.is_revoked else Expired) from None
