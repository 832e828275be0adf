"""Users of the chat see messages at once, lose none when the hub stops, and repeat none.

All tests share a hub; each has a room of its own.
"""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import copytree, ignore_patterns
from typing import Any
from urllib.request import Request, urlopen
from uuid import uuid4

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Locator,
    Page,
    WebSocket,
    WebSocketRoute,
    expect,
)
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from tests.e2e.hub import Hub, HubFactory
from tests.e2e.test_accessibility import SCHEMES
from tests.waiting import until

CHAT = Path(__file__).parents[2] / "docs" / "examples" / "chat" / "eventhub.yaml"

WIDTHS = (1440, 390)
LEAST_PX = 24
"""The least width and height of a button, after WCAG 2.2."""
Window = Callable[..., Page]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    folder = tmp_path_factory.mktemp("hub")
    copytree(CHAT.parent, folder / "chat", ignore=ignore_patterns("data", "__pycache__"))
    hub = Hub(folder / "chat" / CHAT.name, folder, [])
    hub.start()
    yield hub
    hub.kill()


@pytest.fixture
def room() -> str:
    return uuid4().hex


@pytest.fixture
def window(browser: Browser, hub: Hub, room: str) -> Iterator[Window]:
    """Open the chat as another person on another computer; no script may fail there.

    With `beside`, it is another window on the computer of that page.
    """
    failures: list[str] = []
    contexts: list[BrowserContext] = []

    def open_as(name: str, beside: BrowserContext | None = None) -> Page:
        if beside is None:
            contexts.append(browser.new_context(viewport={"width": 1280, "height": 720}))
        page = (beside or contexts[-1]).new_page()
        page.on("pageerror", lambda error: failures.append(str(error)))
        page.goto(f"{hub.url}/#{room}")
        page.get_by_label("Writing as").fill(name)
        expect(status(page)).to_have_text("Connected")
        return page

    yield open_as
    for context in contexts:
        context.close()
    assert failures == []


def test_two_windows_see_each_others_messages_at_once(window: Window) -> None:
    ann, bo = window("Ann"), window("Bo")
    say(ann, "Is anybody there?")
    expect(bodies(bo)).to_have_text(["Is anybody there?"])
    say(bo, "I am.")
    expect(bodies(ann)).to_have_text(["Is anybody there?", "I am."])
    expect(message(ann, "I am.")).to_have_class(re.compile("theirs"))
    expect(message(bo, "I am.")).to_have_class(re.compile("mine"))


def test_rooms_are_separate_and_remembered(window: Window, room: str) -> None:
    ann, bo = window("Ann"), window("Bo")
    say(ann, "in the first")
    expect(bodies(bo)).to_have_text(["in the first"])
    bo.get_by_label("Another room").fill(f"2 {room[:30]}")
    bo.get_by_label("Another room").press("Enter")
    expect(bo.get_by_role("heading", name=f"#2 {room[:30]}", exact=True)).to_be_visible()
    expect(bodies(bo)).to_have_count(0)
    say(bo, "in the second")
    expect(bodies(bo)).to_have_text(["in the second"])
    bo.get_by_role("link", name=f"#{room}", exact=True).click()
    say(ann, "still in the first")
    expect(bodies(bo)).to_have_text(["in the first", "still in the first"])
    expect(bodies(ann)).to_have_text(["in the first", "still in the first"])
    bo.reload()
    expect(bo.get_by_role("link", name=f"#2 {room[:30]}")).to_be_visible()


def test_an_edit_is_seen_and_marked_everywhere(window: Window) -> None:
    ann, bo = window("Ann"), window("Bo")
    say(ann, "Helo")
    message(ann, "Helo").hover()
    ann.get_by_role("button", name="Edit").click()
    ann.get_by_label("New text").fill("Hello")
    ann.get_by_label("New text").press("Enter")
    for page in (ann, bo):
        expect(bodies(page)).to_have_text(["Hello"])
        expect(page.get_by_text("edited", exact=True)).to_be_visible()
    expect(bo.get_by_role("button", name="Edit")).to_be_hidden()


