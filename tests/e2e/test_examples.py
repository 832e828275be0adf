"""The pages of docs/examples do what they say, in Chromium."""

import re
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shutil import copytree
from threading import Thread

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.command import post
from tests.e2e.hub import Hub, HubFactory

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
SITE = "http://localhost:8000"
"""Whose pages may show comments, in the file of the example."""
MOST_LINES = 60


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    yield context.new_page()
    context.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """A site of static files, which is not the hub's."""
    folder = tmp_path / "site"
    folder.mkdir()
    handler = partial(SimpleHTTPRequestHandler, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()
        thread.join(10)


def served(hub_factory: HubFactory, folder: Path, name: str, origin: str = SITE) -> Hub:
    """Return a hub that serves a copy of an example."""
    copy = folder / name
    copytree(
        EXAMPLES / name, copy, ignore=lambda _, names: [each for each in names if each == "data"]
    )
    file = copy / "eventhub.yaml"
    file.write_text(file.read_text().replace(SITE, origin))
    return hub_factory(file)


def commented(hub: Hub, site: str, folder: Path) -> str:
    """Return the page of a site that has the line which the example tells to add."""
    text = (EXAMPLES / "comments" / "eventhub.yaml").read_text()
    found = re.search(r"<script .*</script>", text)
    assert found
    line = found[0].replace("http://127.0.0.1:8080", hub.url)
    article = f"<!doctype html><title>Post</title><p>A post.</p>{line}<footer>End</footer>"
    (folder / "site" / "post.html").write_text(article)
    return f"{site}/post.html"


def test_a_page_of_another_site_has_live_comments_with_one_line(
    browser: Browser, page: Page, hub_factory: HubFactory, site: str, tmp_path: Path
) -> None:
    hub = served(hub_factory, tmp_path, "comments", origin=site)
    url = commented(hub, site, tmp_path)
    page.goto(url)
    other = browser.new_page()
    other.goto(f"{url}?utm=mail#top")
    text = "<img src=x onerror=alert(1)> & more"
    page.get_by_label("Name").fill("Ann")
    page.get_by_label("Comment").fill(text)
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("status")).to_have_text("Sent.")
    for each in (page, other):
        expect(each.get_by_role("listitem")).to_contain_text(f"{text}")
        expect(each.locator("section + footer")).to_have_text("End")
    page.get_by_label("Comment").fill("   ")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("status")).to_contain_text("Not sent: ")
    other.close()


def test_a_page_of_a_third_site_sees_no_comments(
    page: Page, hub_factory: HubFactory, site: str, tmp_path: Path
) -> None:
    hub = served(hub_factory, tmp_path, "comments")
    page.goto(commented(hub, site, tmp_path))
    expect(page.get_by_role("alert")).to_contain_text("is of another origin")
    expect(page.get_by_role("listitem")).to_have_count(0)


def test_readings_are_charted_as_they_come(
    page: Page, hub_factory: HubFactory, tmp_path: Path
) -> None:
    hub = served(hub_factory, tmp_path, "dashboard")
    for value in (1, 5, 3):
        post(f"{hub.url}/readings", sensor="roof", value=value)
    page.goto(hub.url)
    roof = page.get_by_role("figure").filter(has_text="roof")
    expect(roof.get_by_role("status")).to_have_text("3 (1 to 5)")
    post(f"{hub.url}/readings", sensor="roof", value=9)
    post(f"{hub.url}/readings", sensor="cellar", value=-2)
    expect(roof.get_by_role("status")).to_have_text("9 (1 to 9)")
    expect(page.get_by_role("figure")).to_have_count(2)
    points = roof.locator("polyline").get_attribute("points")
    assert points is not None
    heights = [float(each.split(",")[1]) for each in points.split()]
    assert heights == [1, 0.5, 0.75, 0]


@pytest.mark.parametrize("file", ["comments/comments.js", "dashboard/page/index.html"])
def test_an_example_is_short_enough_to_read(file: str) -> None:
    assert len((EXAMPLES / file).read_text().splitlines()) <= MOST_LINES
