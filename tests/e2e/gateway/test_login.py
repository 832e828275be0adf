"""Users log in and out on pages of the hub; nobody else does it for them."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest
from yarl import URL

from eventhub.identity.attempts import FREE_OF_ACCOUNT
from tests.e2e.client import Closed, connect
from tests.e2e.hub import Hub, HubFactory, running_hub

CONFIG = """
url:
  login:
    pattern: /login
    handler: SimpleAuth
    kwargs:
      title: The <club>
      credentials: {ann: {password: correct horse, role: admin}, bob: battery staple}
  logout: {pattern: /logout, handler: LogoutHandler, kwargs: {redirect: /login}}
  chat:
    pattern: /chat
    handler: MessageHandler
    kwargs: {columns: {user: TEXT, body: TEXT}, auth: {membership: {role: admin}}}
  page:
    pattern: /
    handler: FileHandler
    kwargs: {path: $YAMLPATH/pages, auth: true}
  free:
    pattern: /free/
    handler: FileHandler
    kwargs: {path: $YAMLPATH/pages}
"""
FORM = re.compile(r'name="_xsrf" value="([^"]*)"')


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """One hub for all tests of this file."""
    files = {"pages/index.html": "<h1>Inside</h1>"}
    with running_hub(tmp_path_factory.mktemp("hub"), CONFIG, files) as hub:
        yield hub


class Person:
    """One browser, as far as forms and cookies go."""

    def __init__(self, hub: Hub, session: aiohttp.ClientSession) -> None:
        self.hub = hub
        self.session = session

    async def open(self, path: str, **headers: str) -> tuple[int, str, str]:
        """Return the status, the place that it leads to, and the page."""
        headers = {"Accept": "text/html", **headers}
        url = self.hub.url + path
        async with self.session.get(url, headers=headers, allow_redirects=False) as answer:
            return answer.status, answer.headers.get("Location", ""), await answer.text()

    async def send(self, path: str, *, origin: str = "", **fields: str) -> tuple[int, str, str]:
        """Send the form of a page, with the token that it has."""
        _, _, page = await self.open(path)
        found = FORM.search(page)
        fields = {"_xsrf": found[1] if found else "", **fields}
        url = self.hub.url + path
        headers = {"Origin": origin} if origin else {}
        async with self.session.post(
            url, data=fields, headers=headers, allow_redirects=False
        ) as answer:
            return answer.status, answer.headers.get("Location", ""), await answer.text()

    def cookie(self) -> str:
        return "".join(each.value for each in self.session.cookie_jar)


@pytest.fixture
async def person(hub: Hub) -> AsyncIterator[Person]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        yield Person(hub, session)


async def test_a_page_leads_to_the_login_and_the_login_back_to_it(person: Person) -> None:
    status, place, _ = await person.open("/?a=1&b=%C3%BC")
    assert (status, place) == (303, "/login?next=/%3Fa%3D1%26b%3D%25C3%25BC")
    status, place, _ = await person.send(place, user="ann", password="correct horse")
    assert (status, place) == (303, "/?a=1&b=%C3%BC")
    assert await person.open(place) == (200, "", "<h1>Inside</h1>")
    status, place, _ = await person.send("/logout")
    assert (status, place) == (303, "/login")
    assert (await person.open("/"))[0] == 303


async def test_the_user_of_a_login_is_the_user_of_messages_and_rules(
    hub: Hub, person: Person
) -> None:
    await person.send("/login", user="ann", password="correct horse")
    async with person.session.post(
        f"{hub.url}/chat", json={"body": "hello", "user": "mallory"}
    ) as answer:
        assert answer.status == 201
    async with person.session.get(f"{hub.url}/chat") as answer:
        assert [row["user"] for row in await answer.json()] == ["ann"]
    await person.send("/login", user="bob", password="battery staple")
    async with person.session.get(f"{hub.url}/chat") as answer:
        assert answer.status == 403


async def test_programs_and_sockets_are_told_and_not_led(hub: Hub, person: Person) -> None:
    for headers in ({"Accept": "*/*"}, {"Accept": "text/html", "Sec-Fetch-Mode": "cors"}):
        async with person.session.get(f"{hub.url}/chat", headers=headers) as answer:
            assert answer.status == 401
            assert (await answer.json())["_error"]["code"] == "unauthorized"
    async with connect(f"{hub.url}/chat") as client:
        assert (await client.receive())["_error"]["code"] == "unauthorized"
        with pytest.raises(Closed, match="4401"):
            await client.receive()


async def test_a_program_logs_in_with_json(hub: Hub, person: Person) -> None:
    login = {"user": "ann", "password": "correct horse"}
    async with person.session.post(f"{hub.url}/login", json=login) as answer:
        assert (answer.status, await answer.json()) == (200, {"user": "ann"})
    async with person.session.get(f"{hub.url}/chat") as answer:
        assert answer.status == 200
    async with person.session.post(f"{hub.url}/login", json={**login, "password": ""}) as answer:
        assert (answer.status, (await answer.json())["_error"]["code"]) == (401, "unauthorized")


async def test_a_login_begins_a_new_session(person: Person) -> None:
    await person.open("/login")
    before = person.cookie()
    assert before
    await person.send("/login", user="ann", password="correct horse")
    during = person.cookie()
    await person.send("/logout")
    assert len({before, during, person.cookie()}) == 3


async def test_the_answers_to_a_wrong_name_and_a_wrong_password_are_equal(person: Person) -> None:
    pages = []
    for user in ("bob", "rob"):
        status, _, page = await person.send("/login", user=user, password="a guess")
        assert status == 401
        pages.append(FORM.sub("", page).replace(user, "NAME"))
    assert pages[0] == pages[1]
    assert "a guess" not in pages[0]


async def test_what_was_typed_and_the_title_are_escaped(person: Person) -> None:
    _, _, page = await person.send("/login", user='"><script>x</script>', password="no")
    assert "The &lt;club&gt;" in page
    assert "<script" not in page


async def test_a_form_of_another_site_logs_nobody_in_or_out(hub: Hub, person: Person) -> None:
    right = {"user": "ann", "password": "correct horse"}
    alien = "https://evil.example"
    assert (await person.send("/login", origin=alien, **right))[0] == 403
    assert (await person.send("/login", **right, _xsrf="forged"))[0] == 403
    kind = {"Content-Type": "text/plain"}
    body = '{"user":"ann","password":"correct horse"}'
    async with person.session.post(f"{hub.url}/login", data=body, headers=kind) as answer:
        assert answer.status == 415
    assert (await person.open("/"))[0] == 303
    await person.send("/login", **right)
    assert (await person.send("/logout", origin=alien))[0] == 403
    assert (await person.send("/logout", _xsrf="forged"))[0] == 403
    assert (await person.open("/logout"))[0] == 200  # it only asks
    assert (await person.open("/"))[0] == 200


@pytest.mark.parametrize(
    "wanted", ["//evil.example", "https://evil.example/", "/%5Cevil.example", "/%09/evil.example"]
)
async def test_a_login_never_leads_to_another_site(person: Person, wanted: str) -> None:
    path = f"/login?next={wanted}"
    status, place, _ = await person.send(path, user="ann", password="correct horse")
    assert (status, place) == (303, "/")


async def test_a_page_of_logins_cannot_be_framed_or_kept(hub: Hub, person: Person) -> None:
    async with person.session.get(f"{hub.url}/login") as answer:
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["Cache-Control"] == "no-store"


async def test_files_with_a_rule_are_for_users_and_no_shared_cache(
    hub: Hub, person: Person
) -> None:
    url = URL(f"{hub.url}/index.html")
    async with person.session.get(url) as answer:
        assert (answer.status, (await answer.json())["_error"]["code"]) == (401, "unauthorized")
    assert (await person.open("/free/"))[0] == 200
    await person.send("/login", user="bob", password="battery staple")
    async with person.session.get(url) as answer:
        assert (answer.status, answer.headers["Cache-Control"]) == (200, "private, no-cache")


async def test_guesses_wait_longer_and_longer_and_others_do_not(hub_factory: HubFactory) -> None:
    hub = hub_factory(CONFIG.replace("/pages", ""))
    async with aiohttp.ClientSession() as session:

        async def login(user: str, password: str) -> tuple[int, str]:
            sent = {"user": user, "password": password}
            async with session.post(f"{hub.url}/login", json=sent) as answer:
                return answer.status, answer.headers.get("Retry-After", "")

        async with asyncio.timeout(60):
            while (guess := await login("bob", "a guess"))[0] == 401:
                pass
        assert guess[0] == 429
        assert int(guess[1]) >= 1
        assert await login("ann", "correct horse") == (200, "")


async def test_guesses_made_at_the_same_moment_are_no_more_than_those_made_one_by_one(
    hub_factory: HubFactory,
) -> None:
    hub = hub_factory(CONFIG.replace("/pages", ""))
    async with aiohttp.ClientSession() as session:

        async def guess(number: int) -> int:
            sent = {"user": "bob", "password": f"guess {number}"}
            async with session.post(f"{hub.url}/login", json=sent) as answer:
                return answer.status

        async with asyncio.timeout(60):
            statuses = await asyncio.gather(*map(guess, range(30)))
    assert sorted(statuses) == [401] * FREE_OF_ACCOUNT + [429] * (30 - FREE_OF_ACCOUNT)
