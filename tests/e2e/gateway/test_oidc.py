"""Users log in at a provider; whatever else comes back from there logs nobody in."""

import ast
import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from html import unescape
from itertools import count

import aiohttp
import pytest
from yarl import URL

from tests.e2e.hub import Hub, HubFactory, running_hub
from tests.openid_provider import CLIENT, SECRET, Provider, running_provider
from tests.ports import free_port

CONFIG = """
auth: {{proxy: {{trusted: [127.0.0.1]}}}}
url:
  login:
    pattern: /sso
    handler: OIDCAuth
    kwargs:
      title: Example & Sons
      issuer: {issuer}
      client_id: {client}
      client_secret: {secret}
      user_claim: email
      attributes: {{name: name, roles: realm_access.roles, groups: groups}}
      logout: end_session
  plain:
    pattern: /plain
    handler: OIDCAuth
    kwargs:
      title: Plain
      authorize_url: {issuer}/authorize
      token_url: {issuer}/token
      user_url: {issuer}/user
      client_id: {client}
      client_secret: {secret}
      user_claim: id
      attributes: [login, email]
  logout: {{pattern: /logout, handler: LogoutHandler, kwargs: {{redirect: /bye}}}}
  chat:
    pattern: /chat
    handler: MessageHandler
    kwargs: {{columns: {{body: TEXT}}, auth: {{membership: {{roles: admin}}}}}}
  whose:
    pattern: /whose
    handler: MessageHandler
    kwargs:
      columns: {{body: TEXT, seen: TEXT}}
      message_default: {{POST: {{seen: "str(dict(handler.current_user))"}}}}
      auth: true
  page:
    pattern: /
    handler: FileHandler
    kwargs: {{path: $YAMLPATH/index.html, auth: true}}
"""


FORM = re.compile(r'name="_xsrf" value="([^"]*)"')


def config_of(issuer: str) -> str:
    return CONFIG.format(issuer=issuer, client=CLIENT, secret=SECRET)


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    """One provider for all tests of this file."""
    with running_provider() as provider:
        yield provider