def test_a_deletion_is_confirmed_and_then_seen_everywhere(window: Window) -> None:
    ann, bo = window("Ann"), window("Bo")
    say(ann, "stays")
    say(ann, "goes")
    expect(bodies(bo)).to_have_text(["stays", "goes"])
    message(ann, "goes").hover()
    message(ann, "goes").get_by_role("button", name="Delete").click()
    expect(bodies(bo)).to_have_text(["stays", "goes"])
    message(ann, "goes").get_by_role("button", name="Delete").click()
    for page in (ann, bo):
        expect(bodies(page)).to_have_text(["stays"])


def test_a_window_that_opens_later_sees_the_past(window: Window) -> None:
    ann = window("Ann")
    say(ann, "first")
    say(ann, "second")
    expect(ann.locator(".sending")).to_have_count(0)
    expect(bodies(window("Cy"))).to_have_text(["first", "second"])


@pytest.mark.parametrize("way", ["stop", "kill"])
def test_a_restart_loses_nothing_and_windows_reconnect(window: Window, hub: Hub, way: str) -> None:
    ann, bo = window("Ann"), window("Bo")
    say(ann, "before")
    expect(bodies(bo)).to_have_text(["before"])
    getattr(hub, way)()
    expect(status(ann)).to_have_text("Reconnecting")
    expect(ann.locator("#present")).to_be_empty()
    hub.start()
    for page in (ann, bo):
        expect(status(page)).to_have_text("Connected")
    say(bo, "after")
    for page in (ann, bo, window("Cy")):
        expect(bodies(page)).to_have_text(["before", "after"])


def test_a_window_that_reconnects_gets_exactly_what_it_missed(window: Window) -> None:
    ann, bo = window("Ann"), window("Bo")
    say(ann, "before")
    expect(bodies(bo)).to_have_text(["before"])
    ann.context.set_offline(True)
    expect(status(ann)).to_have_text("Offline")
    say(bo, "missed")
    expect(bodies(bo)).to_have_text(["before", "missed"])
    expect(bo.locator(".sending")).to_have_count(0)
    frames = received(ann)
    ann.context.set_offline(False)
    expect(bodies(ann)).to_have_text(["before", "missed"])
    expect(status(ann)).to_have_text("Connected")
    number = next(frame["_sub"] for frame in frames if "_changes" in frame)
    of_rows = [frame for frame in frames if frame.get("_sub") == number]
    assert [list(frame)[1] for frame in of_rows] == ["_resume", "_changes", "_ready"]
    assert [change["body"] for change in of_rows[1]["_changes"]] == ["missed"]


def test_what_is_typed_while_the_hub_is_down_is_sent_once(
    window: Window, hub: Hub, room: str
) -> None:
    ann, bo = window("Ann"), window("Bo")
    hub.kill()
    expect(status(ann)).to_have_text("Reconnecting")
    say(ann, "typed in the dark")
    expect(message(ann, "typed in the dark")).to_have_class(re.compile("sending"))
    hub.start()
    for page in (ann, bo):
        expect(bodies(page)).to_have_text(["typed in the dark"])
    expect(message(ann, "typed in the dark")).not_to_have_class(re.compile("sending"))
    assert stored(hub, room) == ["typed in the dark"]


def test_a_lost_acknowledgement_does_not_send_twice(window: Window, hub: Hub, room: str) -> None:
    """The hub stores the message, and its answer is lost with the connection."""
    ann = window("Ann")
    lost: list[str] = []
    ann.route_web_socket(re.compile("/-/socket"), lambda route: lose_one_answer(route, lost))
    ann.reload()
    expect(status(ann)).to_have_text("Connected")
    say(ann, "once")
    expect(ann.locator(".message:not(.sending) .body")).to_have_text(["once"])
    assert lost
    say(ann, "twice")
    expect(ann.locator(".message:not(.sending) .body")).to_have_text(["once", "twice"])
    assert stored(hub, room) == ["once", "twice"]


