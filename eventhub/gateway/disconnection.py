"""Disconnection: work for an answer ends when its client disconnects.

aiohttp lets a handler run on after its client has left, and does not even notice while more
requests wait on the connection than it reads ahead. So the socket is polled now and then.
"""

import asyncio
import select
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

POLL_SECONDS = 0.1
"""Between two looks at the socket. Work that takes less is not worth one."""
_CLOSED = select.POLLRDHUP | select.POLLHUP | select.POLLERR | select.POLLNVAL


@asynccontextmanager
async def while_connected(request: web.Request) -> AsyncIterator[None]:
    """Cancel the block when the client of a request disconnects.

    Raises:
        ConnectionResetError: it has disconnected.
    """
    loop = asyncio.get_running_loop()
    scope = asyncio.timeout(None)
    next_poll: asyncio.TimerHandle | None = None

    def poll() -> None:
        nonlocal next_poll
        if is_disconnected(request):
            scope.reschedule(loop.time())
        else:
            next_poll = loop.call_later(POLL_SECONDS, poll)

    try:
        async with scope:
            poll()
            yield
    except TimeoutError:
        if not scope.expired():
            raise
        raise ConnectionResetError("the client is gone") from None
    finally:
        if next_poll is not None:
            next_poll.cancel()


def is_disconnected(request: web.Request) -> bool:
    """Return whether the client of a request has closed its connection, or its half of it."""
    transport = request.transport
    if transport is None or transport.is_closing():
        return True
    socket = transport.get_extra_info("socket")
    if socket is None or socket.fileno() < 0:
        return False
    poll = select.poll()
    poll.register(socket.fileno(), select.POLLRDHUP)
    return any(event & _CLOSED for _, event in poll.poll(0))
