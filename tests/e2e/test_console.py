"""The console in a browser: every view, in each width and scheme, by keyboard, from one origin.

A new view is a line in `VIEWS`. `make console-images` walks through them, too, and takes the images
of docs/console.md.
"""

import gzip
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, Page, expect

from eventhub.gateway.console import views
from eventhub.gateway.console.serving import FOLDER
from tests.e2e.console import (
    CONFIG,
    ELSEWHERE,
    FOLLOWED,
    NEW_RULE,
    TAKES_IMAGES,
    TOKEN,
    UNKNOWN_KEY,
    chatting,
    fill,
    mailing_config,
    opened,
    send,
    take_image,
)
from tests.e2e.hub import Hub, running_hub
from tests.e2e.test_accessibility import SCHEMES, WIDTHS
from tests.integration.alerts.sink import served_sink
from tests.waiting import until

FIRST_VIEW_BYTES: Final = 60_000
"""Compressed, of everything that is loaded before the first view is complete."""
IMAGE_SECONDS: Final = 120
"""Of traffic before the images, so that there is something to see."""


@dataclass(frozen=True)
class View:
    """A view of the console, and how a person gets it to show what it is for."""

    key: str
    """Opens it after `g`."""
    says: str
    """A text that is there once it is complete."""
    reach: Callable[[Page], None] = lambda _: None
    """By keyboard alone."""
    hub: str = "hub"
    """The fixture of the hub that has something to show."""
    pose: Callable[[Page], None] = lambda _: None
    """Before its image is taken."""
    is_shown_small: bool = False
    """docs/console.md has an image of it on a phone, too."""


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
    page.keyboard.type("topic=News")
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
    page.keyboard.type("News")
    page.keyboard.press("Enter")


def back_test_an_alert(page: Page) -> None:
    """Of two orders one would have been mailed, and its mail was refused by the server."""
    expect(page.get_by_role("region", name="Dead letters", exact=True)).to_contain_text("554 no")
    tab_to(page, "[aria-label='Preview the mail of orders:1']")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="Order of Customer 1")).to_contain_text("sales@")
    page.keyboard.press("Escape")
    expect(page.locator("[aria-label='Preview the mail of orders:1']")).to_be_focused()
    page.keyboard.press("/")
    page.keyboard.type("554")
    expect(page.locator("[data-filter]")).to_have_value("554")
    expect(page.locator("#conditions option")).to_have_attribute("value", "amount>~=100")
    tab_to(page, ".backtest button[type=submit]")
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_contain_text("1 mail for")
    page.evaluate("scrollTo(0, 0)")


def check_a_file(page: Page) -> None:
    expect(page.locator("main")).to_contain_text("url: orders")
    page.keyboard.press("/")
    page.keyboard.type("amount>~")
    expect(page.get_by_label("url: orders", exact=True)).to_contain_text("Order of {{ customer }}")
    page.keyboard.press("Escape")
    page.keyboard.press("y")
    page.keyboard.insert_text(UNKNOWN_KEY)
    page.keyboard.press("Control+Enter")
    expect(page.locator("main")).to_contain_text("unknown key 'colums'")
    page.keyboard.press("Control+A")
    page.keyboard.insert_text(NEW_RULE)
    tab_to(page, ".actions button[type=button]")
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_contain_text("/orders: prepare")


def show_orders(page: Page) -> None:
    page.evaluate("location.hash = '#/endpoints?path=/orders'")
    expect(page.get_by_label("customer", exact=True)).to_be_visible()
    page.evaluate("scrollTo(0, 0)")


def show_the_chat(page: Page) -> None:
    page.evaluate("location.hash = '#/live?path=/support&q=topic%3DHelp'")
    expect(page.get_by_role("region", name="Rows of /support")).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.press("End")
    page.keyboard.type("&body")
    page.keyboard.press("ArrowDown")


