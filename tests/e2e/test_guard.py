"""Checks that precede every request: the name of the hub, and the page that embeds it."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.command import refused, run, written
from tests.e2e.hub import Hub, HubFactory
from tests.e2e.wire import Answer, ask

CONFIG = """
url:
  rows: {pattern: /rows, handler: MessageHandler, kwargs: {columns: {body: TEXT}}}
  shared:
    pattern: /shared
    handler: MessageHandler
    kwargs: {columns: {body: TEXT}, origins: ["https://friend.example", "https://*.apps.example"]}
  framed:
    pattern: /framed/(.*)
    handler: FileHandler
    kwargs:
      path: $YAMLPATH/page
      headers:
        Content-Security-Policy: frame-ancestors https://friend.example
        Cross-Origin-Resource-Policy: cross-origin
  page: {pattern: /(.*), handler: FileHandler, kwargs: {path: $YAMLPATH/page}}
"""
UPGRADE = (
    *("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"),
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
PATHS = ("/rows", "/rows?_format=csv", "/index.html", "/", "/absent", "/framed/", "/rows/absent")


def started(folder: Path, config: str) -> Hub:
    (folder / "page").mkdir()
    (folder / "page" / "index.html").write_text("page")
    hub = Hub(written(folder, config), folder, [])
    hub.start()
    return hub


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    hub = started(tmp_path_factory.mktemp("hub"), CONFIG)
    yield hub
    hub.kill()


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub behind a trusted proxy on this machine, with names of its own."""
    config = "server: {hosts: [chat.example.org, '*.hub.example', 'odd.example:8443']}\n"
    config += "auth: {proxy: {header: X-User, trusted: [127.0.0.1]}}\n"
    hub = started(tmp_path_factory.mktemp("named"), config + CONFIG)
    yield hub
    hub.kill()


def get(
    hub: Hub, path: str, *lines: str, host: str | None = "127.0.0.1", method: str = "GET"
) -> Answer:
    hosts = [f"Host: {host}"] if host is not None else []
    request = "\r\n".join([f"{method} {path} HTTP/1.1", *hosts, *lines, "", ""])
    return ask(hub.url, request.encode("latin-1"))


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example"),
        *(
            "127.0.0.1.nip.io",
            "evil.example.",
            "10.0.0.1",
            "[2001:db8::1]",
            "localhost@evil.example",
        ),
        *("0.0.0.0", "", "notlocalhost.example"),
    ],
)
def test_a_host_name_that_is_not_the_hubs_is_refused_everywhere(hub: Hub, host: str) -> None:
    for path in PATHS:
        reply = get(hub, path, f"Origin: http://{host}", host=host)
        assert (reply.status, reply.code) == (403, "forbidden"), (path, reply)
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH"):
        assert get(hub, "/rows", "Content-Length: 0", host=host, method=method).status == 403
    assert get(hub, "/rows", *UPGRADE, f"Origin: http://{host}", host=host).status == 403
    assert get(hub, "/healthz", host=host).status == 200
    assert get(hub, "/readyz", host=host).body == b"ready\n"
    assert get(hub, "/metrics", host=host).status == 403
    assert get(hub, "/rows", "X-Forwarded-Host: localhost", host=host).status == 403


@pytest.mark.parametrize(
    ("host", "lines", "status"),
    [
        ("chat.example", ["Origin: https://chat.example"], 200),
        ("chat.example:443", ["Origin: https://chat.example"], 200),
        ("chat.example:80", ["Origin: http://chat.example"], 200),
        ("chat.example", [*UPGRADE], 101),
        ("eventhub", [], 200),
        ("chat.example", ["Origin: https://evil.example"], 403),
        ("chat.example", ["Origin: null"], 403),
        ("chat.example", [*UPGRADE, "Origin: http://chat.example"], 403),
        ("chat.example", [], 403),
    ],
)
def test_a_foreign_name_is_accepted_from_a_proxy_and_not_from_a_browser(
    hub: Hub, host: str, lines: list[str], status: int
) -> None:
    assert get(hub, "/rows", *lines, host=host).status == status


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.0.0.1:8080", "localhost", "LOCALHOST:1", "[::1]", "[::1]:8080"),
        *("chat.localhost", "localhost.", "127.1.2.3"),
    ],
)
def test_names_of_this_machine_are_accepted(hub: Hub, host: str) -> None:
    assert get(hub, "/rows", host=host).status == 200
    assert get(hub, "/index.html", host=host).status == 200
    assert get(hub, "/rows", *UPGRADE, host=host).status == 101


@pytest.mark.parametrize(
    ("host", "forwarded", "status"),
    [
        ("chat.example.org", None, 200),
        ("CHAT.example.org:443", None, 200),
        ("a.b.hub.example", None, 200),
        ("odd.example:8443", None, 200),
        ("odd.example", None, 403),
        ("hub.example", None, 403),
        ("127.0.0.1", None, 403),
        ("localhost", None, 403),
        ("127.0.0.1:8080", "chat.example.org", 200),
        ("eventhub:8080", "evil.example, chat.example.org", 200),
        ("eventhub:8080", "evil.example", 403),
        ("evil.example", "chat.example.org", 403),
    ],
)
def test_a_hub_with_configured_names_answers_to_these_only(
    named: Hub, host: str, forwarded: str | None, status: int
) -> None:
    lines = [f"X-Forwarded-Host: {forwarded}"] if forwarded else []
    for path in ("/rows", "/index.html"):
        assert get(named, path, *lines, host=host).status == status


