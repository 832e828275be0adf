"""The page of an endpoint shows and filters its rows, and runs nothing that is in them."""

import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pyarrow.parquet
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.e2e.command import post
from tests.e2e.hub import Hub, running_hub

CONFIG = """
url:
  notes:
    pattern: /notes
    handler: MessageHandler
    kwargs:
      columns: {body: TEXT, n: INTEGER, price: "DECIMAL(38,2)", done: BOOLEAN, tags: JSON}
"""
EVIL = '<img src=x onerror="document.title=1"><script>document.title=1</script>'


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with running_hub(tmp_path_factory.mktemp("hub"), CONFIG) as started:
        url = f"{started.url}/notes"
        post(url, id="a", n=30, price="123456789012345678901234567890.05", tags=[EVIL], done=True)
        post(url, id="b", body=EVIL, n=-1)
        post(url, id="c", body="last", n=20, done=False)
        yield started


def body_of(url: str) -> tuple[bytes, Any]:
    with urllib.request.urlopen(url) as answer:
        return answer.read(), answer.headers


@pytest.fixture
def page(browser: Browser, hub: Hub) -> Iterator[Page]:
    opened = browser.new_page()
    errors: list[str] = []
    opened.on("console", lambda message: errors.append(message.text))
    opened.goto(f"{hub.url}/notes?_format=html")
    yield opened
    assert errors == []
    opened.close()


def ids(page: Page) -> Locator:
    return page.locator("tbody tr td:nth-child(6)")


def test_the_page_shows_what_is_stored_and_runs_nothing_of_it(page: Page) -> None:
    assert page.title() == "notes"
    expect(page.get_by_role("cell", name=EVIL, exact=True)).to_be_visible()
    assert page.locator("script, img, link").count() == 0
    expect(ids(page)).to_have_text(["a", "b", "c"])
    assert "123456789012345678901234567890.05" in page.content()


def test_the_policy_of_the_page_lets_nothing_run(hub: Hub) -> None:
    text, headers = body_of(f"{hub.url}/notes?_format=html&body~={quote(EVIL)}&id={quote(EVIL)}")
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["Cache-Control"] == "no-store"
    assert b"<img" not in text
    assert b"<script" not in text


def test_the_form_filters_and_forgets_nothing(page: Page) -> None:
    page.get_by_label("n from").fill("0")
    page.get_by_role("button", name="Filter").click()
    expect(ids(page)).to_have_text(["a", "c"])
    page.get_by_role("columnheader", name="n", exact=True).get_by_role("link").click()
    expect(ids(page)).to_have_text(["c", "a"])
    page.get_by_label("false").check()
    page.get_by_role("button", name="Filter").click()
    expect(ids(page)).to_have_text(["c"])
    expect(page.get_by_label("n from")).to_have_value("0")
    expect(page.get_by_label("false")).to_be_checked()
    assert (
        page.get_by_role("columnheader", name="n", exact=True).get_attribute("aria-sort")
        == "ascending"
    )
    page.get_by_role("link", name="Show all").click()
    expect(ids(page)).to_have_text(["a", "b", "c"])


def test_what_the_form_has_no_field_for_is_listed_and_can_be_dropped(page: Page, hub: Hub) -> None:
    page.goto(f"{hub.url}/notes?_format=html&id=a&id=c&n>~=0")
    expect(ids(page)).to_have_text(["a", "c"])
    page.get_by_role("button", name="Filter").click()
    expect(ids(page)).to_have_text(["a", "c"])
    page.get_by_role("link", name="Remove id").first.click()
    expect(ids(page)).to_have_text(["c"])


def test_pages_lead_to_each_other_and_to_the_whole(page: Page, hub: Hub) -> None:
    page.goto(f"{hub.url}/notes?_format=html&_limit=2")
    expect(ids(page)).to_have_text(["a", "b"])
    expect(page.get_by_role("status")).to_have_text("Rows 1 to 2; there are more.")
    page.get_by_role("link", name="Next").click()
    expect(ids(page)).to_have_text(["c"])
    page.get_by_role("link", name="Previous").click()
    expect(ids(page)).to_have_text(["a", "b"])
    with page.expect_download() as download:
        page.get_by_role("link", name="parquet").click()
    assert pyarrow.parquet.read_table(download.value.path()).num_rows == 3
