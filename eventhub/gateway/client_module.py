"""Client module: `/-/client.js`, the JavaScript client that pages of this hub import."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from aiohttp import web

from eventhub.config import Config
from eventhub.gateway import refusal
from eventhub.gateway.answering import answered
from eventhub.gateway.compression import Compression
from eventhub.gateway.files import Files, after_files

PATH: Final = "/-/client.js"
MODULE: Final = Path(__file__).parents[1] / "javascript" / "eventhub.js"
_PUBLIC: Final = {
    # Browsers revalidate each time, so that a page gets the client of the hub that it talks to.
    "Cache-Control": "no-cache",
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
}
"""Pages of other sites import it, too: it is the same for everybody, and the rows are not in it."""
_NAME: Final = "client"
"""What log lines call it."""


def add_route(
    app: web.Application, compression: Compression, config: Config, files: Mapping[str, Files]
) -> None:
    """Give an application the module, unless an entry or a public file has its path.

    Args:
        app: not yet started.
        compression: of the answers.
        config: the configuration.
        files: the static files, by pattern.
    """
    if any(entry.pattern == PATH for entry in config.endpoints):
        return
    body = MODULE.read_bytes()
    tag = hashlib.sha256(body).hexdigest()[:32]

    async def get(request: web.Request) -> web.StreamResponse:
        headers = {**_PUBLIC, "Vary": "Accept-Encoding", "ETag": f'"{tag}"'}
        if any(each.value in (tag, "*") for each in request.if_none_match or ()):
            return web.Response(status=304, headers=headers)
        headers["Content-Type"] = "text/javascript; charset=utf-8"
        return await compression.send_whole(request, body, headers)

    handler = answered(_NAME, get, refusal.refuse)
    app.router.add_get(PATH, after_files(handler, PATH, files))
