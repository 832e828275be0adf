"""Answering: whatever a request raises becomes one answer with an error object."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web

from eventhub.errors import EventHubError
from eventhub.gateway.access_log import ENDPOINT
from eventhub.gateway.disconnection import is_disconnected
from eventhub.gateway.server import has_to_wait
from eventhub.gateway.throttle import BUSY_SECONDS

logger = structlog.get_logger(__name__)

HttpHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Refuse = Callable[[EventHubError, web.Request], web.StreamResponse]
"""Counts a refusal, and returns its answer."""


def answered(name: str, dispatch: HttpHandler, refuse: Refuse) -> HttpHandler:
    """Return a handler that answers what another one raises.

    Args:
        name: of the entry of `url:`, for the log.
        dispatch: the other handler.
        refuse: makes the answer of an error; not called once an answer has begun.
    """

    async def handle(request: web.Request) -> web.StreamResponse:
        request[ENDPOINT] = name
        try:
            return await dispatch(request)
        except EventHubError as error:
            if request.writer.output_size > 0:
                raise  # an answer has begun
            if has_to_wait(request, error):
                await asyncio.sleep(BUSY_SECONDS)
            return refuse(error, request)
        except web.HTTPException:
            raise
        except Exception as error:  # the client gets an error object, whatever went wrong
            if isinstance(error, ConnectionError) and is_disconnected(request):
                return web.Response()  # goes nowhere
            if request.writer.output_size > 0:
                raise
            logger.exception("request_failed", endpoint=name)
            return refuse(EventHubError("internal error"), request)

    return handle
