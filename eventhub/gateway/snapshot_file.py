"""Snapshot file: `/-/snapshot.duckdb`: all tables at one moment, for operators."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

from eventhub.config import Server
from eventhub.errors import EventHubError, Rejected
from eventhub.gateway import refusal
from eventhub.gateway.admin import OPERATORS_ONLY, Admin
from eventhub.gateway.disconnection import while_connected
from eventhub.identity.audit import trail_of
from eventhub.identity.proxies import NO_PROXIES, Proxies, client_of
from eventhub.snapshots import Copies

PATH = "/-/snapshot.duckdb"
PART_BYTES = 256 << 10


def add_route(
    app: web.Application, server: Server, copies: Copies, proxies: Proxies = NO_PROXIES
) -> None:
    """Give an application the file of all tables."""
    app.router.add_get(PATH, snapshot_file(Admin(server), copies, proxies))


def snapshot_file(
    admin: Admin, copies: Copies, proxies: Proxies = NO_PROXIES
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Return the handler."""

    async def get(request: web.Request) -> web.StreamResponse:
        if not admin.is_operator(request):
            return refusal.answer(Rejected("forbidden", OPERATORS_ONLY))
        address = client_of(request, proxies)
        try:
            await trail_of(request).record("exported", target="all tables", address=address)
            async with while_connected(request), copies.copy() as path:
                return await _send(request, path)
        except EventHubError as error:
            if request.writer.output_size > 0:
                raise  # the client sees that the file is cut off
            return refusal.answer(error)

    return get


async def _send(request: web.Request, path: Path) -> web.StreamResponse:
    """Send the file whole: a range would be of another copy than the range before it."""
    file = await asyncio.to_thread(os.open, path, os.O_RDONLY)
    try:
        size = os.fstat(file).st_size
        response = web.StreamResponse(
            headers={
                "Content-Type": "application/vnd.duckdb",
                "Content-Disposition": 'attachment; filename="snapshot.duckdb"',
                "Cache-Control": "no-store",
            }
        )
        response.content_length = size
        await response.prepare(request)
        if request.method != "HEAD":
            for offset in range(0, size, PART_BYTES):
                await response.write(await asyncio.to_thread(os.pread, file, PART_BYTES, offset))
        await response.write_eof()
    finally:
        os.close(file)
    return response
