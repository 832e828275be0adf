"""The console's views of rows: what changes is seen, and what is done there is done at the hub."""

from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page, expect

from eventhub.gateway.console.serving import FOLDER
from tests.e2e.command import post, rows
from tests.e2e.hub import Hub, running_hub

CONFIG = """
url:
  notes:
    pattern: /notes
    handler: MessageHandler
    kwargs: {columns: {topic: TEXT, body: TEXT, n: INTEGER}}
  many:
    pattern: /many
    handler: MessageHandler
    kwargs: {columns: {n: INTEGER}, prepare: "msg.setdefault('n', 7)"}
  long:
    pattern: /long
    handler: MessageHandler
    kwargs: {columns: {n: INTEGER}}
  secret:
    pattern: /secret
    handler: MessageHandler
    kwargs: {auth: true, columns: {passcode: TEXT}}
  sql: {pattern: /sql, handler: SQLHandler, kwargs: {tables: [notes, many], limits: {rows: 4000}}}
auth: {jwt: {secret: a secret of at least 32 characters}}
"""
MANY: Final = 5000
LONG: Final = 12_000
"""More events than one answer of a poll has."""

if not (FOLDER / "main.js").is_file():
    pytest.skip("the console is not built: make .venv/console", allow_module_level=True)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with running_hub(tmp_path_factory.mktemp("hub"), CONFIG) as started:
        yield started


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page in which any error, a style that the policy forbids included, fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    wrong = list[str]()
    page = context.new_page()
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    yield page
    context.close()
    assert [each for each in wrong if "Failed to load resource" not in each] == []


def note(hub: Hub, **message: Any) -> dict[str, Any]:
    return post(f"{hub.url}/notes", **message)


def test_a_row_that_comes_and_one_that_changes_are_marked(hub: Hub, page: Page) -> None:
    note(hub, id="mark", topic="marks", n=1)
    page.goto(f"{hub.url}/-/#/live?path=/notes&q=topic%3Dmarks")
    expect(page.locator(".summary")).to_contain_text("1 row of the filter")
    note(hub, id="mark-2", topic="marks")
    expect(page.locator("tr.entered")).to_contain_text("mark-2")
    note(hub, _method="PUT", id="mark", n=2)
    expect(page.locator("td.changed")).to_have_text("2")


def test_rows_stand_still_while_the_view_is_paused(hub: Hub, page: Page) -> None:
    note(hub, id="pause", topic="pauses", body="before")
    page.goto(f"{hub.url}/-/#/live?path=/notes&q=topic%3Dpauses")
    expect(page.get_by_role("cell", name="before")).to_be_visible()
    page.keyboard.press("p")
    note(hub, _method="PUT", id="pause", body="after")
    expect(page.locator(".summary")).to_contain_text("1 event of the table since")
    expect(page.get_by_role("cell", name="before")).to_be_visible()
    page.keyboard.press("p")
    expect(page.get_by_role("cell", name="after")).to_be_visible()


def test_a_filter_is_completed_by_columns_operators_and_values(hub: Hub, page: Page) -> None:
    note(hub, topic="all & everything", n=7)
    page.goto(f"{hub.url}/-/#/live?path=/notes")
    expect(page.get_by_role("cell", name="all & everything")).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("top")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    page.keyboard.type("every")
    options = page.get_by_role("listbox").get_by_role("option")
    expect(options).to_have_text(["topic=all+%26+everything"])
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator(".summary")).to_contain_text("1 row of the filter")
    page.reload()
    expect(page.locator(".summary")).to_contain_text("1 row of the filter")


def test_a_filter_that_the_hub_refuses_says_why(hub: Hub, page: Page) -> None:
    page.goto(f"{hub.url}/-/#/live?path=/notes&q=n%3Dmany")
    expect(page.get_by_role("alert")).to_contain_text("'many' is not a whole number")


def test_of_many_rows_only_those_in_view_are_in_the_document(hub: Hub, page: Page) -> None:
    for start in range(0, MANY, 1000):
        lines = [{"id": f"row-{n}", "n": n} for n in range(start, start + 1000)]
        page.request.post(f"{hub.url}/many", data=lines)
    page.goto(f"{hub.url}/-/#/live?path=/many")
    expect(page.locator(".summary")).to_contain_text(f"{MANY:,} rows")
    expect(page.get_by_role("link", name=f"row-{MANY - 1}", exact=True)).to_be_visible()
    page.evaluate("document.querySelector('.grid').scrollTop = 1e9")
    expect(page.get_by_role("link", name="row-0", exact=True)).to_be_visible()
    assert page.locator("tbody tr").count() < 100


def test_a_row_gets_an_old_version_back_after_a_question(hub: Hub, page: Page) -> None:
    first = note(hub, id="life", body="the first text", n=1)
    note(hub, _method="PUT", id="life", body="the second text")
    page.goto(f"{hub.url}/-/#/row?path=/notes&id=life")
    expect(page.locator("ol.life del").first).to_have_text("first")
    expect(page.locator("ol.life ins").first).to_have_text("second")
    page.get_by_role("button", name="Restore version 1").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    assert rows(f"{hub.url}/notes?id=life")[0]["body"] == "the second text"
    page.get_by_role("button", name=f"of event {first['_seq']}").click()
    page.get_by_role("dialog").get_by_role("button", name="Restore").click()
    expect(page.locator("ol.life li")).to_have_count(3)
    assert rows(f"{hub.url}/notes?id=life")[0]["body"] == "the first text"


