"""The modules of docs/browser.md work as printed, in Chromium."""

import json
import re
import shutil
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from playwright.sync_api import Page, expect

from eventhub.errors import CLOSE_MEANINGS
from tests.e2e.command import post
from tests.e2e.hub import Hub, HubFactory
from tests.tokens import SECRET, token_of

PAGE = (Path(__file__).parents[2] / "docs" / "browser.md").read_text("utf-8")
MODULES = dict(re.findall(r"^```js (\w+\.js)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
CONFIG = f"""
auth: {{jwt: {{secret: {SECRET}}}}}
"""
CONFIG += """
url:
  messages: {pattern: /messages, handler: MessageHandler, kwargs: &kwargs
    {table: messages, columns: {topic: TEXT, body: TEXT}, send: true, presence: true}}
  closed: {pattern: /closed, handler: MessageHandler, kwargs:
    {table: messages, columns: {topic: TEXT, body: TEXT}, auth: true}}
  page: {pattern: /(.*), handler: FileHandler, kwargs: {path: $YAMLPATH/page}}
"""
INDEX = """<!doctype html><link rel="icon" href="data:,"><ol></ol><p role="status"></p>
<script type="module">
  window.show = (rows) => document.querySelector("ol").replaceChildren(...rows.map((row) =>
    Object.assign(document.createElement("li"), { textContent: row.body })))
  window.say = (text) => document.querySelector("p").textContent = text
</script>
"""
RECONNECT_MS = 20_000


@pytest.fixture
def hub(hub_factory: HubFactory, tmp_path: Path) -> Hub:
    folder = tmp_path / "hub"
    (folder / "page").mkdir(parents=True)
    (folder / "page" / "index.html").write_text(INDEX)
    for name, text in MODULES.items():
        assert text.startswith(f"// {name}: ")
        (folder / "page" / name).write_text(text)
    (folder / "eventhub.yaml").write_text(CONFIG)
    return hub_factory(folder / "eventhub.yaml")


def run(page: Page, module: str, code: str) -> None:
    """Run code with what a module exports, without waiting for its end."""
    name = module.removesuffix(".js")
    script = f'import {{ {name} }} from "./{module}"\n{code}'
    page.evaluate(
        "text => document.head.append(Object.assign(document.createElement('script'),"
        " {type: 'module', textContent: text}))",
        script,
    )


def shows(page: Page, *texts: str) -> None:
    expect(page.get_by_role("listitem")).to_have_text(list(texts), timeout=RECONNECT_MS)


def send(hub: Hub, topic: str, body: str, **more: str) -> None:
    post(f"{hub.url}/messages", topic=topic, body=body, **more)


FOLLOWERS = {
    "follow.js": 'follow("messages?topic=Help", {onRows: show})',
    "stream.js": 'stream("messages?topic=Help", {onRows: show, onClosed() {}})',
    "poll.js": 'poll("messages?topic=Help", {onRows: show})',
}


@pytest.mark.parametrize("module", ["follow.js", "stream.js"])
def test_a_page_follows_resumes_and_starts_again_with_another_log(
    module: str, page: Page, hub: Hub
) -> None:
    send(hub, "Help", "past")
    run(page, module, FOLLOWERS[module])
    shows(page, "past")
    send(hub, "Help", "live")
    send(hub, "Lunch", "not here")
    shows(page, "past", "live")
    hub.stop()
    hub.start()
    send(hub, "Help", "missed")
    shows(page, "past", "live", "missed")
    hub.stop()
    shutil.rmtree(hub.folder / "data")
    hub.start()
    send(hub, "Help", "new")
    shows(page, "new")


def test_a_page_polls(page: Page, hub: Hub) -> None:
    send(hub, "Help", "past", id="a")
    run(page, "poll.js", FOLLOWERS["poll.js"])
    shows(page, "past")
    send(hub, "Help", "live")
    shows(page, "past", "live")
    with page.expect_response(lambda response: "_since" in response.url):
        send(hub, "Help", "later")
    shows(page, "past", "live", "later")


def test_a_refused_page_says_why_and_does_not_return(page: Page) -> None:
    opened: list[str] = []
    page.on("websocket", lambda socket: opened.append(socket.url))
    run(page, "follow.js", 'follow("closed", {onRefused: ({code}) => say(code)})')
    expect(page.get_by_role("status")).to_have_text("unauthorized")
    run(page, "stream.js", 'stream("closed", {onClosed: () => say("closed")})')
    expect(page.get_by_role("status")).to_have_text("closed")
    assert len(opened) == 1


def test_a_page_logs_in_with_a_token_and_renews_it(page: Page, hub: Hub) -> None:
    send(hub, "Help", "past")
    tokens = [token_of(seconds=20), token_of(seconds=600)]  # the first one is about to end
    login = f"const tokens = {tokens}; const login = async () => tokens.shift()"
    code = 'follow("closed", {onRows: show, onRefused: ({code}) => say(code), login})'
    page.on("websocket", lambda socket: socket.on("framereceived", note_expiry))
    expiries: list[str] = []

    def note_expiry(frame: str | bytes) -> None:
        expiries.extend(re.findall(r'"_auth":"(\w+)"', str(frame)))

    run(page, "follow.js", f"{login}; const write = {code}; window.write = write")
    shows(page, "past")
    page.evaluate('write({topic: "Help", body: "mine"})')
    shows(page, "past", "mine")
    assert "renewed" in expiries
    assert expiries[:3] == ["required", "accepted", "expiring"]


def test_a_page_shows_who_is_here_and_who_is_typing(page: Page, hub: Hub) -> None:
    code = """const rows = (names) => names.map((body) => ({ body }))
        window.type = together("messages?topic=Help",
          { onHere: (names) => show(rows(names)),
            onTyping: (names) => say(names.map(String).join()) })"""
    run(page, "together.js", code)
    as_ann = {"Authorization": f"Bearer {token_of()}"}
    url = f"{hub.url}/messages?_since=now"
    with urlopen(Request(url, headers={**as_ann, "Accept": "text/event-stream"})):
        shows(page, "ann")
        typing = {"_method": "SEND", "topic": "Help", "typing": True}
        headers = {**as_ann, "Content-Type": "application/json"}
        with urlopen(Request(f"{hub.url}/messages", json.dumps(typing).encode(), headers)) as said:
            assert said.status == 202
        expect(page.get_by_role("status")).to_have_text("ann")
    shows(page)
    expect(page.get_by_role("status")).to_have_text("", timeout=RECONNECT_MS)
    page.evaluate("type({topic: 'Help'})")
    expect(page.get_by_role("status")).to_have_text("null")  # it is its own, and has no login


def test_the_codes_after_which_a_page_does_not_return_are_those_of_the_hub() -> None:
    final = [int(close) for close in CLOSE_MEANINGS if not close.reconnect]
    for text in (MODULES["follow.js"], PAGE):
        assert str(final) in text


def test_a_message_that_is_written_while_the_hub_is_down_is_stored_once(
    page: Page, hub: Hub
) -> None:
    run(page, "write.js", 'write("messages", {id: "one"}).then(({id}) => say(id))')
    expect(page.get_by_role("status")).to_have_text("one")
    run(page, "write.js", 'write("messages", {id: "one"}).then((a) => say(a._error.code))')
    expect(page.get_by_role("status")).to_have_text("exists")
    hub.stop()
    with page.expect_event("requestfailed"):
        run(page, "write.js", 'write("messages", {id: "two"}).then(({id}) => say(id))')
    hub.start()
    expect(page.get_by_role("status")).to_have_text("two", timeout=RECONNECT_MS)
    with urlopen(f"{hub.url}/messages?_format=csv&_c=id") as answer:
        assert answer.read().split() == [b"id", b"one", b"two"]


def test_six_streams_keep_a_request_waiting_but_no_socket(page: Page) -> None:
    opened = page.evaluate(
        """async () => {
            const streams = Array.from({length: 6}, () => new EventSource("messages"))
            await Promise.all(streams.map((each) => new Promise((done) => each.onmessage = done)))
            const request = fetch("messages").then(() => "answered")
            const url = new URL("messages", location.href.replace(/^http/, "ws"))
            await new Promise((done) => new WebSocket(url, "eventhub.v1.json").onmessage = done)
            const before = await Promise.race([request, Promise.resolve("waiting")])
            streams[0].close()
            return [before, await request]
        }"""
    )
    assert opened == ["waiting", "answered"]
