"""Clients of each gateway see who is connected to any, also when one of them is killed."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest

from eventhub.delivery.attendance import SILENCE_SECONDS
from eventhub.delivery.frames import Form
from tests.e2e.client import Client, connect
from tests.e2e.matrix import token
from tests.e2e.surfaces import events
from tests.e2e.two_gateways import Hubs, two_gateways

CONFIG = """
broker: {{url: {url}}}
auth: {{jwt: {{secret: {secret}}}}}
url:
  chat:
    pattern: /chat
    handler: MessageHandler
    kwargs: {{columns: {{body: TEXT}}, presence: true}}
"""
DEADLINE_SECONDS = 3 * SILENCE_SECONDS


@pytest.fixture(scope="module")
def hubs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hubs]:
    with two_gateways(tmp_path_factory.mktemp("hubs"), CONFIG) as hubs:
        yield hubs


class Seen:
    """What a client knows of the others."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.users: dict[str, int] = {}
        self.anonymous = 0

    async def until(self, users: dict[str, int], anonymous: int = 0) -> None:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while (self.users, self.anonymous) != (users, anonymous):
                told = (await self._client.receive()).get("_presence")
                if told is None:
                    continue
                if "users" in told:
                    self.users = {}
                for name in ("users", "join", "change"):
                    for each in told.get(name, ()):
                        self.users[each["user"]] = each["connections"]
                for each in told.get("leave", ()):
                    del self.users[each["user"]]
                self.anonymous = told.get("anonymous", self.anonymous)


def as_user(name: str) -> dict[str, str]:
    return token(name, boxes=[])


async def test_users_of_both_gateways_are_seen_until_they_leave_or_theirs_is_killed(
    hubs: Hubs,
) -> None:
    one, other = (f"{hub.url}/chat?_presence" for hub in hubs)
    async with AsyncExitStack() as stack:
        watcher = Seen(await stack.enter_async_context(connect(one, headers=as_user("ann"))))
        await watcher.until({"ann": 1})
        for user in ("ann", "bob"):
            for form in (Form.V2, Form.BARE):
                url = other.partition("?")[0] if form is Form.BARE else other
                await stack.enter_async_context(connect(url, form=form, headers=as_user(user)))
        await watcher.until({"ann": 3, "bob": 2})
        async with connect(other, headers=as_user("eve")) as client:
            late = Seen(client)
            await late.until({"ann": 3, "bob": 2, "eve": 1})
            await watcher.until({"ann": 3, "bob": 2, "eve": 1})
        await watcher.until({"ann": 3, "bob": 2})
        await asyncio.to_thread(hubs.other.kill)
        await watcher.until({"ann": 1})
        await asyncio.to_thread(hubs.other.start)
        async with connect(other) as client:
            await Seen(client).until({"ann": 1}, anonymous=1)
            await watcher.until({"ann": 1}, anonymous=1)
            stopping = asyncio.create_task(asyncio.to_thread(hubs.other.stop))
            await watcher.until({"ann": 1})
            assert await stopping == 0


async def test_a_stream_of_events_is_told_too(hubs: Hubs) -> None:
    joined = {"user": "sue", "connections": 1}
    async with events(f"{hubs.one.url}/chat?_presence", as_user("sue")) as stream:
        assert not isinstance(stream, tuple)
        async with asyncio.timeout(DEADLINE_SECONDS):
            assert "users" in (await anext(stream))["_presence"]
            frame = await anext(stream)
            while joined not in frame.get("_presence", {}).get("join", []):
                frame = await anext(stream)