def test_a_refusal_is_shown_next_to_the_message_and_can_be_corrected(
    window: Window, hub: Hub, room: str
) -> None:
    ann = window("Ann")
    say(ann, "x" * 2001)
    refused = message(ann, "xxx")
    expect(refused.get_by_role("alert")).to_contain_text("2000 are allowed")
    refused.get_by_role("button", name="Change it").click()
    expect(ann.get_by_label("Message", exact=True)).to_have_value("x" * 2001)
    say(ann, "shorter")
    expect(bodies(ann)).to_have_text(["shorter"])
    expect(ann.locator(".sending")).to_have_count(0)
    assert stored(hub, room) == ["shorter"]


def test_a_window_without_access_says_why_and_does_not_reconnect(
    browser: Browser, hub_factory: HubFactory
) -> None:
    hub = hub_factory(f"""
url:
  messages: {{pattern: /messages, handler: MessageHandler, kwargs: {{auth: true}}}}
  page: {{pattern: /(.*), handler: FileHandler, kwargs: {{path: "{CHAT.parent / "page"}"}}}}
""")
    page = browser.new_page()
    page.goto(f"{hub.url}/")
    expect(status(page)).to_contain_text("Refused: ")
    with pytest.raises(PlaywrightTimeout):
        page.wait_for_event("websocket", timeout=1500)
    page.close()


SCRIPTS = [
    '<img src=x onerror="window.hacked = 1">',
    "<script>window.hacked = 1</script>",
    "javascript:window.hacked=1",
    'https://example.org/"onmouseover="window.hacked=1',
]


def test_text_that_looks_like_a_script_stays_text(window: Window, hub: Hub, room: str) -> None:
    ann = window("<b>Ann</b>")
    for text in SCRIPTS:
        say(ann, text)
    expect(bodies(ann)).to_have_text(SCRIPTS)
    expect(ann.locator(".sending")).to_have_count(
        0
    )  # otherwise another connection may overtake them
    publish(hub, [{"room": room, "name": "<i>x", "body": "<u>"}])
    expect(bodies(ann)).to_have_text([*SCRIPTS, "<u>"])
    expect(ann.locator("#messages :is(img, script, i, u, s, [onmouseover])")).to_have_count(0)
    links = ann.locator("#messages a").evaluate_all("all => all.map(link => link.href)")
    assert links == ["https://example.org/"]
    assert ann.evaluate("window.hacked") is None


def test_an_address_is_linked_as_far_as_it_goes(window: Window) -> None:
    ann = window("Ann")
    texts = [
        "(see https://example.org/wiki/Foo_(bar)).",
        "https://example.org/wiki/Foo_(bar), https://example.org/a[0]!",
        "https://example.org/?q=a)b.",
    ]
    for text in texts:
        say(ann, text)
    expect(bodies(ann)).to_have_text(texts)
    links = ann.locator("#messages a").evaluate_all("all => all.map((link) => link.textContent)")
    assert links == [
        "https://example.org/wiki/Foo_(bar)",
        "https://example.org/wiki/Foo_(bar)",
        "https://example.org/a[0]",
        "https://example.org/?q=a)b",
    ]


@pytest.mark.timeout(120)  # five thousand durable writes, on a machine that is shared
def test_a_long_history_opens_at_its_end_and_goes_back_while_one_scrolls(
    window: Window, hub: Hub, room: str
) -> None:
    room = room
    rows = [{"room": room, "name": f"n{i % 7}", "body": f"message {i}."} for i in range(5000)]
    for start in range(0, 5000, 1000):
        publish(hub, rows[start : start + 1000])
    ann = window("Ann")
    frames = received(ann)
    ann.reload()
    expect(message(ann, "message 4999.")).to_be_in_viewport()
    expect(bodies(ann)).to_have_count(300)
    sent = sum(len(frame.get("_rows", ())) for frame in frames)
    assert 300 < sent < 600, "the others were not sent"
    first = message(ann, "message 4700.")
    first.scroll_into_view_if_needed()
    expect(bodies(ann)).to_have_count(600)
    expect(first).to_be_in_viewport()
    publish(hub, [{"room": room, "name": "n", "body": "news"}])
    expect(ann.get_by_role("button", name="1 new message")).to_be_visible()
    expect(first).to_be_in_viewport()
    ann.get_by_role("button", name="1 new message").click()
    expect(message(ann, "news")).to_be_in_viewport()
    ann.get_by_label("Search this room").fill("MESSAGE 1234.")
    expect(ann.get_by_text("1 message with")).to_be_visible()
    ann.get_by_role("button", name="message 1234.").click()
    expect(message(ann, "message 1234.")).to_be_focused()
    expect(message(ann, "message 1234.")).to_be_in_viewport()


