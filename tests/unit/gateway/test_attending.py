"""A client that asks is told who is connected; the others get what they always got."""

import time
from pathlib import Path
from typing import Any

import jwt
import pytest

from eventhub.config import Auth, ColumnRule, Jwt, Rules
from tests.e2e.client import Client, Closed, Frame, connect
from tests.unit.gateway.serving import Running, running
from tests.unit.gateway.sharing import opened, subscribe
from tests.unit.gateway.sharing import until as until_frame

SECRET = "0123456789abcdef0123456789abcdef"
USERS = Auth(jwt=Jwt(secret=SECRET))


def token(user: str) -> str:
    return jwt.encode({"sub": user, "exp": int(time.time()) + 3600}, SECRET)


def headers(user: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token(user)}"}


async def until(client: Client, **expected: Any) -> Frame:
    """Return the next frame about others that has some values."""
    frames = await client.until(
        lambda frame: expected.items() <= frame.get("_presence", {}).items()
    )
    return frames[-1]


async def refusal(served: Running, query: str, **given: Any) -> tuple[str, str]:
    async with connect(served.url + query, **given) as client:
        try:
            frames = await client.until(lambda frame: "_error" in frame)
        except Closed as closed:
            raise AssertionError("closed without a reason") from closed
    return frames[-1]["_error"]["code"], frames[-1]["_error"]["column"]


def entry(user: str, connections: int = 1) -> Frame:
    return {"user": user, "connections": connections}


async def test_a_client_gets_the_state_first_and_then_who_comes_and_leaves(
    tmp_path: Path,
) -> None:
    async with running(tmp_path, presence=True, users=USERS) as served:
        url = f"{served.url}?_presence"
        async with connect(url, headers=headers("ann")) as client:
            assert await client.receive() == {"_presence": {"users": [], "anonymous": 0}}
            await until(client, join=[entry("ann")])
            async with connect(served.url), connect(url, headers=headers("ann")) as second:
                assert (await second.receive())["_presence"]["users"] == [entry("ann")]
                await until(client, change=[entry("ann", 2)], anonymous=1)
            await until(client, change=[entry("ann", 1)], anonymous=0)
            async with connect(served.url, headers=headers("bob"), bare=True):
                await until(client, join=[entry("bob")])
            await until(client, leave=[entry("bob", 0)])


async def test_whoever_does_not_ask_gets_nothing_of_it(tmp_path: Path) -> None:
    async with (
        running(tmp_path, presence=True) as served,
        connect(f"{served.url}?_presence") as asking,
        connect(served.url) as client,
    ):
        await until(asking, anonymous=2)
        assert await client.replay() == []
        await client.send({"_ref": 1})
        frames = await client.until(lambda frame: "_ack" in frame)
        assert not any("_presence" in frame for frame in frames)


async def test_a_client_that_logs_in_becomes_its_user(tmp_path: Path) -> None:
    async with (
        running(tmp_path, presence=True, users=USERS) as served,
        connect(f"{served.url}?_presence") as client,
    ):
        await until(client, anonymous=1)
        await client.send({"_auth": token("ann")})
        await until(client, join=[entry("ann")], anonymous=0)


async def test_a_client_sees_the_users_whose_rows_it_may_read(tmp_path: Path) -> None:
    async with running(tmp_path, presence=True, rules=Rules(read="own"), users=USERS) as served:
        url = f"{served.url}?_presence"
        async with (
            connect(url, headers=headers("ann")) as ann,
            connect(url, headers=headers("bob")) as bob,
        ):
            assert "bob" not in str(await until(ann, join=[entry("ann")]))
            assert "ann" not in str(await until(bob, join=[entry("bob")]))
            async with connect(url, headers=headers("ann")):
                assert await until(ann, change=[entry("ann", 2)])
            await until(ann, change=[entry("ann", 1)])
            async with connect(url, headers=headers("bob")):
                frame = await until(bob, change=[entry("bob", 2)])
            assert frame == {"_presence": {"change": [entry("bob", 2)]}}


@pytest.mark.parametrize(
    ("query", "endpoint", "given", "expected"),
    [
        ("?_presence", {"presence": False}, {}, ("bad_filter", "_presence")),
        ("?_presence", {}, {"bare": True}, ("bad_filter", "_presence")),
        ("?_presence=all", {}, {}, ("bad_request", "_presence")),
        (
            "?_presence",
            {"rules": Rules(columns={"user": ColumnRule(read="none")})},
            {},
            ("forbidden", "_presence"),
        ),
    ],
)
async def test_a_client_that_cannot_be_told_is_refused(
    tmp_path: Path,
    query: str,
    endpoint: dict[str, Any],
    given: dict[str, Any],
    expected: tuple[str, str],
) -> None:
    async with running(tmp_path, **{"presence": True, **endpoint}) as served:
        assert await refusal(served, query, **given) == expected


async def test_a_poll_has_nothing_to_tell(tmp_path: Path) -> None:
    async with (
        running(tmp_path, presence=True) as served,
        served.http.get(f"{served.url}?_since=now&_presence") as answer,
    ):
        assert answer.status == 400


async def test_each_subscription_of_a_socket_is_told_and_all_count_as_one(tmp_path: Path) -> None:
    async with opened(tmp_path, presence=True, send=True) as (hub, client):
        subscribe(client, 1, "_presence&_since=now")
        first = await until_frame(client, "_presence")
        assert first[-1] == {"_sub": 1, "_presence": {"users": [], "anonymous": 0}}
        subscribe(client, 2, "_presence&_since=now&text=mine")
        while "_presence" not in (frame := await client.json()) or frame["_sub"] != 2:
            pass
        counts: dict[int, int] = {}
        async with connect(hub.url):
            while counts != {1: 2, 2: 2}:
                frame = await client.json()
                if "_presence" in frame:
                    counts[frame["_sub"]] = frame["_presence"]["anonymous"]
            client.send({"_unsubscribe": 2})
        while "_presence" not in (frame := await client.json()):
            pass
        assert frame == {"_sub": 1, "_presence": {"anonymous": 1}}
        client.send({"_sub": 1, "_method": "SEND", "text": "typing", "_ref": 7})
        found: Frame = {}
        while not {"_ack", "_sent"} <= found.keys():  # in any order
            found |= await client.json()
        assert (found["_sub"], found["_ack"], found["sent"]) == (1, 7, True)
        assert [each["text"] for each in found["_sent"]] == ["typing"]
        assert not hub.rows()
