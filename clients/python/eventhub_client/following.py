"""Following: one subscription over WebSockets that come and go."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, InvalidURI, WebSocketException
from websockets.typing import Subprotocol

from eventhub_client.answers import error_in
from eventhub_client.credentials import Credentials, headers_of
from eventhub_client.errors import RefusedError, UnavailableError
from eventhub_client.subscription import SUBPROTOCOL, Event, Expiring, Subscription

CONNECT_SECONDS = 20.0
SILENCE_SECONDS = 35.0
"""After so long without a frame the hub is pinged: `server.heartbeat` may be longer."""
PONG_SECONDS = 20.0
"""A connection on which neither an answer to that nor a frame comes for so long is lost."""
CLOSE_SECONDS = 1.0
MAX_FRAME = 64 << 20
MAX_QUEUE = 16
"""Frames that are read ahead. Then the hub has to wait, and keeps nothing for a slow reader."""

logger = logging.getLogger("eventhub_client")


@dataclass(frozen=True, slots=True)
class Offline:
    """The connection is lost, or could not be made; the next one is made by itself."""

    reason: str


class _LostError(Exception):
    """A connection ended, or could not be made."""

    def __init__(
        self, cause: BaseException, code: int | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(f"{type(cause).__name__}: {cause}")
        self.code = code
        self.retry_after = retry_after


class _Connect(connect):
    """A connection that follows no redirection: it may lead to where the token must not go."""

    def process_redirect(self, exc: Exception) -> Exception:
        """Return the error."""
        return exc


async def follow(
    subscription: Subscription, url_since: Callable[[str], str], credentials: Credentials
) -> AsyncGenerator[Event | Offline, None]:
    """Iterate over what happens to a subscription, until the generator is closed.

    It reads only when it is asked for the next event: a slow caller is a slow reader to the hub,
    which then keeps a position for it, and nothing else.

    Args:
        subscription: where it is.
        url_since: returns the `ws:` URL for a `_since`, which may be empty.
        credentials: asked for a token before each connection.

    Raises:
        EventHubError: the hub refuses to open the URL, or the login.
    """
    failures = 0
    while True:
        url = url_since(subscription.since)
        lost = _LostError(EOFError("it has ended"))
        try:
            async with aclosing(_connection(subscription, url, credentials)) as events:
                async for event in events:
                    failures = 0
                    yield event
        except _LostError as error:
            lost = error
        pause = max(subscription.closed(lost.code), lost.retry_after or 0.0)
        level = logging.WARNING if failures == 1 else logging.INFO
        logger.log(level, "%s is offline (%s); trying again in %.1f s", url, lost, pause)
        failures += 1
        yield Offline(str(lost))
        await asyncio.sleep(pause)


async def _connection(
    subscription: Subscription, url: str, credentials: Credentials
) -> AsyncGenerator[Event, None]:
    """Iterate over what happens on one connection.

    Raises:
        _LostError: it ended, or could not be made.
        EventHubError: nothing can be opened there.
    """
    socket = await _open(url, credentials)
    try:
        for event in subscription.opened():
            yield event
        while True:
            received = subscription.receive(json.loads(await _next_frame(socket)))
            if isinstance(received, Expiring):
                await _renew(socket, credentials)
            elif received is not None:
                yield received
    except ConnectionClosed as error:
        raise _LostError(error, error.rcvd.code if error.rcvd else None) from error
    except (OSError, TimeoutError) as error:
        raise _LostError(error) from error
    finally:
        await socket.close()


async def _next_frame(socket: ClientConnection) -> str | bytes:
    """Return the next frame, however long it takes while the hub answers.

    Raises:
        TimeoutError: it does not.
        ConnectionClosed: the connection ended.
    """
    while True:
        with suppress(TimeoutError):
            async with asyncio.timeout(SILENCE_SECONDS):
                return await socket.recv()
        pong = await socket.ping()
        assert isinstance(pong, asyncio.Future)  # noqa: S101 - the type says less
        try:
            async with asyncio.timeout(PONG_SECONDS):
                return await socket.recv()  # the pong may wait behind frames
        except TimeoutError:
            if not pong.done():
                raise


async def _open(url: str, credentials: Credentials) -> ClientConnection:
    try:
        socket = await _Connect(
            url,
            additional_headers=headers_of(await credentials.fresh()),
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            compression=None,
            open_timeout=CONNECT_SECONDS,
            close_timeout=CLOSE_SECONDS,
            ping_interval=None,  # a caller that is slow reads no pongs: see `_next_frame`
            max_size=MAX_FRAME,
            max_queue=MAX_QUEUE,
        )
    except InvalidURI as error:
        raise RefusedError("bad_request", str(error)) from error
    except InvalidStatus as error:
        answer = error.response
        refusal = error_in(answer.status_code, bytes(answer.body or b""))
        if not isinstance(refusal, UnavailableError):
            raise refusal from error
        raise _LostError(refusal, retry_after=refusal.retry_after) from error
    except (OSError, TimeoutError, UnavailableError, WebSocketException) as error:
        raise _LostError(error) from error
    if socket.subprotocol is None:
        await socket.close()
        raise RefusedError("bad_request", f"{url} is not an endpoint of an EventHub")
    return socket


async def _renew(socket: ClientConnection, credentials: Credentials) -> None:
    """Send another token, if there is one. Without it the connection ends with its login."""
    if not credentials.can_renew:
        return
    try:
        token = await credentials.fresh()
    except UnavailableError as error:
        logger.warning("the login cannot be renewed: %s", error)
        return
    await socket.send(json.dumps({"_auth": token}))