def test_a_version_is_not_restored_over_a_change_that_was_not_seen(hub: Hub, page: Page) -> None:
    note(hub, id="raced", n=1)
    note(hub, _method="PUT", id="raced", n=2)
    page.goto(f"{hub.url}/-/#/row?path=/notes&id=raced")
    page.get_by_role("button", name="Restore version 1").click()
    page.route(
        "**/notes", lambda route: (note(hub, _method="PUT", id="raced", n=3), route.continue_())
    )
    page.get_by_role("dialog").get_by_role("button", name="Restore").click()
    expect(page.get_by_role("alert")).to_be_visible()
    assert rows(f"{hub.url}/notes?id=raced")[0]["n"] == 3


def test_a_table_is_seen_as_it_was_and_played_until_now(hub: Hub, page: Page) -> None:
    for n in range(3):
        note(hub, topic="times", id=f"time-{n}", body=f"text {n}")
    note(hub, _method="DELETE", id="time-0")
    page.goto(f"{hub.url}/-/#/time?path=/notes&q=topic%3Dtimes")
    expect(page.locator("main")).to_contain_text("2 rows then")
    page.get_by_label("Moment").focus()
    page.keyboard.press("Home")
    expect(page.locator("main")).to_contain_text("1 row then")
    page.keyboard.press("ArrowRight")
    expect(page.locator("main")).to_contain_text("2 rows then")
    page.get_by_label("100").check()
    page.get_by_role("button", name="Play").click()
    expect(page.get_by_role("cell", name="text 2")).to_be_visible()
    note(hub, topic="times", body="the latest text")
    expect(page.get_by_role("cell", name="the latest text")).to_be_visible()
    expect(page.locator(".controls")).to_contain_text("Live")


def test_a_past_that_is_read_in_part_says_so_and_is_read_on(hub: Hub, page: Page) -> None:
    for start in range(0, LONG, 1000):
        page.request.post(f"{hub.url}/long", data=[{"n": n} for n in range(start, start + 1000)])
    last = f"event {LONG}"
    page.goto(f"{hub.url}/-/#/time?path=/long&pages=1&at={LONG}")
    main = page.locator("main")
    expect(main).to_contain_text("later events, if there are any, are not shown")
    expect(page.locator(".moment")).to_be_visible()
    expect(page.locator(".moment")).not_to_contain_text(last)
    page.get_by_role("button", name="Read on").click()
    expect(page.locator(".moment")).to_contain_text(last)
    page.get_by_role("button", name="Read on").click()  # its answer is empty: that is the end
    expect(page.get_by_role("button", name="Read on")).to_have_count(0)
    expect(page.locator(".moment")).to_contain_text(last)


def test_the_form_shows_the_receipt_or_why_a_message_is_refused(hub: Hub, page: Page) -> None:
    page.goto(f"{hub.url}/-/#/endpoints?path=/notes")
    page.get_by_label("topic", exact=True).fill("tried")
    page.get_by_label("n", exact=True).fill("three")
    page.get_by_role("button", name="Create").click()
    expect(page.locator(".answer")).to_contain_text("Refused: bad_value")
    page.get_by_label("n", exact=True).fill("3")
    page.get_by_role("button", name="Create").click()
    expect(page.locator(".answer")).to_contain_text("Stored")
    assert [each["n"] for each in rows(f"{hub.url}/notes?topic=tried")] == [3]


def test_a_statement_has_its_limits_its_parameters_and_its_link(hub: Hub, page: Page) -> None:
    note(hub, topic="asked", n=40)
    written = note(hub, topic="asked", n=2)
    rows(f"{hub.url}/sql?sql=SELECT+1&min_seq=notes%3D{written['_seq']}")  # is seen from now on
    sql = quote("SELECT topic, n FROM notes WHERE topic = 'asked' AND n >= $least")
    page.goto(f"{hub.url}/-/#/sql?sql={sql}&%24least=1")
    expect(page.locator("main")).to_contain_text("At most 4,000 rows, 30 seconds and 1 GiB")
    expect(
        page.get_by_role("region", name="Rows of the answer").locator("tbody tr[aria-rowindex]")
    ).to_have_count(2)
    page.get_by_label("$least").fill("3")
    page.keyboard.press("Enter")
    expect(page.get_by_role("cell", name="40")).to_be_visible()
    expect(
        page.get_by_role("region", name="Rows of the answer").locator("tbody tr[aria-rowindex]")
    ).to_have_count(1)
    page.reload()
    expect(page.get_by_label("$least")).to_have_value("3")
    page.get_by_label("Plot", exact=True).check()
    expect(page.locator("svg.drawn rect").first).to_be_visible()


def test_a_statement_is_completed_and_may_replace_another_one(hub: Hub, page: Page) -> None:
    page.goto(f"{hub.url}/-/#/sql")
    editor = page.get_by_label("SQL statement")
    expect(editor).to_contain_text("FROM many")  # the first table, not one of the hub's own
    editor.click()
    page.keyboard.press("Control+a")
    page.keyboard.type("FROM notes_h")
    page.get_by_role("option", name="notes_history").click()
    page.keyboard.type(" WHERE nonsense")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("alert")).to_contain_text("nonsense")


def test_a_user_is_shown_no_endpoint_that_refuses_that_user(hub: Hub, page: Page) -> None:
    for view in ("live", "row", "time", "endpoints"):
        page.goto(f"{hub.url}/-/#/{view}?path=/secret")
        expect(page.locator("main")).to_contain_text(
            "There is no endpoint /secret that you may use"
        )
        assert "passcode" not in page.locator("main").inner_text()


def test_an_operator_sees_the_hooks_of_an_endpoint(hub: Hub, page: Page) -> None:
    page.goto(f"{hub.url}/-/#/endpoints?path=/many")
    expect(page.locator(".settings")).to_contain_text("msg.setdefault('n', 7)")
