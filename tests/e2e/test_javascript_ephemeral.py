"""What is not stored, between pages in Chromium: messages sent on, and who is connected."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.e2e.hub import Hub, running_hub
from tests.e2e.javascript import INDEX, ask
from tests.tokens import SECRET, token_of

CONFIG = f"""
auth: {{jwt: {{secret: {SECRET}}}}}
url:
  board:
    pattern: /board
    handler: MessageHandler
    kwargs: {{columns: {{room: TEXT, x: INTEGER}}, send: true, presence: true}}
  closed:
    pattern: /closed
    handler: MessageHandler
    kwargs: {{columns: {{room: TEXT}}, send: true, presence: true, auth: true}}
  silent:
    pattern: /silent
    handler: MessageHandler
    kwargs: {{columns: {{room: TEXT}}}}
  page: {{pattern: /(.*), handler: FileHandler, kwargs: {{path: $YAMLPATH/page}}}}
"""
SETUP = """
  const { presence, sent } = await import("/-/client/ephemeral.js")
  Object.assign(window, { presence, sent, got: [], counts: [] })
  window.sockets = []
  const Native = window.WebSocket
  window.WebSocket = class extends Native {
    constructor(...given) { super(...given); sockets.push(this) }
  }
  window.cut = () => sockets.forEach((socket) => socket.close())
  if (args[0]) window.hub = new EventHub(location.origin, { token: args[0] })
"""
FOLLOW = """
  window.messages = sent(hub, "board", { where: { room: "a" } })
  messages.subscribe(({ timestamp, ...message }) => got.push(message))
  window.here = presence(hub, "board")
  here.subscribe(({ connections }) => counts.push([connections, here.state]))
  await Promise.all([messages.ready, here.ready])
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with running_hub(tmp_path_factory.mktemp("hub"), CONFIG, {"page/index.html": INDEX}) as hub:
        yield hub


@pytest.fixture
def open_page(browser: Browser, hub: Hub) -> Iterator[Any]:
    context = browser.new_context()

    def opened(user: str | None = None) -> Page:
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.goto(hub.url)
        page.wait_for_function("window.hub !== undefined")
        ask(page, SETUP, user and token_of(user))
        return page

    yield opened
    context.close()


def test_messages_reach_the_pages_that_listen_now_and_who_is_there_is_known_again_after_a_cut(
    open_page: Any,
) -> None:
    ann, bo = open_page("ann"), open_page()
    ask(ann, FOLLOW)
    ask(bo, FOLLOW)
    ask(ann, "await until(() => here.value.connections === 2)")
    assert ask(ann, "return here.value") == {
        "users": [{"user": "ann", "connections": 1}],
        "anonymous": 1,
        "connections": 2,
    }
    sent = ask(
        bo,
        """
        const send = (message) => hub.send("board", message)
        return [await send({ room: "a", x: 1, id: "row" }), await send({ room: "b", x: 2 }),
          await send({ room: "a", x: 3, typing: true })]
        """,
    )
    assert sent == [{"sent": True}, {"sent": True}, {"sent": True, "ignored": ["typing"]}]
    first = {"room": "a", "x": 1, "id": "row", "user": None}
    second = {"room": "a", "x": 3, "typing": True, "user": None}
    assert ask(ann, "await until(() => got.length === 2); return got") == [first, second]
    # What is sent while a page is cut off is lost to it.
    ask(ann, "cut(); await until(() => messages.state === 'offline')")
    ask(bo, "await hub.send('board', { room: 'a', x: 4 }); await hub.post('board', { room: 'a' })")
    ask(ann, "await until(() => messages.state === 'live' && here.state === 'live')")
    assert ask(bo, "return (await hub.send('board', { room: 'a', x: 5 })).sent")
    got = ask(ann, "await until(() => got.length > 2); return got.slice(2).map(({ x }) => x)")
    assert got == [5]
    assert ask(ann, "return counts.some(([, state]) => state === 'offline')")
    bo.close()
    ask(ann, "await until(() => here.value.connections === 1)")
    assert ask(ann, "return (await (await fetch('board')).json()).map(({ x }) => x)") == [None]


def test_a_page_is_one_connection_whatever_it_follows(open_page: Any) -> None:
    page, other = open_page("ann"), open_page("ann")
    ask(page, FOLLOW)
    ask(page, "window.rows = hub.rows('board', { limit: 3 }); await rows.ready")
    ask(other, FOLLOW)
    ask(page, "await until(() => here.value.users[0]?.connections === 2)")
    ask(page, "[messages, rows].forEach((each) => each.close())")
    ask(other, "messages.close(); here.close()")
    ask(page, "await until(() => here.value.connections === 1)")
    assert ask(page, "return counts.map(([connections]) => connections).at(-1)") == 1
    assert ask(page, "return Math.max(...counts.map(([connections]) => connections))") == 2


def test_what_the_hub_refuses_ends_with_its_error(open_page: Any) -> None:
    page = open_page()
    assert ask(
        page,
        """
        const refused = async (live) => {
          const error = await live.ready.catch((error) => error)
          return [error.code, live.state, live.error?.code ?? null]
        }
        const own = presence(hub, "board")
        own.close()
        return [await refused(sent(hub, "closed")), await refused(presence(hub, "silent")),
          await refused(own), (await refusal(hub.send("silent", { room: "a" }))).code]
        """,
    ) == [
        ["unauthorized", "ended", "unauthorized"],
        ["bad_filter", "ended", "bad_filter"],
        ["closed", "ended", None],
        "bad_method",
    ]


def test_a_message_is_never_sent_late_or_twice(open_page: Any, hub: Hub) -> None:
    page, other = open_page(), open_page()
    ask(other, FOLLOW)
    ask(page, FOLLOW)
    unsent = ask(
        page,
        """
        const outcome = (x) =>
          hub.send("board", { room: "a", x }).then(() => "sent", ({ code }) => code)
        const { send } = WebSocket.prototype
        const lost = new Promise((done) => {
          WebSocket.prototype.send = function (text) {          // it is lost on its way
            if (text.includes("SEND")) done()
            else send.call(this, text)
          }
        })
        const first = outcome(1)
        await lost
        WebSocket.prototype.send = send
        cut()
        return [await first, await outcome(2)]
        """,
    )
    assert unsent == ["unavailable", "sent"]
    assert ask(other, "await until(() => got.length); return got.map(({ x }) => x)") == [2]
