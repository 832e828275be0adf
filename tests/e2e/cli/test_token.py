"""API keys work on every surface from when they are made until they are revoked, or expire."""

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import aiohttp
import jwt
import pytest

from tests.e2e.client import DEADLINE_SECONDS, V1, Closed, connect, request
from tests.e2e.command import refused, run
from tests.e2e.hub import Hub, running_hub
from tests.e2e.surfaces import READS, WRITES, Headers

SECRET = "0123456789abcdef0123456789abcdef"
CONFIG = f"""
auth: {{jwt: {{secret: {SECRET}}}}}
url:
  chat:
    pattern: /chat
    handler: MessageHandler
    kwargs:
      columns: {{recipient: TEXT, body: TEXT}}
      auth: {{membership: {{scopes: write}}}}
  audit:
    pattern: /audit
    handler: MessageHandler
    kwargs: {{table: _audit, auth: {{membership: {{scopes: audit}}}}}}
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """One hub for all tests of this file."""
    with running_hub(tmp_path_factory.mktemp("hub"), CONFIG) as hub:
        yield hub


def bearer(token: str) -> Headers:
    return {"Authorization": f"Bearer {token}"}


async def token(hub: Hub, *words: object) -> str:
    there = ("token", hub.config, *words, "--data", hub.folder / "data")
    done = await asyncio.to_thread(run, *there)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


async def listed(hub: Hub, user: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(await token(hub, "list", "--json", "--user", user))
    return found


async def test_a_key_works_on_every_surface_until_it_is_revoked(hub: Hub) -> None:
    key = await token(hub, "create", "--user", "importer", "--scopes", "read,write")
    for name, surface in {**READS, **WRITES}.items():
        code = (await surface(f"{hub.url}/chat", bearer(key), "")).code
        assert code == ("not_found" if name in ("PUT", "DELETE") else None), name
    rows = (await request("GET", f"{hub.url}/chat", headers=bearer(key)))[1]
    assert "importer" in {row["user"] for row in rows}
    async with connect(f"{hub.url}/chat?_since=now", headers=bearer(key)) as client:
        await client.replay()
        assert await token(hub, "revoke", key) == "1 revoked"
        with pytest.raises(Closed, match="4412"):
            await client.until(lambda _: False)
    for name, surface in {**READS, **WRITES}.items():
        assert (await surface(f"{hub.url}/chat", bearer(key), "")).code == "unauthorized", name
    [facts] = await listed(hub, "importer")
    assert facts["revoked"]
    assert key.rpartition("_")[2] not in hub.stderr()


async def test_a_browser_sends_a_key_as_a_subprotocol_or_in_its_first_frame(hub: Hub) -> None:
    key = await token(hub, "create", "--user", "page", "--scopes", "write")
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{hub.url}/chat", protocols=(V1, f"bearer.{key}")) as first,
    ):
        assert first.protocol == V1
        assert "_error" not in await first.receive_str(timeout=DEADLINE_SECONDS)
    async with connect(f"{hub.url}/chat?_since=now") as client:
        assert await client.receive() == {"_auth": "required"}
        await client.send({"_auth": key})
        assert (await client.receive())["_auth"] == "accepted"
        assert "_ack" in await client.ask({"body": "of a page"})
        await token(hub, "revoke", key)
        with pytest.raises(Closed, match="4412"):
            await client.until(lambda _: False)


async def test_scopes_are_attributes_of_the_user(hub: Hub) -> None:
    key = await token(hub, "create", "--user", "reader", "--scopes", "read", "--expires", "never")
    status, answer = await request("GET", f"{hub.url}/chat", headers=bearer(key))
    assert (status, answer["_error"]["code"]) == (403, "forbidden")
    assert (await listed(hub, "reader"))[0]["expires"] is None


async def test_a_key_expires_and_its_connection_with_it(hub: Hub) -> None:
    create = ("create", "--user", "brief", "--scopes", "write", "--expires", "5s")
    key = await token(hub, *create)
    async with connect(f"{hub.url}/chat", headers=bearer(key)) as client:
        with pytest.raises(Closed, match="4409"):
            await client.until(lambda _: False)


async def test_the_last_use_of_a_key_is_recorded(hub: Hub) -> None:
    key = await token(hub, "create", "--user", "used", "--scopes", "write")
    assert [each["used"] for each in await listed(hub, "used")] == [None]
    await request("GET", f"{hub.url}/chat", headers=bearer(key))
    async with asyncio.timeout(DEADLINE_SECONDS):
        while (await listed(hub, "used"))[0]["used"] is None:
            pass


async def test_a_key_with_the_scope_admin_is_an_operator(hub: Hub) -> None:
    admin = await token(hub, "create", "--user", "prometheus", "--scopes", "admin")
    other = await token(hub, "create", "--user", "other", "--scopes", "write")
    by_proxy = {"X-Forwarded-For": "192.0.2.1"}  # otherwise it is of this machine
    async with aiohttp.ClientSession(headers=by_proxy) as session:
        for key, status in ((admin, 200), (other, 403), (admin[:-1], 403)):
            async with session.get(f"{hub.url}/metrics", headers=bearer(key)) as answer:
                assert answer.status == status


async def test_a_jwt_is_revoked_by_its_jti(hub: Hub) -> None:
    claims = {"sub": "ann", "scopes": ["write"], "exp": int(time.time()) + 36_000}
    revoked, kept = (
        bearer(jwt.encode({**claims, "jti": name}, SECRET, "HS256")) for name in ("t/1", "t2")
    )
    async with connect(f"{hub.url}/chat", headers=revoked) as client:
        await client.replay()
        assert await token(hub, "revoke", "--jti", "t/1", "--expires", "1h") == "1 revoked"
        with pytest.raises(Closed, match="4412"):
            await client.until(lambda _: False)
    for headers, status in ((revoked, 401), (kept, 200)):
        assert (await request("GET", f"{hub.url}/chat", headers=headers))[0] == status


async def test_with_an_unknown_key_nothing_is_revoked(hub: Hub) -> None:
    claims = {"sub": "ann", "scopes": ["write"], "exp": int(time.time()) + 36_000, "jti": "t3"}
    revoke = ("token", hub.config, "revoke", "nokey", "--jti", "t3", "--data", hub.folder / "data")
    assert "no key 'nokey'" in refused(1, await asyncio.to_thread(run, *revoke))
    headers = bearer(jwt.encode(claims, SECRET, "HS256"))
    assert (await request("GET", f"{hub.url}/chat", headers=headers))[0] == 200


async def test_what_is_made_and_revoked_is_in_the_audit_trail(hub: Hub) -> None:
    key = await token(hub, "create", "--user", "auditor", "--scopes", "audit", "--note", "look")
    gone = await token(hub, "create", "--user", "gone")
    assert await token(hub, "revoke", "--user", "gone", "--jti", "t4") == "2 revoked"
    _, rows = await request(
        "GET", f"{hub.url}/audit", params={"target": "gone"}, headers=bearer(key)
    )
    made, revoked = sorted(rows, key=lambda row: str(row["action"]))
    assert (made["action"], revoked["action"]) == ("token_created", "token_revoked")
    assert revoked["detail"] == {"ids": [gone.split("_")[1]], "jti": "t4"}
    assert key.rpartition("_")[2] not in json.dumps(rows)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("revoke", "nosuch"), "no key 'nosuch'"),
        (("revoke",), "give an ID"),
        (("create", "--user", ""), "printable"),
        (("create", "--user", "a", "--scopes", "a b"), "not a scope"),
        (("create", "--user", "a", "--expires", "soon"), "90d"),
        (("create", "--user", "a", "--attribute", "id=b"), "NAME=VALUE"),
    ],
)
def test_a_mistake_is_explained_and_changes_nothing(
    hub: Hub, words: tuple[str, ...], why: str
) -> None:
    done = run("token", hub.config, *words, "--data", hub.folder / "data")
    assert done.returncode in (1, 2)
    assert why in done.stderr