async def test_a_hub_on_all_addresses_answers_to_any_name(hub_factory: HubFactory) -> None:
    config = CONFIG.split("  framed:")[0]
    open_hub = await asyncio.to_thread(hub_factory, config, host="0.0.0.0")
    open_hub.url = open_hub.url.replace("0.0.0.0", "127.0.0.1")
    assert get(open_hub, "/rows", host="anything.example").status == 200


def test_a_refused_name_is_logged(hub: Hub) -> None:
    get(hub, "/rows", host="told.example")
    assert "access_refused" in hub.stderr()


# --- Embedding


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_other_sites_cannot_embed_rows(hub: Hub, site: str) -> None:
    for mode, dest in (("no-cors", "image"), ("no-cors", "script"), ("navigate", "iframe")):
        fetch = (f"Sec-Fetch-Site: {site}", f"Sec-Fetch-Mode: {mode}", f"Sec-Fetch-Dest: {dest}")
        for path in ("/rows", "/rows?_format=csv", "/shared"):
            reply = get(hub, path, *fetch)
            assert (reply.status, reply.code) == (403, "forbidden")
            assert get(hub, path, *fetch, "Referer: https://evil.example/x").status == 403
        for page in ("https://friend.example", "https://a.apps.example/deep?x"):
            reply = get(hub, "/shared", *fetch, f"Referer: {page}")
            assert reply.status == 200
            assert reply.headers["cross-origin-resource-policy"] == "cross-origin"
        assert (
            get(hub, "/shared", *fetch, "Referer: https://friend.example.evil.example").status
            == 403
        )
        if mode != "navigate":
            assert get(hub, "/index.html", *fetch).status == 403
            assert get(hub, "/framed/index.html", *fetch).status == 200


def test_links_to_rows_and_pages_work(hub: Hub) -> None:
    link = ("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document")
    for path in ("/rows", "/index.html", "/"):
        assert get(hub, path, *link).status == 200
        for site in ("same-origin", "none"):
            assert (
                get(hub, path, f"Sec-Fetch-Site: {site}", "Sec-Fetch-Mode: no-cors").status == 200
            )


def test_a_page_of_another_scheme_is_another_origin(named: Hub, hub: Hub) -> None:
    for proto, origin, status in (
        ("https", "https://chat.example.org", 200),
        ("https", "http://chat.example.org:443", 403),
        ("http", "http://chat.example.org", 200),
        ("http", "https://chat.example.org:80", 403),
        ("ftp, wss", "https://chat.example.org", 200),
    ):
        port = {"http://chat.example.org:443": ":443", "https://chat.example.org:80": ":80"}
        host = f"chat.example.org{port.get(origin, '')}"
        reply = get(named, "/rows", f"X-Forwarded-Proto: {proto}", f"Origin: {origin}", host=host)
        assert reply.status == status, (proto, origin)
    # No proxy is trusted there, so the scheme is unknown.
    sent = ("X-Forwarded-Proto: http", "Origin: https://localhost")
    assert get(hub, "/rows", *sent, host="localhost").status == 200


# --- Headers


def test_every_answer_has_the_security_headers(hub: Hub) -> None:
    answers = [
        get(hub, path) for path in (*PATHS, "/healthz", "/readyz", "/metrics", "/%00", "/../x")
    ]
    answers += [get(hub, "/rows", host="evil.example"), get(hub, "/rows?nocolumn=1")]
    answers += [get(hub, "/rows", method=method) for method in ("PATCH", "OPTIONS", "HEAD")]
    answers += [
        get(hub, "/rows", *UPGRADE),
        get(hub, "/rows", "Accept: text/event-stream", method="HEAD"),
    ]
    answers += [
        ask(hub.url, raw) for raw in (b"\x16\x03\x01\x02\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n")
    ]
    answers += [
        ask(hub.url, b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 70_000 + b"\r\n\r\n")
    ]
    for answer in answers:
        assert answer.headers["server"] == "EventHub", answer
        assert answer.headers["x-content-type-options"] == "nosniff", answer
        assert answer.headers["referrer-policy"] == "same-origin", answer
        assert answer.headers["cross-origin-resource-policy"] in ("same-origin", "cross-origin")
        assert "x-frame-options" in answer.headers or "content-security-policy" in answer.headers


def test_pages_are_not_framed_unless_configured(hub: Hub) -> None:
    page = get(hub, "/index.html").headers
    assert page["content-security-policy"] == "frame-ancestors 'self'"
    assert page["x-frame-options"] == "SAMEORIGIN"
    framed = get(hub, "/framed/index.html").headers
    assert framed["content-security-policy"] == "frame-ancestors https://friend.example"
    assert "x-frame-options" not in framed
    assert framed["cross-origin-resource-policy"] == "cross-origin"
    own = get(hub, "/shared", "Origin: https://friend.example").headers
    assert own["cross-origin-resource-policy"] == "cross-origin"
    assert get(hub, "/shared").headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize(
    ("server", "problem"),
    [
        ("hosts: ['https://chat.example.org']", "got 'https://chat.example.org'"),
        ("hosts: [.example.org]", "hosts: expected host, host:port"),
        ("hosts: []", "the list is empty"),
        ("admin: {token: short}", "at least 16 characters"),
    ],
)
def test_settings_that_protect_nothing_stop_the_hub(
    tmp_path: Path, server: str, problem: str
) -> None:
    (tmp_path / "page").mkdir()
    file = written(tmp_path, f"server: {{{server}}}\n" + CONFIG)
    assert problem in refused(2, run("check", file))
    assert problem in refused(2, run("serve", file, "--port", "0"))
