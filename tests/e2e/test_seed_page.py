"""The JavaScript of the message handler's guide runs as printed, in a page of the hub."""

from playwright.sync_api import Browser

from tests.e2e.hub import HubFactory

CONFIG = """
url:
  messages:
    pattern: /messages
    handler: MessageHandler
    kwargs: {columns: {body: TEXT}}
  page:
    pattern: /page
    handler: FileHandler
    kwargs: {path: $YAMLPATH/page.html}
"""
OPEN_SOCKET = """
var url = location.href.replace(/^http/, "ws").replace(/\\/[^/]*$/, "/messages");
var ws = new WebSocket(url);
"""
SEND = """
ws.send(JSON.stringify({ _method: "POST", body: "Hello" }));
"""
LISTEN = """
ws.onmessage = function (response) {
  const msg = JSON.parse(response.data);
  console.log(msg);
};
"""


def test_the_javascript_sends_and_listens(hub_factory: HubFactory, browser: Browser) -> None:
    """`var` in a script of its own is global, so each snippet sees the ones before."""
    hub = hub_factory(CONFIG, files={"page.html": "<!doctype html><title>page</title>"})
    page = browser.new_page()
    page.goto(f"{hub.url}/page")
    page.add_script_tag(content=OPEN_SOCKET)
    page.wait_for_function("ws.readyState === WebSocket.OPEN")
    page.add_script_tag(content=LISTEN)
    with page.expect_console_message() as logged:
        page.add_script_tag(content=SEND)
    assert logged.value.args[0].json_value()["body"] == "Hello"
    page.close()
