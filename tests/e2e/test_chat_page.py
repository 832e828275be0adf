"""Users of the chat see messages at once, lose none when the hub stops, and repeat none."""

import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from playwright.sync_api import (
    Browser,
    Locator,
    Page,
    WebSocket,
    WebSocketRoute,
    expect,
)

from tests.e2e.hub import Hub, HubFactory

CHAT = Path(__file__).parents[2] / "docs" / "examples" / "chat" / "eventhub.yaml"
RECONNECT_MS = 25_000
"""A window that found the hub gone several times waits a while before it looks again."""

Window = Callable[[str], Page]


@pytest.fixture
def hub(hub_factory: HubFactory) -> Hub:
    return hub_factory(CHAT)


@pytest.fixture
def window(browser: Browser, hub: Hub) -> Iterator[Window]:
    """Open the chat as another person on another computer; no script may fail there."""
    failures: list[str] = []
    contexts = []

    def open_as(name: str) -> Page:
        contexts.append(browser.new_context())
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: failures.append(str(error)))
        page.goto(f"{hub.url}/")
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


def test_rooms_are_separate_and_remembered(window: Window) -> None:
    ann, bo = window("Ann"), window("Bo")
    say(ann, "in the lobby")
    expect(bodies(bo)).to_have_text(["in the lobby"])
    bo.get_by_role("link", name="#help").click()
    expect(status(bo)).to_have_text("Connected")
    say(bo, "in help")
    expect(bodies(bo)).to_have_text(["in help"])
    bo.get_by_role("link", name="#lobby").click()
    say(ann, "still in the lobby")
    expect(bodies(bo)).to_have_text(["in the lobby", "still in the lobby"])
    expect(bodies(ann)).to_have_text(["in the lobby", "still in the lobby"])


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
    hub.start()
    for page in (ann, bo):
        expect(status(page)).to_have_text("Connected", timeout=RECONNECT_MS)
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
    expect(bo.locator(".sending")).to_have_count(0)
    frames = received(ann)
    ann.context.set_offline(False)
    expect(bodies(ann)).to_have_text(["before", "missed"])
    expect(status(ann)).to_have_text("Connected")
    assert [frame.get("body") or next(iter(frame)) for frame in frames] == [
        "_resume",
        "missed",
        "_ready",
    ]


def test_what_is_typed_while_the_hub_is_down_is_sent_once(window: Window, hub: Hub) -> None:
    ann, bo = window("Ann"), window("Bo")
    hub.kill()
    expect(status(ann)).to_have_text("Reconnecting")
    say(ann, "typed in the dark")
    expect(message(ann, "typed in the dark")).to_have_class(re.compile("sending"))
    hub.start()
    for page in (ann, bo):
        expect(bodies(page)).to_have_text(["typed in the dark"], timeout=RECONNECT_MS)
    expect(message(ann, "typed in the dark")).not_to_have_class(re.compile("sending"))
    assert stored(hub) == ["typed in the dark"]


def test_a_lost_acknowledgement_does_not_send_twice(window: Window, hub: Hub) -> None:
    """The hub stores the message, and its answer is lost with the connection."""
    ann = window("Ann")
    lost: list[str] = []
    ann.route_web_socket(re.compile("/messages"), lambda route: lose_one_answer(route, lost))
    ann.reload()
    expect(status(ann)).to_have_text("Connected")
    say(ann, "once")
    expect(ann.locator(".message:not(.sending) .body")).to_have_text(["once"])
    assert lost
    say(ann, "twice")
    expect(ann.locator(".message:not(.sending) .body")).to_have_text(["once", "twice"])
    assert stored(hub) == ["once", "twice"]


def test_a_refusal_is_shown_next_to_the_message_and_can_be_corrected(
    window: Window, hub: Hub
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
    assert stored(hub) == ["shorter"]


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
    expect(page.locator("#countdown")).to_be_empty()
    page.close()


SCRIPTS = [
    '<img src=x onerror="window.hacked = 1">',
    "<script>window.hacked = 1</script>",
    "javascript:window.hacked=1",
    'https://example.org/"onmouseover="window.hacked=1',
]


def test_text_that_looks_like_a_script_stays_text(window: Window, hub: Hub) -> None:
    ann = window("<b>Ann</b>")
    for text in SCRIPTS:
        say(ann, text)
    expect(bodies(ann)).to_have_text(SCRIPTS)
    expect(ann.locator(".sending")).to_have_count(
        0
    )  # otherwise another connection may overtake them
    publish(hub, [{"room": "lobby", "name": "<i>x", "body": "<u>"}])
    expect(bodies(ann)).to_have_text([*SCRIPTS, "<u>"])
    expect(ann.locator("#messages :is(img, script, i, u, s, [onmouseover])")).to_have_count(0)
    links = ann.locator("#messages a").evaluate_all("all => all.map(link => link.href)")
    assert links == ["https://example.org/"]
    assert ann.evaluate("window.hacked") is None


@pytest.mark.timeout(180)  # ten thousand durable writes, on a machine that is shared
def test_a_long_history_opens_at_its_end_and_loads_backwards(window: Window, hub: Hub) -> None:
    rows = [{"room": "lobby", "name": f"n{i % 7}", "body": f"message {i}"} for i in range(10_000)]
    batches = [rows[start : start + 100] for start in range(0, 9700, 100)]
    with ThreadPoolExecutor(16) as writers:  # many at a time, as order matters in the last only
        list(writers.map(lambda batch: publish(hub, batch), batches))
    publish(hub, rows[9700:])
    ann = window("Ann")
    expect(message(ann, "message 9999")).to_be_in_viewport()
    expect(bodies(ann)).to_have_count(300)
    first = message(ann, "message 9700")
    first.scroll_into_view_if_needed()
    ann.get_by_role("button", name="Show earlier messages (9,700)").click()
    expect(bodies(ann)).to_have_count(600)
    expect(first).to_be_in_viewport()
    publish(hub, [{"room": "lobby", "name": "n", "body": "news"}])
    expect(ann.get_by_role("button", name="1 new message")).to_be_visible()
    expect(first).to_be_in_viewport()
    ann.get_by_role("button", name="1 new message").click()
    expect(message(ann, "news")).to_be_in_viewport()


# --- What the tests above speak in -------------------------------------------------------------


def status(page: Page) -> Locator:
    return page.locator("#status")


def say(page: Page, text: str) -> None:
    page.get_by_label("Message", exact=True).fill(text)
    page.get_by_label("Message", exact=True).press("Enter")


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
        if lost or "_ready" in str(data):
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


def stored(hub: Hub) -> list[str]:
    """The bodies that the hub itself holds, in order of creation."""
    with urlopen(f"{hub.url}/messages?_format=json", timeout=5) as answer:
        return [row["body"] for row in json.load(answer)]
