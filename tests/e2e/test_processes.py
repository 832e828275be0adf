"""Operators see the whole hub at any gateway: each process, how it is, and which fell silent.

Two gateways, a projector and an alert worker run as processes of one hub on one nats-server.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.request import urlopen

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, expect

from eventhub.gateway.console.serving import FOLDER
from eventhub.gateway.vitals import PATH
from tests.e2e.command import post
from tests.e2e.console import TAKES_IMAGES, take_image
from tests.e2e.hub import Hub
from tests.e2e.test_accessibility import SCHEMES, WIDTHS
from tests.integration.alerts.sink import served_sink
from tests.nats_server import nats_server
from tests.waiting import until

CONFIG: Final = """
broker: {{url: '{url}'}}
email: {{shop: {{host: 127.0.0.1, port: {port}, email: shop@example.org}}}}
url:
  orders:
    pattern: /orders
    handler: MessageHandler
    kwargs:
      columns: {{customer: TEXT}}
      alert: {{to: sales@example.org, subject: "Order of {{{{ customer }}}}"}}
"""
PROGRAM: Final = ("tests.e2e.soon_silent",)


class Site(NamedTuple):
    """A hub in processes."""

    gateways: list[Hub]
    workers: list[Hub]
    stopped: Hub
    killed: Hub


@contextmanager
def running(folder: Path, text: str, role: str) -> Iterator[Hub]:
    """Run a process for the length of a block."""
    folder.mkdir()
    (folder / "eventhub.yaml").write_text(text)
    hub = Hub(folder / "eventhub.yaml", folder, ["--role", role], PROGRAM)
    hub.launch()
    try:
        yield hub
    finally:
        hub.kill()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Processes that were all there; then one was stopped, and one killed."""
    folder = tmp_path_factory.mktemp("site")
    settings = {"max_payload": 9_000_000, "jetstream": {"store_dir": str(folder / "nats")}}
    with nats_server(folder / "nats", settings) as url, served_sink() as sink, ExitStack() as stack:
        text = CONFIG.format(url=url, port=sink.port)
        roles = ("gateway", "gateway", "projector", "alerts", "alerts", "alerts")
        one, other, *workers, stopped, killed = [
            stack.enter_context(running(folder / str(number), text, role))
            for number, role in enumerate(roles)
        ]
        for gateway in (one, other):
            gateway.wait()
            for hub in (one, other, *workers, stopped, killed):
                until(partial(entry, gateway, hub))
        killed.kill()
        assert stopped.stop() == 0
        yield Site([one, other], workers, stopped, killed)


def shown(gateway: Hub, role: str = "") -> list[dict[str, Any]]:
    """Return the processes that a gateway shows, or those with a role."""
    with urlopen(gateway.url + PATH) as answer:
        found = json.load(answer)["processes"]
    return [each for each in found if role in ["", *each["roles"]]]


def pid(hub: Hub) -> int:
    assert hub.process is not None
    return hub.process.pid


def entry(gateway: Hub, hub: Hub) -> dict[str, Any] | None:
    """Return what a gateway shows of a process, if it does."""
    entries = (each for each in shown(gateway) if each["process"].endswith(f":{pid(hub)}"))
    return next(entries, None)


def is_silent(gateway: Hub, hub: Hub) -> bool:
    found = entry(gateway, hub)
    return found is not None and found["silent_seconds"] is not None


def has_caught_up(gateway: Hub) -> bool:
    """Return whether a gateway shows that the order is in the tables, and was mailed."""
    [projector], workers = shown(gateway, "projector"), shown(gateway, "alerts")
    return projector["behind"] == 0 and 1 in [each["mails"]["sent"] for each in workers]


def test_every_gateway_shows_how_each_process_is(site: Site) -> None:
    post(f"{site.gateways[0].url}/orders", customer="Ann")
    for gateway in site.gateways:
        until(partial(has_caught_up, gateway))
        until(partial(is_silent, gateway, site.killed))
        own, *others = [each for each in shown(gateway) if each["silent_seconds"] is None]
        assert own["process"].endswith(f":{pid(gateway)}")
        assert len(others) == 3
        assert not [each for each in (own, *others) if each["problems"]]
        connections = [(each["roles"], each["connections"]) for each in (own, *others)]
        assert sorted(connections, key=str) == [
            (["alerts"], None),
            (["gateway"], 0),
            (["gateway"], 0),
            (["projector"], None),
        ]


def test_a_process_that_was_stopped_is_gone_and_one_that_was_killed_is_silent(site: Site) -> None:
    for gateway in site.gateways:
        until(partial(is_silent, gateway, site.killed))
        assert entry(gateway, site.stopped) is None


@pytest.mark.skipif(not (FOLDER / "main.js").is_file(), reason="the console is not built")
def test_the_overview_shows_the_whole_hub(site: Site, browser: Browser) -> None:
    one, dead = site.gateways[0], site.killed
    until(partial(is_silent, one, dead))
    name = f":{pid(dead)} (alerts) has been silent for"
    for width in WIDTHS:
        context = browser.new_context(
            viewport={"width": width, "height": 844}, reduced_motion="reduce"
        )
        try:
            page = context.new_page()
            page.goto(f"{one.url}/-/")
            table = page.get_by_role("region", name="Processes", exact=True)
            expect(page.get_by_role("region", name="How it is")).to_contain_text(name)
            expect(table.get_by_text("well", exact=True)).to_have_count(4)
            expect(table.get_by_role("row").filter(has_text=f":{pid(dead)}")).to_contain_text(
                "silent for"
            )
            for scheme in SCHEMES:
                page.emulate_media(color_scheme=scheme)
                found = Axe().run(page)
                assert found.violations_count == 0, f"{scheme}: {found.generate_report()}"
            wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            assert wide <= 0
            if TAKES_IMAGES and width == max(WIDTHS):
                page.emulate_media(color_scheme="light")
                table.scroll_into_view_if_needed()
                take_image(page, "processes")
        finally:
            context.close()
