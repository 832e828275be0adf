"""The console in a browser: every view, in each width and scheme, by keyboard, from one origin.

A new view is a line in `VIEWS`.
"""

import gzip
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, Page, expect

from eventhub.gateway.console import views
from eventhub.gateway.console.serving import FOLDER
from tests.e2e.command import post
from tests.e2e.hub import Hub, running_hub
from tests.e2e.test_accessibility import SCHEMES, WIDTHS

CONFIG = """
url:
  messages:
    pattern: /messages
    handler: MessageHandler
    kwargs: {columns: {topic: TEXT, body: TEXT}}
  sql: {pattern: /sql, handler: SQLHandler}
"""
FIRST_VIEW_BYTES: Final = 60_000
"""Compressed, of everything that is loaded before the first view is complete."""


@dataclass(frozen=True)
class View:
    """A view of the console, and how a person gets it to show what it is for."""

    key: str
    """Opens it after `g`."""
    says: str
    """A text that is there once it is complete."""
    reach: Callable[[Page], None] = lambda _: None
    """By keyboard alone."""


def tab_to(page: Page, selector: str) -> None:
    """Press Tab until an element has the focus."""
    for _ in range(150):
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab does not reach {selector}")


def try_an_endpoint(page: Page) -> None:
    expect(page.get_by_label("topic", exact=True)).to_be_visible()
    tab_to(page, "form.trial input:not([type=radio])")
    page.keyboard.press("Tab")
    page.keyboard.type("tried")
    page.keyboard.press("Enter")


def filter_rows(page: Page) -> None:
    expect(page.get_by_role("region", name="Rows of /messages")).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("topic=topic+1")
    page.keyboard.press("Enter")


def open_a_row(page: Page) -> None:
    expect(page.locator("main")).to_contain_text("What has changed last")
    page.keyboard.press("/")
    page.keyboard.type("m1")
    page.keyboard.press("Enter")


def go_back_to_the_beginning(page: Page) -> None:
    expect(page.get_by_label("Moment")).to_be_visible()
    tab_to(page, "input[type=range]")
    page.keyboard.press("Home")


def ask(page: Page) -> None:
    expect(page.get_by_label("SQL statement")).to_contain_text("SELECT *")
    page.keyboard.press("/")
    page.keyboard.press("Control+a")
    page.keyboard.type("SELECT id, topic FROM messages WHERE topic = $topic ")
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    tab_to(page, ".fields input")
    page.keyboard.type("topic 1")
    page.keyboard.press("Enter")


VIEWS: Final = {
    "overview": View("o", "All is well"),
    "endpoints": View("e", "Stored", try_an_endpoint),
    "live": View("l", "10 rows of the filter", filter_rows),
    "row": View("r", "Changed", open_a_row),
    "time": View("i", "1 row then", go_back_to_the_beginning),
    "sql": View("s", "10 rows", ask),
    "connections": View("c", "No connections"),
}

if not (FOLDER / "main.js").is_file():
    pytest.skip("the console is not built: make .venv/console", allow_module_level=True)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with running_hub(tmp_path_factory.mktemp("hub"), CONFIG) as started:
        for number in range(30):
            message = {"topic": f"topic {number % 3}", "body": "a message " * number}
            post(f"{started.url}/messages", **message, id=f"m{number}")
        post(f"{started.url}/messages", _method="PUT", id="m1", body="another message")
        yield started


def test_each_view_is_walked() -> None:
    assert list(VIEWS) == list(views.VIEWS)


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_is_reached_by_keyboard_in_each_width_and_scheme(
    hub: Hub, browser: Browser, name: str
) -> None:
    """Without an error, a request to another origin, or something that axe objects to."""
    view, wrong, origins = VIEWS[name], list[str](), set[str]()
    for width in WIDTHS:
        context = browser.new_context(
            viewport={"width": width, "height": 844}, reduced_motion="reduce"
        )
        try:
            page = context.new_page()
            page.on(
                "console", lambda said: wrong.append(said.text) if said.type == "error" else None
            )
            page.on("pageerror", lambda error: wrong.append(str(error)))
            page.on("request", lambda request: origins.add("/".join(request.url.split("/")[:3])))
            page.goto(f"{hub.url}/-/")
            expect(page.get_by_role("heading", level=1)).to_be_focused()
            page.keyboard.press("g")
            page.keyboard.press(view.key)
            page.wait_for_url(f"**#/{name}**")
            view.reach(page)
            expect(page.locator("main")).to_contain_text(view.says)
            for scheme in SCHEMES:
                page.emulate_media(color_scheme=scheme)
                found = Axe().run(page)
                assert found.violations_count == 0, f"{scheme}: {found.generate_report()}"
            wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            assert wide <= 0, f"the page is {wide} px wider than {width}"
        finally:
            context.close()
    assert not wrong
    assert origins == {hub.url}


def test_keys_are_listed_and_lead_to_the_filter_and_the_other_theme(
    hub: Hub, browser: Browser
) -> None:
    context = browser.new_context()
    try:
        page = context.new_page()
        page.goto(f"{hub.url}/-/#/connections")
        expect(page.get_by_role("heading", level=1)).to_be_focused()
        page.keyboard.press("?")
        keys = page.get_by_role("dialog", name="Keys")
        for name, view in VIEWS.items():
            expect(keys).to_contain_text(f"g{view.key}")
            assert name
        page.keyboard.press("Escape")
        expect(keys).to_have_count(0)
        page.keyboard.press("/")
        expect(page.locator("[data-filter]")).to_be_focused()
        page.keyboard.type("t/?")  # as text, and not as keys
        expect(page.locator("[data-filter]")).to_have_value("t/?")
        page.keyboard.press("Escape")
        page.keyboard.press("t")
        page.keyboard.press("t")
        assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "dark"
        page.reload()
        assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "dark"
    finally:
        context.close()


def test_the_first_view_is_small(hub: Hub, browser: Browser) -> None:
    context = browser.new_context()
    try:
        page = context.new_page()
        paths = list[str]()
        page.on("request", lambda request: paths.append(request.url.removeprefix(hub.url)))
        page.goto(f"{hub.url}/-/#/overview")
        expect(page.locator("main")).to_contain_text(VIEWS["overview"].says)
    finally:
        context.close()
    names = [Path(path).name for path in paths if path.startswith("/-/console/")]
    files = [FOLDER / name for name in names if (FOLDER / name).is_file()]
    assert FOLDER / "main.js" in files
    size = sum(len(gzip.compress(each.read_bytes(), 6)) for each in [*files, FOLDER / "index.html"])
    assert size <= FIRST_VIEW_BYTES
