"""The pages that the hub itself serves: axe objects to nothing, and their policy allows no script.

A new page is a line in `PAGES`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal
from urllib.error import HTTPError
from urllib.parse import quote, urljoin
from urllib.request import Request, urlopen

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, Page

from tests.e2e.command import post
from tests.e2e.hub import Hub, running_hub

CONFIG = """
url:
  login:
    pattern: /login
    handler: SimpleAuth
    kwargs: {title: The club of people with long names, credentials: {ann: correct horse}}
  company:
    pattern: /company
    handler: OIDCAuth
    kwargs:
      authorize_url: https://login.example.org/authorize
      token_url: https://login.example.org/token
      user_url: https://login.example.org/user
      client_id: hub
      client_secret: 0123456789abcdef
      user_claim: id
  logout: {pattern: /logout, handler: LogoutHandler}
  notes:
    pattern: /notes
    handler: MessageHandler
    kwargs:
      columns: {body: TEXT, n: INTEGER, price: "DECIMAL(38,2)", done: BOOLEAN, tags: JSON}
  empty: {pattern: /empty, handler: MessageHandler, kwargs: {columns: {body: TEXT}}}
  sql: {pattern: /sql, handler: SQLHandler}
"""


WIDTHS: Final = (390, 1440)
SCHEMES: Final[tuple[Literal["light", "dark"], ...]] = ("light", "dark")


def log_in(page: Page, password: str = "correct horse") -> None:
    page.get_by_label("User name").fill("ann")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def fail_to_log_in(page: Page) -> None:
    log_in(page, "a guess")


def log_in_and_leave(page: Page) -> None:
    log_in(page)
    page.wait_for_url("**/notes")
    page.goto(urljoin(page.url, "/logout"))


@dataclass(frozen=True)
class Shown:
    """A page that people see."""

    path: str
    says: str
    """A text on it."""
    reach: Callable[[Page], None] = lambda _: None
    """What leads from the path to it."""


PAGES: Final = {
    "login": Shown("/login", "User name"),
    "login failed": Shown("/login", "do not belong together", fail_to_log_in),
    "logout": Shown("/login?next=/notes", "ann", log_in_and_leave),
    "logged out": Shown("/logout", "You are logged out"),
    "login at a provider refused": Shown("/company?state=x&code=y", "Try again"),
    "rows": Shown("/notes?_format=html", "a rather long text"),
    "no rows": Shown("/empty?_format=html", "No rows."),
    "rows of the past": Shown("/notes?_format=html&_as_of=1&_sort=-n&n>~=1", "a rather long text"),
    "sql": Shown("/sql?_format=html", "Run"),
    "sql answered": Shown("/sql?_format=html&sql=FROM notes", "a rather long text"),
    "sql refused": Shown("/sql?_format=html&sql=SELECT nope", "nope"),
}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with running_hub(tmp_path_factory.mktemp("hub"), CONFIG) as started:
        for number in range(1, 31):
            text = "a rather long text, as people write it, " * (number % 4)
            post(f"{started.url}/notes", body=text, n=number, done=number % 2 == 0, tags=[number])
        yield started


@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing_in_any_width_and_scheme(hub: Hub, browser: Browser, name: str) -> None:
    shown = PAGES[name]
    context = browser.new_context()
    try:
        page = context.new_page()
        page.goto(hub.url + shown.path)
        shown.reach(page)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 844})
            for scheme in SCHEMES:
                page.emulate_media(color_scheme=scheme)
                assert shown.says in page.content()
                found = Axe().run(page)
                assert found.violations_count == 0, f"{scheme}: {found.generate_report()}"
            wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            assert wide <= 0, f"the page is {wide} px wider than {width}"
    finally:
        context.close()


ALLOWED: Final = ("default-src", "style-src", "form-action", "base-uri", "frame-ancestors")
"""The directives of a policy: without `script-src`, `default-src` holds."""


@pytest.mark.parametrize("path", sorted({shown.path for shown in PAGES.values()}))
def test_every_page_allows_nothing_but_its_own_style_and_form(hub: Hub, path: str) -> None:
    place = Request(hub.url + quote(path, safe="/?&=~>"), headers={"Accept": "text/html"})
    try:
        with urlopen(place) as answer:
            headers = answer.headers
    except HTTPError as refused:
        headers = refused.headers
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    policy = dict(each.split(" ", 1) for each in headers["Content-Security-Policy"].split("; "))
    assert policy.keys() <= {*ALLOWED}
    assert policy["default-src"] == policy["base-uri"] == "'none'"
    assert policy["style-src"].startswith("'sha256-")
    assert policy["frame-ancestors"] in ("'none'", "'self'")
    assert headers["Referrer-Policy"] in ("same-origin", "no-referrer")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Server"] == "EventHub"