@pytest.fixture(scope="module")
def hub(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """One hub for all tests of this file."""
    files = {"index.html": "<h1>Inside</h1>"}
    folder = tmp_path_factory.mktemp("hub")
    with running_hub(folder, config_of(provider.issuer), files) as hub:
        yield hub


class Person:
    """One browser at an address of its own, as far as redirects and cookies go."""

    _numbers = count(1)

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        number = next(self._numbers)
        self.address = f"10.0.{number // 256}.{number % 256}"
        headers = {"X-Forwarded-For": self.address}
        jar = aiohttp.CookieJar(unsafe=True)
        self.session = aiohttp.ClientSession(cookie_jar=jar, headers=headers)

    async def open(self, place: str, **headers: str) -> tuple[int, str, str]:
        """Return the status, the place that it leads to, and the page."""
        url = self.hub.url + place if place.startswith("/") else place
        headers = {"Accept": "text/html", **headers}
        async with self.session.get(
            URL(url, encoded=True), headers=headers, allow_redirects=False
        ) as answer:
            return answer.status, answer.headers.get("Location", ""), await answer.text()

    async def begin(self, path: str = "/sso") -> str:
        """Return the place at the provider that a login leads to."""
        status, place, _ = await self.open(path)
        assert status == 303
        return place

    async def agree(self, place: str, user: str = "ann") -> str:
        """Log in at the provider; return the place that it leads back to."""
        self.session.cookie_jar.clear(lambda cookie: cookie.key == "person")
        async with self.session.post(
            URL(place, encoded=True), data={"person": user}, allow_redirects=False
        ) as answer:
            assert answer.status == 302, await answer.text()
            return answer.headers["Location"]

    async def log_in(self, user: str = "ann", path: str = "/sso") -> tuple[int, str, str]:
        return await self.open(await self.agree(await self.begin(path), user))

    async def log_out(self) -> str:
        """Return the page that a logout leads to."""
        _, _, page = await self.open("/logout")
        token = FORM.search(page)
        assert token
        fields = {"_xsrf": token[1]}
        async with self.session.post(f"{self.hub.url}/logout", data=fields) as answer:
            return await answer.text()

    async def whose(self) -> dict[str, object] | None:
        """Return the attributes of the user, as the hub knows them."""
        url = f"{self.hub.url}/whose"
        async with self.session.post(url, json={"body": "x"}) as answer:
            if answer.status == 401:
                return None
        async with self.session.get(url, params={"_sort": "-timestamp", "_limit": "1"}) as answer:
            [row] = await answer.json()
            found: dict[str, object] = ast.literal_eval(row["seen"])
            return found


Another = Callable[[Hub], Person]


@pytest.fixture
async def another() -> AsyncIterator[Another]:
    """Make persons."""
    people = []

    def make(hub: Hub) -> Person:
        people.append(Person(hub))
        return people[-1]

    yield make
    for person in people:
        await person.session.close()


@pytest.fixture
async def person(hub: Hub, another: Another) -> Person:
    return another(hub)


def reasons(person: Person) -> list[str]:
    """Return why logins of a person have failed, as the log says it."""
    log = person.hub.stderr()
    lines = [json.loads(line) for line in log.splitlines() if f'"{person.address}"' in line]
    return [
        line["reason"] for line in lines if line["event"] == "login_failed" and "reason" in line
    ]


async def test_a_page_leads_to_the_provider_and_the_login_back_to_it(
    hub: Hub, person: Person
) -> None:
    status, place, _ = await person.open("/?a=1")
    assert (status, place) == (303, "/sso?next=/%3Fa%3D1")
    place = await person.begin(place)
    asked = URL(place).query
    assert asked["scope"] == "openid email profile"
    assert asked["redirect_uri"] == f"{hub.url}/sso"
    assert asked["code_challenge_method"] == "S256"
    assert len({asked["state"], asked["nonce"], asked["code_challenge"]}) == 3
    assert (await person.open(await person.agree(place)))[:2] == (303, "/?a=1")
    assert (await person.open("/"))[2] == "<h1>Inside</h1>"
    assert await person.whose() == {
        "id": "ann@example.org",
        "name": "Ann <b>",
        "roles": ["admin", "writer"],
        "groups": ["staff"],
    }


WRONG = {
    "audience": "wrong_audience",
    "other_audience": "wrong_audience",
    "azp": "wrong_audience",
    "issuer": "wrong_issuer",
    "nonce": "wrong_nonce",
    "at_hash": "wrong_at_hash",
    "expired": "expired_token",
    "future": "bad_token",
    "subject": "bad_token",
    "date": "bad_token",
    "alg_none": "bad_signature",
    "hs256": "bad_signature",
    "signature": "bad_signature",
    "key": "bad_signature",
    "kid": "unknown_key",
}
"""What is wrong with a token, and the reason in the log."""


@pytest.mark.parametrize("wrong", WRONG)
async def test_a_wrong_token_logs_nobody_in_and_stands_in_the_log(
    hub: Hub, person: Person, provider: Provider, wrong: str
) -> None:
    place = await person.agree(await person.begin())
    provider.do(wrong=wrong)
    status, _, page = await person.open(place)
    assert status == 403
    assert 'role="alert">What the login service answered cannot be trusted.' in page
    assert "<script" not in page
    assert reasons(person) == [WRONG[wrong]]
    assert await person.whose() is None
    assert "eyJ" not in page + hub.stderr()
    assert URL(place).query["code"] not in page + hub.stderr()


@pytest.mark.parametrize(
    ("asked", "user", "reason", "text"),
    [
        ({"deny": True}, "ann", "provider_error", "The login was cancelled"),
        ({"iss": "https://evil.example"}, "ann", "wrong_issuer", "cannot be trusted"),
        ({"iss": "-"}, "ann", "wrong_issuer", "cannot be trusted"),
        ({"other_user": True}, "ann", "wrong_user_info", "cannot be trusted"),
        ({}, "bob", "email_not_verified", "Your e-mail address is not verified there."),
        ({}, "eve", "attributes_too_large", "does not fit into a cookie"),
    ],
)
async def test_a_person_who_is_refused_reads_why(
    person: Person,
    provider: Provider,
    asked: dict[str, object],
    user: str,
    reason: str,
    text: str,
) -> None:
    place = await person.begin("/sso?next=/%3Fa%3D1")
    provider.do(**asked)
    status, _, page = await person.open(await person.agree(place, user))
    assert (status, reasons(person)) == (403, [reason])
    assert text in page
    assert 'href="/sso"' in page
    assert await person.whose() is None


@pytest.mark.parametrize("answer", ["redirect", "flood", "nonsense", "broken"])
async def test_a_provider_that_does_not_answer_as_it_must_is_tried_again_later(
    person: Person, provider: Provider, answer: str
) -> None:
    place = await person.agree(await person.begin())
    provider.do(token=answer)
    status, _, page = await person.open(place)
    assert status == 503
    assert "The login service cannot be reached now: try again later." in page
    assert await person.whose() is None
    assert (await person.log_in())[:2] == (303, "/")


async def test_a_login_comes_back_once_and_to_its_browser(
    hub: Hub, person: Person, another: Another
) -> None:
    other = another(hub)
    place = await person.agree(await person.begin())
    assert (await other.open(place))[0] == 403
    assert reasons(other) == ["unknown_state"]
    before = person.session.cookie_jar.filter_cookies(URL(hub.url))
    assert (await person.open(place))[0] == 303
    assert (await person.open(place))[0] == 403
    person.session.cookie_jar.clear()
    person.session.cookie_jar.update_cookies(before, URL(hub.url))
    assert (await person.open(place))[0] == 403  # the state is used, whatever the cookie says
    assert reasons(person) == ["unknown_state", "unknown_state"]


async def test_a_code_is_refused_the_second_time(hub: Hub, person: Person) -> None:
    used = URL(await person.agree(await person.begin()))
    assert (await person.open(str(used)))[0] == 303
    place = URL(await person.agree(await person.begin())).update_query(code=used.query["code"])
    assert (await person.open(str(place)))[0] == 403
    assert reasons(person) == ["code_refused"]
    assert '"detail": "invalid_grant"' in hub.stderr()


async def test_a_code_of_another_browser_is_worth_nothing(
    hub: Hub, person: Person, another: Another
) -> None:
    thief = another(hub)
    stolen = URL(await person.agree(await person.begin())).query["code"]
    place = URL(await thief.agree(await thief.begin())).update_query(code=stolen)
    assert (await thief.open(str(place)))[0] == 403
    assert reasons(thief) == ["code_refused"]
    assert await thief.whose() is None


async def test_four_tabs_log_in_one_after_the_other(person: Person) -> None:
    begun = [await person.begin(f"/sso?next=/%3Ftab%3D{tab}") for tab in range(5)]
    places = [await person.agree(place) for place in begun]
    found = [(await person.open(place))[:2] for place in places]
    assert found == [(403, ""), *((303, f"/?tab={tab}") for tab in range(1, 5))]
    assert max(len(cookie.value) for cookie in person.session.cookie_jar) < 3900


async def test_a_state_is_only_for_the_entry_that_began_with_it(person: Person) -> None:
    place = await person.agree(await person.begin())
    assert (await person.open(place.replace("/sso?", "/plain?")))[0] == 403
    twice = await person.agree(await person.begin())
    assert (await person.open(f"{twice}&state=x"))[0] == 403
    assert (await person.open("/sso?code=guess&state=guess"))[0] == 403
    assert reasons(person) == ["unknown_state", "repeated_parameter", "unknown_state"]


async def test_no_other_site_begins_or_ends_a_login(hub: Hub, person: Person) -> None:
    image = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
    assert (await person.open("/sso", **image))[0] == 403
    async with person.session.options(f"{hub.url}/sso") as answer:
        assert answer.headers["Allow"] == "GET, OPTIONS"
    for method in ("POST", "HEAD", "PUT"):
        async with person.session.request(method, f"{hub.url}/sso") as answer:
            assert answer.status == 405
    place = await person.begin("/sso?next=//evil.example")
    assert (await person.open(await person.agree(place)))[1] == "/"


async def test_a_provider_without_openid_names_users_at_an_address(person: Person) -> None:
    place = await person.begin("/plain")
    assert not {"scope", "nonce"} & URL(place).query.keys()
    assert (await person.open(await person.agree(place)))[:2] == (303, "/")
    assert await person.whose() == {"id": "7", "login": "ann"}  # its address is not verified


async def test_codes_that_are_guessed_have_to_wait_and_other_people_do_not(
    hub: Hub, person: Person, provider: Provider, another: Another
) -> None:
    page, guesses = "", 0
    async with asyncio.timeout(30):
        while "Too many logins failed. Please wait" not in page:
            place = URL(await person.begin()).query
            guess = f"/sso?code=guess&iss={provider.issuer}&state={place['state']}"
            status, _, page = await person.open(guess)
            assert status == 403
            guesses += 1
    assert guesses > 20
    assert reasons(person)[-1] == "too_many_logins"
    assert (await another(hub).log_in())[0] == 303


async def test_a_hub_behind_a_proxy_knows_its_own_address(hub: Hub, person: Person) -> None:
    proxied = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "chat.example.org"}
    _, place, _ = await person.open("/sso", **proxied)
    assert URL(place).query["redirect_uri"] == "https://chat.example.org/sso"
    for host in ("a b", "user@a", "a/b"):
        status, _, page = await person.open("/sso", **proxied | {"X-Forwarded-Host": host})
        assert status in (400, 403)
        assert "Location" not in page


