"""Client module: `/-/client.js`, the JavaScript client that pages of this hub import.

Parts that only some pages need are modules of their own, at `/-/client/NAME.js`.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from eventhub.config import Config
from eventhub.gateway import refusal
from eventhub.gateway.answering import answered
from eventhub.gateway.compression import Compression
from eventhub.gateway.files import Files, after_files

PATH: Final = "/-/client.js"
FOLDER: Final = Path(__file__).parents[1] / "javascript"
MODULES: Final[dict[str, Path]] = {
    PATH: FOLDER / "eventhub.js",
    **{f"/-/client/{each.name}": each for each in sorted((FOLDER / "client").glob("*.js"))},
}
"""Files by the paths at which they are served."""
_PUBLIC: Final = {
    # Browsers revalidate each time, so that a page gets the client of the hub that it talks to.
    "Cache-Control": "no-cache",
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
}
"""Pages of other sites import it, too: it is the same for everybody, and the rows are not in it."""
_NAME: Final = "client"
"""What log lines call it."""


def add_routes(
    app: web.Application, compression: Compression, config: Config, files: Mapping[str, Files]
) -> None:
    """Give an application the modules, unless an entry or a public file has their path.

    Args:
        app: not yet started.
        compression: of the answers.
        config: the configuration.
        files: the static files, by pattern.
    """
    taken = {entry.pattern for entry in config.endpoints}
    for path, module in MODULES.items():
        if path not in taken:
            handler = answered(_NAME, _get(module.read_bytes(), compression), refusal.refuse)
            app.router.add_get(path, after_files(handler, path, files))


def _get(body: bytes, compression: Compression) -> Handler:
    tag = hashlib.sha256(body).hexdigest()[:32]

    async def get(request: web.Request) -> web.StreamResponse:
        headers = {**_PUBLIC, "Vary": "Accept-Encoding", "ETag": f'"{tag}"'}
        if any(each.value in (tag, "*") for each in request.if_none_match or ()):
            return web.Response(status=304, headers=headers)
        headers["Content-Type"] = "text/javascript; charset=utf-8"
        return await compression.send_whole(request, body, headers)

    return get