def test_drafts_and_unsent_messages_are_there_after_the_tab_was_closed(
    window: Window, hub: Hub, room: str
) -> None:
    ann, bo = window("Ann"), window("Bo")
    hub.kill()
    expect(status(ann)).to_have_text("Reconnecting")
    say(ann, "sent in the dark")
    expect(message(ann, "sent in the dark")).to_have_class(re.compile("sending"))
    ann.get_by_label("Message", exact=True).fill("only begun")
    context = ann.context
    ann.close()
    hub.start()
    ann = window("Ann", beside=context)
    expect(ann.get_by_label("Message", exact=True)).to_have_value("only begun")
    for page in (ann, bo):
        expect(bodies(page)).to_have_text(["sent in the dark"])
    expect(ann.locator(".sending")).to_have_count(0)
    assert stored(hub, room) == ["sent in the dark"]


def test_an_edit_of_what_another_window_has_changed_is_a_conflict_to_decide(
    window: Window, hub: Hub, room: str
) -> None:
    ann = window("Ann")
    beside = window("Ann", beside=ann.context)
    say(ann, "Helo")
    expect(bodies(beside)).to_have_text(["Helo"])
    expect(ann.locator(".sending")).to_have_count(0)
    message(ann, "Helo").focus()
    ann.keyboard.press("Enter")
    ann.get_by_label("New text").fill("Hello, all")
    edit(beside, "Helo", "Hello")
    expect(ann.locator("#messages .edited")).to_be_visible()
    ann.get_by_label("New text").press("Enter")
    conflict = message(ann, "Hello").get_by_role("alert")
    expect(conflict).to_contain_text("Not saved: somebody has changed the message")
    expect(conflict).to_contain_text("Hello, all")
    assert stored(hub, room) == ["Hello"]
    conflict.get_by_role("button", name="Save mine").click()
    for page in (ann, beside):
        expect(bodies(page)).to_have_text(["Hello, all"])
    expect(conflict).to_be_hidden()
    assert stored(hub, room) == ["Hello, all"]


def test_a_text_for_a_message_that_is_gone_is_not_lost(window: Window) -> None:
    ann, elsewhere = window("Ann"), window("Ann")
    make_the_same(elsewhere, ann)
    field = elsewhere.get_by_label("Message", exact=True)
    gone = elsewhere.get_by_role("alert").filter(has_text="deleted meanwhile")
    say(ann, "Helo")
    say(ann, "Wrld")
    expect(bodies(elsewhere)).to_have_text(["Helo", "Wrld"])
    message(elsewhere, "Wrld").focus()
    elsewhere.keyboard.press("Enter")
    elsewhere.get_by_label("New text").fill("World")
    remove(ann, "Wrld")
    expect(gone).to_be_visible()
    expect(field).to_have_value("World")
    say(elsewhere, "and")
    expect(gone).to_be_hidden()
    expect(bodies(ann)).to_have_text(["Helo", "and"])
    elsewhere.context.set_offline(True)
    expect(status(elsewhere)).to_have_text("Offline")
    edit(elsewhere, "Helo", "Hello")
    remove(ann, "Helo")
    expect(ann.locator(".message")).to_have_count(1)
    elsewhere.context.set_offline(False)
    expect(gone).to_be_visible()
    expect(field).to_have_value("Hello")
    expect(bodies(elsewhere)).to_have_text(["and"])