def show_the_past(page: Page) -> None:
    page.evaluate("location.hash = '#/time?path=/support'")
    expect(page.get_by_role("region", name="Rows of /support as of then")).to_be_visible()
    rows_at_the_end = page.locator(".summary").inner_text()
    page.get_by_label("Moment").focus()
    for _ in range(3):
        page.keyboard.press("PageDown")
    expect(page.locator(".summary")).not_to_have_text(rows_at_the_end)


def show_a_plot(page: Page) -> None:
    asked = {
        "sql": "SELECT time_bucket(to_seconds($seconds::INTEGER), _time) AS moment,\n"
        "  topic, count(*) AS messages\nFROM support_history\nGROUP BY ALL ORDER BY moment",
        "$seconds": "5",
        "as": "plot",
        "mark": "area",
        "x": "moment",
        "y": "messages",
        "colour": "topic",
    }
    page.evaluate("hash => { location.hash = hash }", f"#/sql?{urlencode(asked)}")
    expect(page.locator("svg.drawn")).to_be_visible()


def show_what_differs(page: Page) -> None:
    page.evaluate("document.querySelector('.rehearsed').scrollIntoView({ block: 'end' })")


VIEWS: Final = {
    "overview": View("o", "All is well", is_shown_small=True),
    "endpoints": View("e", "Stored", try_an_endpoint, pose=show_orders),
    "live": View("l", "10 rows of the filter", filter_rows, pose=show_the_chat),
    "row": View("r", "Changed", open_a_row),
    "time": View("i", "1 row then", go_back_to_the_beginning, pose=show_the_past),
    "sql": View("s", "10 rows", ask, pose=show_a_plot),
    "connections": View("c", "topic=News"),
    "alerts": View("a", "1 mail for 2 events of orders", back_test_an_alert, "mailing"),
    "configuration": View("f", "forbidden", check_a_file, "mailing", show_what_differs),
}

if not (FOLDER / "main.js").is_file():
    pytest.skip("the console is not built: make .venv/console", allow_module_level=True)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with running_hub(tmp_path_factory.mktemp("hub"), CONFIG) as started:
        ann = fill(started)
        if TAKES_IMAGES:
            with chatting(started, ann):
                yield started
        else:
            yield started


@contextmanager
def refusing(folder: Path, *answers: str) -> Iterator[Hub]:
    """A hub with an alert for one of two orders, and a mail server that refuses mails at first."""
    with (
        served_sink() as sink,
        running_hub(folder, mailing_config(sink.port)) as started,
    ):
        sink.answers = list(answers)
        login = send(f"{started.url}/login", {"user": "ann", "password": "secret"})
        ann = {"Cookie": login["Set-Cookie"].partition(";")[0]}
        for number, amount in ((1, "300.00"), (2, "30.00")):
            order = {"customer": f"Customer {number}", "amount": amount}
            send(f"{started.url}/orders", order, ann)
        until(lambda: "alert_dead" in started.stderr())
        yield started


