"""Requests: HTTP requests that are sent again until their outcome is known."""

import asyncio
import logging
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx

from eventhub_client.answers import error_in
from eventhub_client.backoff import Backoff
from eventhub_client.credentials import Credentials, headers_of
from eventhub_client.errors import (
    EventHubError,
    ForbiddenError,
    UnauthorizedError,
    UnavailableError,
    UnknownOutcomeError,
    is_passing,
)

KEY_SECONDS = 540.0
"""How long a write may be sent again: a hub remembers its key for ten minutes."""
TIMEOUT = httpx.Timeout(35.0, connect=10.0, pool=KEY_SECONDS)
"""Seconds. A hub answers a write within 30 s, and a poll waits for 25 s."""
ONCE_SECONDS = 5.0
"""What is worth nothing later is given up after them."""
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)

logger = logging.getLogger("eventhub_client")


@dataclass(frozen=True, slots=True)
class Request:
    """A request that may be sent several times with the effect of once."""

    method: str
    url: str
    body: bytes | None = None
    content_type: str = "application/json"
    is_write: bool = False


class Requests:
    """The HTTP connections to one hub."""

    def __init__(self, credentials: Credentials, patience: float) -> None:
        """Prepare, without connecting yet.

        Args:
            credentials: for the header `Authorization`.
            patience: seconds for which a request is sent again.
        """
        self._credentials = credentials
        self.patience = min(patience, KEY_SECONDS)
        """Seconds."""
        # A key belongs to its session, if there is one: a cookie that comes between two attempts
        # would make two keys of one.
        cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
        self._http = httpx.AsyncClient(timeout=TIMEOUT, cookies=cookies)

    async def aclose(self) -> None:
        """Close them; a request that is under way fails."""
        await self._http.aclose()

    async def send(self, request: Request) -> httpx.Response:
        """Send a request until it succeeds, or is refused; return the answer, read whole.

        Raises:
            EventHubError: it was refused. `UnavailableError`, and of a write that may be stored
                `UnknownOutcomeError`: it did not succeed in time.
        """
        clock, backoff = asyncio.get_running_loop().time, Backoff()
        until, may_be_stored, level = clock() + self.patience, False, logging.WARNING
        while True:
            try:
                return await self._attempt(request)
            except httpx.TransportError as error:
                may_be_stored |= request.is_write and not isinstance(error, _NEVER_SENT)
                problem: EventHubError = _unavailable(request, error)
                pause = backoff.pause()
            except EventHubError as error:
                problem, pause = error, backoff.pause(error.retry_after)
                may_be_stored |= isinstance(error, UnknownOutcomeError)
            if not is_passing(problem) or clock() + pause > until:
                raise _final(problem, may_be_stored=may_be_stored) from problem
            logger.log(level, "%s: %s; trying again in %.1f s", request.url, problem, pause)
            level = logging.INFO
            await asyncio.sleep(pause)

    async def send_once(self, request: Request) -> httpx.Response:
        """Send a request that is worth nothing later, once; return the answer, read whole.

        Raises:
            EventHubError: it was refused. `UnavailableError`: there was no answer in time.
        """
        try:
            async with asyncio.timeout(ONCE_SECONDS):
                return await self._attempt(request)
        except (httpx.TransportError, TimeoutError) as error:
            raise _unavailable(request, error) from error

    async def _attempt(self, request: Request) -> httpx.Response:
        try:
            return await self._once(request, await self._credentials.current())
        except UnauthorizedError:
            if not self._credentials.can_renew:
                raise
        return await self._once(request, await self._credentials.fresh())

    async def _once(self, request: Request, token: str | None) -> httpx.Response:
        headers = headers_of(token)
        if request.body is not None:
            headers["Content-Type"] = request.content_type
        answer = await self._http.request(
            request.method, request.url, content=request.body, headers=headers
        )
        if not answer.is_success:
            raise error_in(answer.status_code, answer.content)
        return answer


def _unavailable(request: Request, error: httpx.TransportError | TimeoutError) -> UnavailableError:
    text = f"{request.url} does not answer: {type(error).__name__}: {error}"
    return UnavailableError("unavailable", text)


def _final(problem: EventHubError, *, may_be_stored: bool) -> EventHubError:
    """Return the error of the last attempt, which may say nothing of the attempts before it."""
    says_nothing = isinstance(problem, UnavailableError | UnauthorizedError | ForbiddenError)
    if not may_be_stored or not says_nothing:
        return problem
    text = f"the write was sent and may be stored; then: {problem}"
    return UnknownOutcomeError("unknown_outcome", text)