def test_a_text_that_is_refused_after_its_message_is_gone_is_not_lost(window: Window) -> None:
    ann, elsewhere = window("Ann"), window("Ann")
    held: list[tuple[WebSocketRoute, str | bytes]] = []

    def hold(route: WebSocketRoute) -> None:
        server = route.connect_to_server()
        server.on_message(
            lambda message: held.append((route, message)) if holding else route.send(message)
        )

    def wait_for(word: str) -> None:
        def has_come() -> bool:
            elsewhere.wait_for_timeout(20)  # in which messages are taken
            return any(word in str(message) for _, message in held)

        until(has_come)

    holding = False
    elsewhere.route_web_socket(re.compile("/-/socket"), hold)
    make_the_same(elsewhere, ann)
    say(ann, "Helo")
    expect(bodies(elsewhere)).to_have_text(["Helo"])
    expect(ann.locator(".sending")).to_have_count(0)
    holding = True
    remove(ann, "Helo")
    expect(ann.locator(".message")).to_have_count(0)
    wait_for("DELETE")
    edit(elsewhere, "Helo", "Hello")
    wait_for("_error")
    late = [each for each in held if "_error" in str(each[1])]
    for route, message in held:
        if (route, message) not in late:
            route.send(message)
    expect(elsewhere.locator(".message")).to_have_count(0)
    for route, message in late:
        route.send(message)
    expect(elsewhere.get_by_role("alert").filter(has_text="deleted meanwhile")).to_be_visible()
    expect(elsewhere.get_by_label("Message", exact=True)).to_have_value("Hello")


def test_the_newest_message_stays_in_view_while_a_long_one_is_written(window: Window) -> None:
    ann, bo = window("Ann"), window("Bo")
    for number in range(20):
        say(ann, f"message {number}.")
    expect(bodies(ann)).to_have_count(20)
    field = ann.get_by_label("Message", exact=True)
    for text in ("1\n2\n3\n4\n5\n6", "1\n2\n3\n4\n5\n6\n7\n8", "1"):
        field.fill(text)
        expect(message(ann, "message 19.")).to_be_in_viewport(ratio=1)
        expect(ann.locator("#pill")).to_be_hidden()
    field.fill("1\n2\n3\n4\n5")
    say(bo, "news")
    expect(message(ann, "news")).to_be_in_viewport(ratio=1)


def test_others_see_who_is_typing_until_it_is_sent_and_how_many_are_connected(
    window: Window, hub: Hub, room: str
) -> None:
    ann, bo = window("Ann"), window("<b>Bo")
    bo.get_by_label("Message", exact=True).press_sequentially("Hi")
    expect(ann.get_by_text("<b>Bo is typing…")).to_be_visible()
    expect(bo.locator("#typing")).to_be_empty()
    bo.get_by_label("Message", exact=True).press("Enter")
    expect(ann.locator("#typing")).to_be_empty()
    expect(bodies(ann)).to_have_text(["Hi"])
    assert stored(hub, room) == ["Hi"]
    expect(ann.locator("#present")).to_have_text("· 2 online")
    window("Cy").close()
    expect(ann.locator("#present")).to_have_text("· 2 online")
    window("Cy")
    for page in (ann, bo):
        expect(page.locator("#present")).to_have_text("· 3 online")


def test_keys_move_between_messages_and_edits_of_others_are_spoken(window: Window) -> None:
    ann, bo = window("Ann"), window("Bo")
    for text in ("one", "two", "three"):
        say(ann, text)
    expect(bodies(bo)).to_have_text(["one", "two", "three"])
    say(bo, "four")
    expect(bodies(ann)).to_have_text(["one", "two", "three", "four"])
    expect(ann.locator("#messages [tabindex='0']:is(.message)")).to_have_count(1)
    message(ann, "four").focus()
    for key, focused in (("ArrowUp", "three"), ("Home", "one"), ("ArrowDown", "two")):
        ann.keyboard.press(key)
        expect(message(ann, focused)).to_be_focused()
    expect(ann.locator("#messages [tabindex='0']:is(.message)")).to_have_count(1)
    ann.keyboard.press("Tab")
    expect(message(ann, "two").get_by_role("button", name="Edit")).to_be_focused()
    ann.keyboard.press("Shift+Tab")
    ann.keyboard.press("Delete")
    ann.keyboard.press("Enter")  # "Keep" has the focus
    expect(ann.get_by_label("Message", exact=True)).to_be_focused()
    edit(ann, "two", "2")
    expect(bo.locator("#announcer")).to_have_text("Ann edited: 2")
    remove(ann, "three")
    expect(bo.locator("#announcer")).to_have_text("Ann deleted: three")
    expect(bodies(bo)).to_have_text(["one", "2", "four"])


