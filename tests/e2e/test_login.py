"""Access on every surface with every kind of token; and no connection outlives its login.

A new surface belongs in `surfaces.py`, a new kind of token in `TOKENS`.
"""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import jwt
import pytest

from tests.e2e.client import DEADLINE_SECONDS, V1, Closed, connect, request
from tests.e2e.hub import Hub, running_hub
from tests.e2e.surfaces import READS, WRITES, Headers, events

SECRET = "0123456789abcdef0123456789abcdef"
CONFIG = f"""
server: {{max_message: 1100000}}
auth: {{jwt: {{secret: {SECRET}}}, session: {{secret: of the cookies}}}}
url:
  closed:
    pattern: /closed
    handler: MessageHandler
    kwargs: {{table: t, columns: {{recipient: TEXT, body: TEXT}}, auth: true}}
  admins:
    pattern: /admins
    handler: MessageHandler
    kwargs:
      table: t
      columns: {{recipient: TEXT, body: TEXT}}
      auth: {{membership: {{role: admin}}}}
  large:
    pattern: /large
    handler: MessageHandler
    kwargs: {{columns: {{body: TEXT}}, auth: true}}
  open:
    pattern: /open
    handler: MessageHandler
    kwargs: {{table: t, columns: {{recipient: TEXT, body: TEXT}}}}
"""
YEAR = 365 * 86400  # seconds


def bearer(secret: str = SECRET, **claims: Any) -> Headers:
    """Return the header of a token; its `exp` is in seconds from now."""
    moved = {k: int(time.time()) + v if k in ("exp", "iat") else v for k, v in claims.items()}
    return {"Authorization": f"Bearer {jwt.encode({'sub': 'ann', **moved}, secret, 'HS256')}"}


REFUSED = ("unauthorized", "unauthorized", "unauthorized")
TOKENS: dict[str, tuple[Callable[[], Headers], tuple[str | None, ...]]] = {
    "none": (dict, ("unauthorized", "unauthorized", None)),
    "a user": (lambda: bearer(exp=600), (None, "forbidden", None)),
    "an admin": (lambda: bearer(exp=600, role="admin"), (None, None, None)),
    "expired": (lambda: bearer(exp=-60), REFUSED),
    "for ever": (bearer, REFUSED),
    "for a hundred years": (lambda: bearer(exp=100 * YEAR), REFUSED),
    "nearly over, of a year": (lambda: bearer(iat=-YEAR, exp=600), REFUSED),
    "of another issuer": (lambda: bearer(SECRET[::-1], exp=600), REFUSED),
}
"""Kind to the header, and what /closed, /admins and /open say."""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """One hub for all tests of this file."""
    with running_hub(tmp_path_factory.mktemp("hub"), CONFIG) as hub:
        yield hub


@pytest.mark.parametrize("surface", [*READS, *WRITES])
async def test_every_kind_of_token_on_every_surface(hub: Hub, surface: str) -> None:
    ask = {**READS, **WRITES}[surface]
    for kind, (headers, expected) in TOKENS.items():
        codes = [(await ask(f"{hub.url}/{name}", headers(), "")).code for name in
                ("closed", "admins", "open")]  # fmt: skip
        absent = surface in ("PUT", "DELETE")  # with access, the answer is that there is no row
        assert codes == [code or ("not_found" if absent else None) for code in expected], kind


async def test_a_v1_client_is_warned_and_then_closed_with_4409(hub: Hub) -> None:
    began = datetime.now(UTC)
    async with connect(f"{hub.url}/closed", headers=bearer(exp=3)) as client:
        frames = await client.until(lambda frame: "_error" in frame)
        [warning] = [f for f in frames if "_auth" in f]
        assert warning["_auth"] == "expiring"
        assert 0 <= (datetime.fromisoformat(warning["expires"]) - began).total_seconds() <= 3
        assert frames[-1]["_error"]["code"] == "unauthorized"
        # Not even what is sent before the close is answered.
        await client.send({"id": "too late", "_ref": 1})
        with pytest.raises(Closed) as closed:
            await client.until(lambda frame: False)
        assert closed.value.code == 4409
    assert await missing(hub, "too late")


