"""A token may come from any function, which may fail for a while."""

import pytest

from eventhub_client import AsyncHub, UnavailableError
from tests.e2e.hub import Hub
from tests.tokens import token_of

pytestmark = pytest.mark.xdist_group("eventhub_client")


async def test_a_token_may_be_a_text_a_function_or_a_coroutine(server: Hub) -> None:
    async def ask() -> str:
        return token_of("ann")

    for token in (token_of("ann"), lambda: token_of("ann"), ask, lambda: ask()):
        async with AsyncHub(server.url, token=token) as hub:
            await hub.rows("private").ready(20)
            assert await hub.post("private", {})


async def test_a_login_service_that_is_away_is_asked_again(server: Hub) -> None:
    tries = 0

    def token() -> str:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise ConnectionRefusedError("the login service is away")
        return token_of("ann")

    async with AsyncHub(server.url, token=token) as hub:
        await hub.rows("private").ready(20)
        assert tries == 3
    async with AsyncHub(server.url, token=lambda: open("/nowhere").read(), patience=0) as hub:
        with pytest.raises(UnavailableError, match=r"no token: FileNotFoundError: .*/nowhere"):
            await hub.post("private", {})


async def test_a_mistake_in_the_function_reaches_the_caller(server: Hub) -> None:
    nothing: dict[str, str] = {}
    async with AsyncHub(server.url, token=lambda: nothing["token"]) as hub:
        with pytest.raises(KeyError):
            await hub.post("private", {})
        with pytest.raises(KeyError):
            await hub.rows("private").ready(20)