def test_nothing_overflows_and_axe_finds_nothing_with_twelve_rooms(window: Window) -> None:
    ann = window("Ann")
    rooms = [f"a room with a long name {number}" for number in range(12)]
    ann.evaluate("rooms => localStorage.setItem('chat.rooms', JSON.stringify(rooms))", rooms)
    ann.reload()
    say(ann, "https://example.org/" + "long" * 40)
    say(ann, "x" * 2001)
    expect(ann.get_by_role("alert").filter(has_text="2000 are allowed")).to_be_visible()
    sizes = [(width, 844) for width in WIDTHS] + [(320, 256)]  # 1280 by 1024 at 400 % zoom
    for width, height in sizes:
        ann.set_viewport_size({"width": width, "height": height})
        wide = ann.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert wide <= 0, f"the page is {wide} px wider than {width}"
        small = ann.evaluate(
            """(least) => [...document.querySelectorAll("button, input, textarea, nav a")]
                .filter((each) => each.offsetParent)
                .filter((each) => Math.min(each.offsetWidth, each.offsetHeight) < least)
                .map((each) => each.outerHTML)""",
            LEAST_PX,
        )
        assert small == []
        for scheme in SCHEMES:
            ann.emulate_media(color_scheme=scheme)
            found = Axe().run(ann)
            assert found.violations_count == 0, f"{width}, {scheme}: {found.generate_report()}"
    field = ann.get_by_label("Message", exact=True)
    field.scroll_into_view_if_needed()
    expect(field).to_be_in_viewport()


# --- What the tests above speak in -------------------------------------------------------------


def status(page: Page) -> Locator:
    return page.locator("#status")


def say(page: Page, text: str) -> None:
    page.get_by_label("Message", exact=True).fill(text)
    page.get_by_label("Message", exact=True).press("Enter")


def edit(page: Page, old: str, new: str) -> None:
    message(page, old).focus()
    page.keyboard.press("Enter")
    page.get_by_label("New text").fill(new)
    page.get_by_label("New text").press("Enter")


def make_the_same(page: Page, other: Page) -> None:
    """Make the person of a page on another computer the one of another page."""
    page.evaluate(
        "id => ['local', 'session'].forEach((each) =>"
        "window[`${each}Storage`].setItem('chat.client', id))",
        other.evaluate("localStorage.getItem('chat.client')"),
    )
    page.reload()


def remove(page: Page, text: str) -> None:
    message(page, text).focus()
    page.keyboard.press("Delete")
    message(page, text).locator("form").get_by_role("button", name="Delete").click()


def message(page: Page, text: str) -> Locator:
    return page.locator(".message").filter(has=page.locator(".body", has_text=text))


def bodies(page: Page) -> Locator:
    return page.locator(".message .body")


def received(page: Page) -> list[dict[str, Any]]:
    """Frames that the page receives on connections that it opens from now on."""
    frames: list[dict[str, Any]] = []

    def watch(socket: WebSocket) -> None:
        socket.on("framereceived", lambda data: frames.append(json.loads(data)))

    page.on("websocket", watch)
    return frames


def lose_one_answer(route: WebSocketRoute, lost: list[str]) -> None:
    """Pass everything on, but cut the connection in place of the first event or receipt."""
    server = route.connect_to_server()

    def answer(data: str | bytes) -> None:
        if lost or not re.search("_changes|_ack", str(data)):
            route.send(data)
        else:
            lost.append(str(data))
            route.close(code=1011)

    server.on_message(answer)


def publish(hub: Hub, rows: list[dict[str, str]]) -> None:
    """Write as a program does, over HTTP."""
    headers = {"Content-Type": "application/json"}
    request = Request(f"{hub.url}/messages", json.dumps(rows).encode(), headers)
    with urlopen(request, timeout=20) as answer:
        assert all("_seq" in receipt for receipt in json.load(answer))


def stored(hub: Hub, room: str) -> list[str]:
    """The bodies that the hub itself holds in a room, in order of creation."""
    with urlopen(f"{hub.url}/messages?room={room}&_format=json", timeout=5) as answer:
        return [row["body"] for row in json.load(answer)]