async def test_a_logout_goes_on_to_the_provider_and_comes_back(
    hub: Hub, person: Person, provider: Provider
) -> None:
    await person.log_in()
    provider.do()
    page = await person.log_out()
    assert await person.whose() is None
    assert "Log out of Example &amp; Sons too" in page
    found = re.search('http-equiv="refresh" content="0; url=([^"]+)"', page)
    assert found
    status, place, _ = await person.open(unescape(found[1]))
    assert (status, place) == (303, f"{hub.url}/bye")
    assert provider.do() == ["end with a hint"]


async def test_a_hub_starts_without_its_provider_and_follows_its_keys(
    hub_factory: HubFactory, another: Another
) -> None:
    port = free_port()
    hub = hub_factory(config_of(f"http://127.0.0.1:{port}"), files={"index.html": "x"})
    person = another(hub)
    async with person.session.get(f"{hub.url}/sso", allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
    status, _, page = await person.open("/sso?next=/x")
    assert status == 503
    assert "The login service cannot be reached now: try again later." in page
    assert 'href="/sso?next=/x"' in page
    with running_provider(port) as provider:
        async with asyncio.timeout(30):
            while (await person.open("/sso"))[0] != 303:
                pass
        place = await person.agree(await person.begin())
        await asyncio.to_thread(hub.kill)
        await asyncio.to_thread(hub.start)
        assert (await person.open(place))[0] == 303  # another process knows what has begun
        provider.do(rotate=True)
        assert (await person.log_in())[0] == 303
        assert provider.do().count("keys") == 1
    assert "You may still be logged in" not in await person.log_out()  # its pages are known
