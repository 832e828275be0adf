"""An idempotency key belongs to its owner: it answers a retry, and no other client's write."""

import time
from typing import Any

import aiohttp
import jwt
import pytest

from tests.e2e.client import connect, request
from tests.e2e.hub import Hub, HubFactory

SECRET = "0123456789abcdef0123456789abcdef"
CONFIG = f"""
auth: {{jwt: {{secret: {SECRET}}}}}
url:
  notes:
    pattern: /notes
    handler: MessageHandler
    kwargs:
      columns: {{body: TEXT, at: TEXT}}
      message_default: {{POST: {{at: "str(uuid.uuid4())"}}}}
"""
WRITES = [
    ("POST", {"body": "one"}, {"body": "two"}),
    ("POST", {"id": "named", "body": "one"}, {"id": "named", "body": "two"}),
    ("PUT", {"id": "there", "body": "one"}, {"id": "there", "body": "two"}),
    ("DELETE", {"id": "there"}, {"id": "other"}),
]


def login(user: str) -> dict[str, str]:
    claims = {"sub": user, "exp": int(time.time()) + 36_000}
    return {"Authorization": f"Bearer {jwt.encode(claims, SECRET, 'HS256')}"}


async def write(
    hub: Hub, method: str, message: dict[str, Any], key: str, **headers: str
) -> dict[str, Any]:
    named = {"Idempotency-Key": key, **headers}
    _, reply = await request(method, f"{hub.url}/notes", json=message, headers=named)
    return dict(reply)


async def cookie(hub: Hub) -> str:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{hub.url}/notes", headers={"Cookie": "theme=dark"}) as answer,
    ):
        [cookie] = answer.cookies.values()
        return f"{cookie.key}={cookie.value}"


@pytest.mark.parametrize("who", ["a user", "a session", "nobody"])
@pytest.mark.parametrize(("method", "message", "other"), WRITES)
async def test_a_retry_is_answered_and_another_message_with_the_key_refused(
    hub_factory: HubFactory, who: str, method: str, message: dict[str, Any], other: dict[str, Any]
) -> None:
    hub = hub_factory(CONFIG)
    for row_id in ("there", "other"):
        await write(hub, "POST", {"id": row_id}, row_id)
    headers = {"a user": login("ann"), "a session": {"Cookie": await cookie(hub)}, "nobody": {}}[
        who
    ]
    first = await write(hub, method, message, "k", **headers)
    for _ in range(2):
        again = await write(hub, method, dict(reversed(message.items())), "k", **headers)
        assert again == {**first, "duplicate": True}
        refused = await write(hub, method, other, "k", **headers)
        assert refused["_error"]["code"] == "bad_control"
        assert (
            refused["_error"]["message"] == "this _key was used for another message: use a new one"
        )
        hub.kill()
        hub.start()


async def test_equal_keys_of_two_clients_are_different_keys(hub_factory: HubFactory) -> None:
    hub = hub_factory(CONFIG)
    ones = [
        login("ann"),
        login("bob"),
        {"Cookie": await cookie(hub)},
        {"Cookie": await cookie(hub)},
    ]
    replies = [
        await write(hub, "POST", {"body": str(n)}, "k", **one) for n, one in enumerate([*ones, {}])
    ]
    assert [each.get("duplicate") for each in replies] == [False] * 5
    assert len({each["id"] for each in replies}) == 5


async def test_a_client_that_got_its_cookie_with_the_first_write_may_retry_with_it(
    hub_factory: HubFactory,
) -> None:
    """A browser's first WebSocket has no cookie yet; the one that it opens next has."""
    hub = hub_factory(CONFIG)
    async with connect(f"{hub.url}/notes") as client:
        first = await client.ask({"body": "one", "_key": "k"})
    headers = {"Cookie": await cookie(hub)}
    again = await write(hub, "POST", {"body": "one"}, "k", **headers)
    assert (again["id"], again["duplicate"]) == (first["id"], True)
    other = await write(hub, "POST", {"body": "two"}, "k", **headers)
    assert other["duplicate"] is False
