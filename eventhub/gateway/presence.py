"""Presence: work for an answer ends when nobody waits for the answer any more.

aiohttp lets a handler run on after its client has left, and does not even notice while more
requests wait on the connection than it reads ahead. So it is looked for, now and then.
"""

import asyncio
import select
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

LOOK_SECONDS = 0.1
"""Between two looks. What takes less is not worth one."""
_GONE = select.POLLRDHUP | select.POLLHUP | select.POLLERR | select.POLLNVAL


@asynccontextmanager
async def while_connected(request: web.Request) -> AsyncIterator[None]:
    """Cancel the block when the client of a request leaves.

    Raises:
        ConnectionResetError: it has left.
    """
    loop = asyncio.get_running_loop()
    scope = asyncio.timeout(None)
    next_look: asyncio.TimerHandle | None = None

    def look() -> None:
        nonlocal next_look
        if is_gone(request):
            scope.reschedule(loop.time())
        else:
            next_look = loop.call_later(LOOK_SECONDS, look)

    try:
        async with scope:
            look()
            yield
    except TimeoutError:
        if not scope.expired():
            raise
        raise ConnectionResetError("the client is gone") from None
    finally:
        if next_look is not None:
            next_look.cancel()


def is_gone(request: web.Request) -> bool:
    """Tell whether the client of a request has closed its connection, or its half of it."""
    transport = request.transport
    if transport is None or transport.is_closing():
        return True
    socket = transport.get_extra_info("socket")
    if socket is None or socket.fileno() < 0:
        return False
    poll = select.poll()
    poll.register(socket.fileno(), select.POLLRDHUP)
    return any(event & _GONE for _, event in poll.poll(0))
