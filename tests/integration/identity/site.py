"""A small application that answers with its client, as the hub sees it."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.typedefs import Handler as HttpHandler

from eventhub.config import Auth
from eventhub.errors import EventHubError
from eventhub.identity.authenticator import Authenticator, setup_auth
from eventhub.identity.origin import check_origin, cors_headers
from tests.builders import logins

DEADLINE = 10.0  # seconds
V1 = "eventhub.v1.json"


class Site:
    """A running application, and how to ask it who the client is."""

    def __init__(self, port: int) -> None:
        self.host = f"127.0.0.1:{port}"
        self.url = f"http://{self.host}"
        # With a cookie of somebody else, as browsers have them.
        headers = {"Cookie": "theme=dark"}
        jar = aiohttp.CookieJar(unsafe=True)
        self.client = aiohttp.ClientSession(cookie_jar=jar, headers=headers)

    async def who(self, **headers: str) -> Any:
        """The user's attributes, None, or the code of the error."""
        async with self.client.get(self.url + "/who", headers=_dashed(headers)) as response:
            return (await response.json())["user"]

    async def session(
        self, path: str = "/who", client: aiohttp.ClientSession | None = None
    ) -> str | None:
        async with (client or self.client).get(self.url + path) as response:
            found: str | None = json.loads(await response.text())["session"]
            return found

    async def websocket(self, *protocols: str, **headers: str) -> Any:
        """What the first frame of a WebSocket says, and the subprotocol that was chosen."""
        async with self.client.ws_connect(
            self.url + "/ws", protocols=protocols, headers=_dashed(headers)
        ) as ws:
            return await ws.receive_json(timeout=DEADLINE) | {"protocol": ws.protocol}

    async def raw(self, *lines: bytes, path: bytes = b"/who") -> bytes:
        """The answer to a request that no client library would send."""
        async with asyncio.timeout(DEADLINE):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.host.split(":")[1])
            head = (b"GET %s HTTP/1.1" % path, *lines, b"Connection: close", b"", b"")
            writer.write(b"\r\n".join(head))
            answer = await reader.read()
            writer.close()
            return answer


Serve = Callable[..., Awaitable[Site]]


def _dashed(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def application(auth: Auth, folder: Path, origins: Sequence[str]) -> web.Application:
    @web.middleware
    async def answer_errors(request: web.Request, handler: HttpHandler) -> web.StreamResponse:
        try:
            return await handler(request)
        except EventHubError as error:
            return web.json_response({"user": error.code}, status=error.http_status)

    async def who(request: web.Request) -> web.StreamResponse:
        check_origin(request, origins, authenticator.proxies)
        headers = cors_headers(request, origins, authenticator.proxies)
        return web.json_response(await _seen(authenticator, request), headers=headers)

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(json.dumps(await _seen(authenticator, request)).encode())
        return response

    async def websocket(request: web.Request) -> web.StreamResponse:
        check_origin(request, origins, authenticator.proxies)
        ws = web.WebSocketResponse(protocols=(V1,))
        await ws.prepare(request)
        await ws.send_json(await _seen(authenticator, request))
        await ws.close()
        return ws

    app = web.Application(middlewares=[answer_errors])
    authenticator = setup_auth(app, auth, folder, logins())
    app.router.add_get("/who", who)
    app.router.add_route("OPTIONS", "/who", who)
    app.router.add_get("/stream", stream)
    app.router.add_get("/ws", websocket)
    return app


async def _seen(authenticator: Authenticator, request: web.Request) -> dict[str, Any]:
    handler = await authenticator.handler_of(request, {}, {})
    return {
        "user": None if handler.current_user is None else dict(handler.current_user),
        "session": handler.session.get("id"),
        "protocols": handler.request.headers.get("Sec-WebSocket-Protocol"),
    }


async def started(runner: web.AppRunner, runners: list[web.AppRunner]) -> Site:
    runners.append(runner)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return Site(runner.addresses[0][1])
