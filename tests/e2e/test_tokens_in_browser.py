"""Chromium's own WebSocket and EventSource log in, renew, and come back with another login."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.e2e.hub import Hub, running_hub
from tests.tokens import SECRET, token_of

CONFIG = f"""
auth: {{jwt: {{secret: {SECRET}}}}}
url:
  team:
    pattern: /team
    handler: MessageHandler
    kwargs:
      columns: {{team: TEXT, body: TEXT, role: TEXT}}
      auth: true
      rules: {{read: team=$user.team, create: team=$user.team}}
      message_default: {{POST: {{role: handler.current_user.role}}}}
  page: {{pattern: /(.*), handler: FileHandler, kwargs: {{path: $YAMLPATH/page}}}}
"""
SOCKET = """
window.open_socket = (protocols, first) => {
  const url = new URL("team", location.href.replace(/^http/, "ws"))
  const socket = window.socket = new WebSocket(url, ["eventhub.v1.json", ...protocols])
  window.frames_ = []
  window.ended = new Promise((done) => socket.onclose = ({ code }) => done(code))
  socket.onopen = () => first.forEach((each) => socket.send(JSON.stringify(each)))
  socket.onmessage = ({ data }) => window.frames_.push(JSON.parse(data))
}
window.frame = async (key, value) => {
  for (;;) {
    const found = window.frames_.find((each) => key in each && each[key] === (value ?? each[key]))
    if (found) return found
    await new Promise((done) => window.socket.addEventListener("message", done, { once: true }))
  }
}
window.encoded = (token) => "base64url.bearer.eventhub." + btoa(token)
  .replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    files = {"page/index.html": f"<!doctype html><script>{SOCKET}</script>"}
    with running_hub(tmp_path_factory.mktemp("hub"), CONFIG, files) as hub:
        yield hub


def token(role: str, team: str = "sales") -> str:
    return token_of("ann", role=role, team=team)


def ask(page: Page, script: str, *args: Any) -> Any:
    return page.evaluate(f"async (args) => {{ {script} }}", list(args))


def test_a_page_logs_in_by_subprotocol_and_renews_on_the_open_socket(page: Page) -> None:
    written = ask(
        page,
        """
        open_socket([encoded(args[0])], [{team: "sales", body: "a", _ref: 1}])
        await frame("_ack")
        frames_.length = 0
        socket.send(JSON.stringify({_auth: args[1], _ref: 2}))
        const renewed = await frame("_auth")
        socket.send(JSON.stringify({team: "sales", body: "b", _ref: 3}))
        return [socket.protocol, renewed._auth, renewed.ref, (await frame("body", "b")).role]
        """,
        token("reader"),
        token("editor"),
    )
    assert written == ["eventhub.v1.json", "renewed", 2, "editor"]


def test_a_page_logs_in_with_its_first_frame(page: Page) -> None:
    answers = ask(
        page,
        """
        open_socket([], [{_auth: args[0]}, {team: "sales", body: "c", _ref: 1}])
        return [(await frame("_auth", "accepted"))._auth, (await frame("_ack"))._ack]
        """,
        token("reader"),
    )
    assert answers == ["accepted", 1]


def test_a_page_whose_login_now_sees_another_team_reads_again(page: Page) -> None:
    seen = ask(
        page,
        """
        open_socket([], [{_auth: args[0]}])
        await frame("_ready")
        socket.send(JSON.stringify({_auth: args[1]}))
        const code = await ended
        open_socket([], [{_auth: args[1]}])
        await frame("_ready")
        return [code, frames_.filter((each) => "body" in each).map((each) => each.team)]
        """,
        token("reader"),
        token("reader", team="help"),
    )
    assert seen == [4411, []]


def test_a_page_without_a_token_is_refused(page: Page) -> None:
    code = ask(page, 'open_socket([], [{body: "x"}]); return await ended')
    assert code == 4401
