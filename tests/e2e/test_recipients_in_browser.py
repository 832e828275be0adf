"""The guide's `open`, which shows a user only messages to that user, with two users in browsers."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.e2e.hub import Hub, HubFactory

CONFIG = """
url:
  login:
    pattern: /login
    handler: SimpleAuth
    kwargs: {credentials: {ann: correct horse, bob: battery staple}}
  inbox:
    pattern: /inbox
    handler: MessageHandler
    kwargs:
      columns: {recipient: TEXT, body: TEXT}
      auth: true
      open: args.update(recipient=[handler.current_user.id])
  page:
    pattern: /page
    handler: FileHandler
    kwargs: {path: $YAMLPATH/page.html, auth: true}
"""
PAGE = """<!doctype html><title>Inbox</title><script>
var heard = []
var socket = new WebSocket(location.origin.replace("http", "ws") + "/inbox")
socket.onmessage = ({ data }) => heard.push(data)
const send = message => socket.send(JSON.stringify(message))
// Everything that a socket gets until it is up to date or refused.
const frames = query => new Promise((resolve, reject) => {
  const url = location.origin.replace("http", "ws") + "/inbox" + query
  const other = new WebSocket(url, "eventhub.v1.json"), got = []
  other.onerror = reject
  other.onmessage = ({ data }) => {
    got.push(data)
    if (/"_ready"|"_error"/.test(data)) { other.close(); resolve(got.join("\\n")) }
  }
})
const events = query => new Promise(resolve => {
  const source = new EventSource("/inbox" + query), got = []
  source.onmessage = ({ data }) => {
    got.push(data)
    if (/"_ready"|"_error"/.test(data)) { source.close(); resolve(got.join("\\n")) }
  }
})
const answer = async (path, method, message) => {
  const body = message && JSON.stringify(message)
  const headers = message ? { "Content-Type": "application/json" } : {}
  const found = await fetch("/inbox" + path, { method, body, headers })
  return [found.status, await found.text()]
}
</script>"""
QUERIES = (
    *("", "?recipient=OTHER", "?recipient=ME&recipient=OTHER", "?recipient!=ME", "?recipient="),
    *("?_c=recipient&_c=body&_sort=body", "?body*=secret", "?_limit=-1&_offset=-1"),
)
LIVE = ("?_replay=log", "?_since=earliest", "?_replay=log&_since=earliest", "?_since=-100")
PATHS = (".csv", ".ndjson", "?_format=csv", "?_format=html", "?_since=earliest&_replay=log")


@contextmanager
def logged_in(browser: Browser, hub: Hub, user: str, password: str) -> Iterator[Page]:
    """Yield the page of a user who has logged in, in a browser of its own."""
    context = browser.new_context()
    try:
        page = context.new_page()
        page.goto(f"{hub.url}/page")
        page.get_by_label("User name").fill(user)
        page.get_by_label("Password").fill(password)
        page.keyboard.press("Enter")
        page.wait_for_function("window.socket && socket.readyState === WebSocket.OPEN")
        yield page
    finally:
        context.close()


@pytest.fixture
def users(hub_factory: HubFactory, browser: Browser) -> Iterator[dict[str, Page]]:
    hub = hub_factory(CONFIG, files={"page.html": PAGE})
    with (
        logged_in(browser, hub, "ann", "correct horse") as ann,
        logged_in(browser, hub, "bob", "battery staple") as bob,
    ):
        yield {"ann": ann, "bob": bob}


def heard(page: Page, text: str) -> str:
    """Return what a page has heard, once a text is in it."""
    page.wait_for_function("text => heard.some(each => each.includes(text))", arg=text)
    return str(page.evaluate("heard.join('\\n')"))


def call(page: Page, function: str, *args: Any) -> Any:
    return page.evaluate(f"args => {function}(...args)", list(args))


def test_neither_user_sees_changes_deletes_or_detects_a_message_to_the_other(
    users: dict[str, Page],
) -> None:
    for name, page in users.items():
        for row_id in ("stays", "goes"):
            message = {"id": f"{name}-{row_id}", "recipient": name, "body": f"secret of {name}"}
            call(page, "send", message)
        heard(page, f"{name}-goes")
        call(page, "send", {"_method": "DELETE", "id": f"{name}-goes"})
        heard(page, '"DELETE"')
    for name, other in (("ann", "bob"), ("bob", "ann")):
        _check_reads(users[name], name, other)
        _check_writes(users[name], name, other)
    # What the other does while both are connected is not heard either.
    for name, page in users.items():
        change = {"_method": "PUT", "id": f"{name}-stays", "body": f"new secret of {name}"}
        call(page, "send", change)
        assert "new secret" in heard(page, f"new secret of {name}")
    call(users["ann"], "send", {"id": "letter", "recipient": "bob", "body": "from ann to you"})
    assert "from ann" in heard(users["bob"], "letter")
    for name, other in (("ann", "bob"), ("bob", "ann")):
        call(users[name], "send", {"id": f"{name}-last", "recipient": name})
        text = heard(users[name], f"{name}-last")
        assert f"of {other}" not in text
        assert f"{other}-" not in text
    assert "letter" not in heard(users["ann"], "ann-last"), "it is bob's, whoever sent it"


def _check_reads(page: Page, name: str, other: str) -> None:
    """No way to read has a row of the other user, or the id of one that was deleted."""
    found = {}
    for template in QUERIES:
        query = template.replace("OTHER", other).replace("ME", name)
        found[f"GET {query}"] = call(page, "answer", query, "GET")[1]
        found[f"WebSocket {query}"] = call(page, "frames", query)
        found[f"EventSource {query}"] = call(page, "events", query)
    for query in LIVE:
        found[f"WebSocket {query}"] = call(page, "frames", query)
        found[f"EventSource {query}"] = call(page, "events", query)
        assert f"secret of {name}" in found[f"WebSocket {query}"], "else this cannot fail"
        assert f"{name}-goes" in found[f"EventSource {query}"], "the log has what was deleted"
    for path in PATHS:
        found[f"GET {path}"] = call(page, "answer", path, "GET")[1]
    for way, text in found.items():
        assert f"secret of {other}" not in text, way
        assert f"{other}-" not in text, way
    assert f"secret of {name}" in found["GET "]


def _check_writes(page: Page, name: str, other: str) -> None:
    """A row of the other user, one that was deleted, and none at all get the same answers."""
    answers = []
    for row_id in (f"{other}-stays", f"{other}-goes", "never-was"):
        asked = [
            call(page, "answer", f"/{row_id}", "GET"),
            call(page, "answer", f"?id={row_id}&_history", "GET"),
            call(page, "answer", f"/{row_id}", "DELETE"),
            *(
                call(page, "answer", "", "PUT", {"id": row_id, **change})
                for change in ({"body": "x"}, {"recipient": name}, {"body": "x", "_if_seq": 1})
            ),
        ]
        answers.append(str(asked).replace(row_id, "ID"))
    assert answers[0] == answers[1] == answers[2]
    assert "404" in answers[0]