@pytest.fixture(scope="module")
def mailing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub with an alert, and a mail that was refused."""
    with refusing(tmp_path_factory.mktemp("hub"), "554 no such mailbox") as started:
        yield started


@pytest.fixture(scope="module")
def followers(hub: Hub, browser: Browser) -> Iterator[None]:
    """Connections of a page in another browser."""
    with opened(hub, browser, "bob") as context:
        page = context.new_page()
        page.goto(f"{hub.url}/-/console/icon.svg")
        page.evaluate(
            """async queries => {
              const opened = queries.map(query => new Promise(resolve => {
                const url = location.origin.replace("http", "ws") + "/support?" + query
                const socket = new WebSocket(url, "eventhub.v1.json")
                socket.onopen = resolve
                ;(globalThis.kept ??= []).push(socket)
              }))
              await Promise.all(opened)
            }""",
            list(FOLLOWED),
        )
        if TAKES_IMAGES:
            page.wait_for_timeout(1000 * IMAGE_SECONDS)
        yield


def test_each_view_is_walked() -> None:
    assert list(VIEWS) == list(views.VIEWS)


@pytest.mark.timeout(60 + IMAGE_SECONDS * TAKES_IMAGES)
@pytest.mark.usefixtures("followers")
@pytest.mark.parametrize("name", VIEWS)
def test_a_view_is_reached_by_keyboard_in_each_width_and_scheme(
    request: pytest.FixtureRequest, browser: Browser, name: str
) -> None:
    """Without an error, a request to another origin, or something that axe objects to."""
    view, wrong, origins = VIEWS[name], list[str](), set[str]()
    hub: Hub = request.getfixturevalue(view.hub)
    for width in WIDTHS:
        size = {"width": width, "height": 844}
        with opened(hub, browser, viewport=size, reduced_motion="reduce") as context:
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
            if TAKES_IMAGES and (width == max(WIDTHS) or view.is_shown_small):
                page.emulate_media(color_scheme="light" if width == max(WIDTHS) else "dark")
                view.pose(page)
                take_image(page, name if width == max(WIDTHS) else f"{name}-phone")
    assert not wrong
    assert origins == {hub.url}


def test_keys_are_listed_and_lead_to_the_filter_and_the_other_theme(
    hub: Hub, browser: Browser
) -> None:
    with opened(hub, browser) as context:
        page = context.new_page()
        page.goto(f"{hub.url}/-/#/connections")
        expect(page.get_by_role("heading", level=1)).to_be_focused()
        page.keyboard.press("?")
        keys = page.get_by_role("dialog", name="Keys")
        for view in VIEWS.values():
            expect(keys).to_contain_text(f"g{view.key}")
        assert Axe().run(page).violations_count == 0
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


def test_the_navigation_of_a_phone_opens_by_keyboard_and_closes_by_a_choice(
    hub: Hub, browser: Browser
) -> None:
    with opened(hub, browser, viewport={"width": min(WIDTHS), "height": 844}) as context:
        page = context.new_page()
        page.goto(f"{hub.url}/-/")
        menu = page.get_by_role("button", name="Menu")
        expect(page.get_by_role("heading", level=1)).to_be_focused()
        chosen = page.get_by_role("navigation").get_by_role("link", name="Connections")
        expect(chosen).to_be_hidden()
        menu.press("Enter")
        expect(chosen).to_be_visible()
        assert Axe().run(page).violations_count == 0
        chosen.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text("Connections")
        expect(page.get_by_role("heading", level=1)).to_be_focused()
        expect(menu).to_have_attribute("aria-expanded", "false")


def test_the_first_view_is_small(hub: Hub, browser: Browser) -> None:
    paths = list[str]()
    with opened(hub, browser) as context:
        page = context.new_page()
        page.on("request", lambda request: paths.append(request.url.removeprefix(hub.url)))
        page.goto(f"{hub.url}/-/#/overview")
        expect(page.locator("main canvas").first).to_be_visible()
    names = [Path(path).name for path in paths if path.startswith("/-/console/")]
    files = [FOLDER / name for name in names if (FOLDER / name).is_file()]
    assert FOLDER / "main.js" in files
    size = sum(len(gzip.compress(each.read_bytes(), 6)) for each in [*files, FOLDER / "index.html"])
    assert size <= FIRST_VIEW_BYTES


FOCUS_AT_ONCE = """new MutationObserver((_, observer) => {
  const filter = document.querySelector("[data-filter]")
  if (filter) { filter.focus(); observer.disconnect() }
}).observe(document, {childList: true, subtree: true})"""


@pytest.mark.usefixtures("followers")
def test_a_filter_that_is_entered_at_once_keeps_the_focus(hub: Hub, browser: Browser) -> None:
    with opened(hub, browser) as context:
        page = context.new_page()
        page.add_init_script(FOCUS_AT_ONCE)
        page.goto(f"{hub.url}/-/#/connections")
        expect(page.get_by_role("status")).to_contain_text("connection")
        expect(page.locator("[data-filter]")).to_be_focused()


@pytest.mark.usefixtures("followers")
def test_a_connection_is_closed_by_keyboard_once_that_is_confirmed(
    hub: Hub, browser: Browser
) -> None:
    with opened(hub, browser) as context:
        page = context.new_page()
        page.goto(f"{hub.url}/-/#/connections")
        expect(page.get_by_role("heading", level=1)).to_have_text("Connections")
        page.keyboard.press("/")
        page.keyboard.type("topic=Help&topic=Sales")
        expect(page.get_by_role("status")).to_have_text("1 connection")
        page.keyboard.press("Tab")  # the table, which scrolls
        page.keyboard.press("Tab")
        expect(page.get_by_role("button", name="Disconnect bob")).to_be_focused()
        page.keyboard.press("Enter")
        asked = page.get_by_role("dialog", name="Disconnect?")
        expect(asked.get_by_role("button", name="Cancel")).to_be_focused()
        page.keyboard.press("Enter")
        expect(asked).to_have_count(0)
        expect(page.get_by_role("button", name="Disconnect bob")).to_be_focused()
        page.keyboard.press("Enter")
        expect(asked.get_by_role("button", name="Cancel")).to_be_focused()
        page.keyboard.press("Tab")
        expect(asked.get_by_role("button", name="Disconnect")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.get_by_text("No connection matches")).to_be_visible(timeout=15_000)
        page.keyboard.press("/")
        page.keyboard.press("Control+a")
        page.keyboard.type("bob")
        expect(page.get_by_role("status")).to_have_text(f"{len(FOLLOWED) - 1} connections")


def test_whoever_lacks_a_right_sees_neither_the_view_nor_its_data(
    hub: Hub, browser: Browser
) -> None:
    """The token of an operator gives the right, until the tab is closed."""
    with opened(hub, browser, "bob", extra_http_headers=ELSEWHERE) as context:
        page, answers = context.new_page(), dict[str, int]()
        page.on("response", lambda answer: answers.update({answer.url: answer.status}))
        page.goto(f"{hub.url}/-/#/connections")
        expect(page.locator("main")).to_contain_text("You may not see Connections")
        links = page.get_by_role("navigation").get_by_role("link")
        assert not {"Overview", "Connections"} & set(links.all_inner_texts())
        assert f"{hub.url}/-/connections" not in answers
        assert "127.0.0.1" not in page.locator("main").inner_text()
        for path in ("/-/connections", "/-/vitals", "/metrics"):
            assert context.request.get(hub.url + path).status == 403
        page.get_by_role("button", name="Log in as operator").press("Enter")
        page.keyboard.type("a wrong token")
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog")).to_contain_text("does not take this token")
        page.get_by_label("Token").fill(TOKEN)
        page.keyboard.press("Enter")
        expect(page.get_by_role("navigation")).to_contain_text("Connections")
        expect(page.get_by_role("heading", level=1)).to_have_text("Connections")


def test_only_those_whom_the_file_names_may_open_it(hub: Hub, browser: Browser) -> None:
    with opened(hub, browser, "eve") as context:
        for path in ("/-/", "/-/console/me", "/-/console/main.js"):
            assert context.request.get(hub.url + path).status == 403
    context = browser.new_context()
    try:
        page = context.new_page()
        page.goto(f"{hub.url}/-/")
        page.get_by_label("User name").fill("ann")
        page.get_by_label("Password").fill("secret")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
        expect(page.get_by_role("navigation")).to_contain_text("ann")
    finally:
        context.close()


def test_a_dead_letter_is_sent_again_by_keyboard_and_gone(tmp_path: Path, browser: Browser) -> None:
    """First it is refused again, with another reason."""
    with refusing(tmp_path, "554 no", "554 still no") as hub, opened(hub, browser) as context:
        page = context.new_page()
        page.goto(f"{hub.url}/-/#/alerts")
        letters = page.get_by_role("region", name="Dead letters", exact=True)
        expect(letters).to_contain_text("554 no")
        tab_to(page, "[aria-label='Retry orders:1']")
        page.keyboard.press("Enter")
        expect(letters).to_contain_text("554 still no")
        page.get_by_role("button", name="Retry all").press("Enter")
        page.get_by_role("dialog").get_by_role("button", name="Send").press("Enter")
        expect(page.locator("main")).to_contain_text("1 mail sent")
        expect(page.locator("main")).to_contain_text("No dead letters")
