"""Credentials: the token of a client, which may be asked for again."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable

import httpx

from eventhub_client.errors import UnavailableError

SECONDS = 20.0
"""Deadline of a function that returns a token."""
_TRANSIENT = (OSError, TimeoutError, httpx.HTTPError)
"""What such a function may raise to be asked again later; anything else reaches the caller."""

Token = str | Callable[[], str | Awaitable[str]]
"""A token, or a function that returns one. One that is not a coroutine is called in a thread."""


class Credentials:
    """Where the token comes from, and the one that it returned last."""

    def __init__(self, token: Token | None) -> None:
        self._token = token
        self._last = token if isinstance(token, str) else None

    @property
    def can_renew(self) -> bool:
        """Another token may be had by asking."""
        return callable(self._token)

    async def fresh(self) -> str | None:
        """Ask for a token; return it, or None if there is none.

        Raises:
            UnavailableError: it could not be had now.
        """
        if not callable(self._token):
            return self._last
        try:
            async with asyncio.timeout(SECONDS):
                if inspect.iscoroutinefunction(self._token):
                    token: str = await self._token()
                else:
                    answer = await asyncio.to_thread(self._token)
                    token = answer if isinstance(answer, str) else await answer
        except _TRANSIENT as error:
            text = f"no token: {type(error).__name__}: {error}"
            raise UnavailableError("unavailable", text) from error
        self._last = token
        return token

    async def current(self) -> str | None:
        """Return the last token; ask only if there is none yet."""
        return self._last or await self.fresh()


def headers_of(token: str | None) -> dict[str, str]:
    """Return the headers of a request with a token."""
    return {"Authorization": f"Bearer {token}"} if token else {}