async def test_a_bare_client_is_closed_with_4409(hub: Hub) -> None:
    async with connect(f"{hub.url}/closed", bare=True, headers=bearer(exp=2)) as client:
        frames = await client.until(lambda frame: "_error" in frame)
        assert not any("_auth" in frame for frame in frames)
        with pytest.raises(Closed) as closed:
            await client.receive()
        assert closed.value.code == 4409


async def test_a_stream_ends_with_an_error_event(hub: Hub) -> None:
    async with events(f"{hub.url}/closed", bearer(exp=2)) as stream:
        assert not isinstance(stream, tuple)
        frames = [frame async for frame in stream]
    assert [frame["_auth"] for frame in frames if "_auth" in frame] == ["expiring"]
    assert frames[-1]["_error"]["code"] == "unauthorized"


async def test_a_poll_that_waits_ends_with_the_login(hub: Hub) -> None:
    async with aiohttp.ClientSession(headers=bearer(exp=2)) as session:
        async with session.get(f"{hub.url}/closed") as answer:
            position = answer.headers["EventHub-Position"]
        asked = {"_since": position, "_wait": "60"}
        async with session.get(f"{hub.url}/closed", params=asked) as answer:
            assert answer.status == 401
            assert (await answer.json())["_error"]["code"] == "unauthorized"


async def test_a_body_that_arrives_after_the_end_is_refused(hub: Hub) -> None:
    headers = bearer(exp=2)
    body = json.dumps({"id": "slow body"}).encode()
    parts = urlsplit(hub.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    head = [
        "POST /closed HTTP/1.1",
        f"Host: {parts.netloc}",
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    head += [f"{name}: {value}" for name, value in headers.items()]
    writer.write("\r\n".join([*head, "", ""]).encode() + body[:1])
    await until_expired(hub, headers)
    writer.write(body[1:])
    async with asyncio.timeout(DEADLINE_SECONDS):
        answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 401")
    assert await missing(hub, "slow body")


async def test_an_unfinished_replay_ends(hub: Hub) -> None:
    """The client reads nothing until its token has expired, and then does not get all rows.

    A stream may end in order, with an error event; rows must be cut off, so as not to look whole.
    """
    for number in range(40):
        message = {"id": str(number), "body": "x" * 1_000_000}
        status, _ = await request("POST", f"{hub.url}/large", json=message, headers=bearer(exp=60))
        assert status == 201
    headers, url = bearer(exp=6), f"{hub.url}/large"
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.ws_connect(url, protocols=(V1,), max_msg_size=0) as socket,
        session.get(url, headers={"Accept-Encoding": "identity"}) as rows,
        session.get(url, headers={"Accept": "text/event-stream"}) as stream,
    ):
        await until_expired(hub, headers)
        async with asyncio.timeout(DEADLINE_SECONDS):
            frames = [
                message.data async for message in socket if message.type is aiohttp.WSMsgType.TEXT
            ]
            assert not any('"_ready"' in frame for frame in frames)
            assert len(frames) < 40
            with pytest.raises(aiohttp.ClientError):
                await rows.read()
            with suppress(aiohttp.ClientError):
                text = await stream.read()
                assert len(text) < 40_000_000
                assert b'"unauthorized"' in text


async def until_expired(hub: Hub, headers: Headers) -> None:
    """Return when the hub refuses a login as expired."""
    async with connect(f"{hub.url}/closed?_since=now", bare=True, headers=headers) as client:
        await client.until(lambda frame: "_error" in frame)


async def missing(hub: Hub, row_id: str) -> bool:
    status, rows = await request("GET", f"{hub.url}/open", params={"id": row_id})
    return status == 200 and rows == []
