"""The three complete configurations of docs/identity.md do what the page says."""

import re
from pathlib import Path

import aiohttp

from tests.e2e.gateway.test_login import Person as PersonWithPassword
from tests.e2e.gateway.test_oidc import Person
from tests.e2e.hub import Hub, HubFactory
from tests.openid_provider import SECRET, running_provider

PAGE = Path(__file__).parents[2] / "docs" / "identity.md"
BLOCKS = re.findall("^```yaml\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
USERS = "ann: {password: correct horse, role: admin}\nbob: battery staple\nzoe: long enough\n"


def started(hub_factory: HubFactory, number: int, issuer: str = "") -> Hub:
    """Return a hub with one of the configurations; its secrets are those of this test."""
    text = BLOCKS[number]
    if issuer:  # as the hub is registered at the provider of the tests
        text = text.replace("https://login.example.org/realms/staff", issuer)
        text = text.replace("client_id: eventhub", "client_id: hub").replace("/login\n", "/sso\n")
    return hub_factory(text, files={"users.yaml": USERS, "oidc.secret": SECRET})


async def wrote(session: aiohttp.ClientSession, hub: Hub, **message: str) -> int:
    async with session.post(f"{hub.url}/chat", json=message) as answer:
        return answer.status


async def deleted(session: aiohttp.ClientSession, hub: Hub, name: str) -> int:
    async with session.delete(f"{hub.url}/chat/{name}") as answer:
        return answer.status


async def test_in_the_open_demo_everybody_writes(hub_factory: HubFactory) -> None:
    hub = started(hub_factory, 0)
    async with aiohttp.ClientSession() as session:
        assert await wrote(session, hub, id="1", body="hello") == 201


async def test_users_of_a_file_change_their_own_and_admins_delete_all(
    hub_factory: HubFactory,
) -> None:
    hub = started(hub_factory, 1)
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar) as session:
        person = PersonWithPassword(hub, session)
        assert await wrote(session, hub, id="1", body="hello") == 401
        status, place, _ = await person.open("/")
        assert (status, place) == (303, "/login?next=/")
        await person.send("/login", user="bob", password="battery staple")
        assert [await wrote(session, hub, id=name, body="hello") for name in "ab"] == [201, 201]
        await person.send("/logout")
        await person.send("/login", user="zoe", password="long enough")
        assert await deleted(session, hub, "a") == 403
        await person.send("/logout")
        await person.send("/login", user="ann", password="correct horse")
        assert await deleted(session, hub, "a") == 200


async def test_in_a_company_the_provider_says_who_may_write(hub_factory: HubFactory) -> None:
    with running_provider() as provider:
        hub = started(hub_factory, 2, provider.issuer)
        person = Person(hub)
        try:
            assert (await person.open("/"))[1] == "/sso?next=/"
            for user, status in [("kim", 403), ("ann", 201)]:
                assert (await person.log_in(user))[:2] == (303, "/")
                assert await wrote(person.session, hub, id="1", body="hello") == status
        finally:
            await person.session.close()
