"""`/-/client/outbox.js`: writes are in rows at once, and stored once after the page is gone."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.e2e.hub import Hub, running_hub
from tests.e2e.javascript import INDEX, ask

CONFIG = """
url:
  messages:
    pattern: /messages
    handler: MessageHandler
    kwargs: {columns: {topic: TEXT, body: TEXT, n: INTEGER}}
  page: {pattern: /(.*), handler: FileHandler, kwargs: {path: $YAMLPATH/page}}
"""
PERSIST = """
  const { persist } = await import("/-/client/outbox.js")
  window.mine = persist(hub)
  window.states = () => mine.writes.map(({ method, message, state }) => [method, message.id, state])
"""
Opened = Callable[[BrowserContext], Page]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with running_hub(tmp_path_factory.mktemp("hub"), CONFIG, {"page/index.html": INDEX}) as hub:
        yield hub


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser of its own: what its pages keep is gone after the test."""
    context = browser.new_context()
    yield context
    context.close()


@pytest.fixture
def opened(hub: Hub) -> Opened:
    def opened(context: BrowserContext) -> Page:
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.goto(hub.url)
        page.wait_for_function("window.hub !== undefined")
        ask(page, PERSIST)
        return page

    return opened


def test_rows_show_writes_at_once_and_what_became_of_them(
    opened: Opened, context: BrowserContext
) -> None:
    page = opened(context)
    at_once, ended = ask(
        page,
        """
        const rows = mine.rows("messages", { where: { topic: "shown" }, sort: "n", limit: 3 })
        const texts = () => rows.value.map(({ body, _write }) => [body, _write?.state ?? "stored"])
        await rows.ready
        await mine.post("messages", { id: "s1", topic: "shown", body: "one", n: 1 })
        await mine.post("messages", { id: "s3", topic: "shown", body: "three", n: 3 })
        const isStored = (row) => row._seq && !row._write
        await until(() => rows.value.length === 2 && rows.value.every(isStored))
        const first = rows.value[0]
        const sent = [
          mine.post("messages", { id: "s2", topic: "shown", body: "two", n: 2 }),
          mine.post("messages", { id: "s9", topic: "elsewhere", body: "not here" }),
          mine.post("messages", { id: "s0", topic: "elsewhere", body: "wrong", n: "many" }),
          mine.put("messages", { id: "s3", body: "changed" }),
          mine.put("messages", { id: "s3", body: "conflict", _if_seq: 1 }),
        ]
        const found = [texts(), rows.value[0] === first, rows.value === rows.value]
        const codes = (await Promise.allSettled(sent)).map(({ reason }) => reason?.code ?? "stored")
        await until(() => texts()[1]?.[1] === "stored")
        const refused = [codes, texts(), states()]
        mine.writes.forEach(({ key }) => mine.discard(key))
        const gone = mine.delete("messages", "s1")
        const without = texts().map(([body]) => body)
        await gone
        await equal(rows, "messages?topic=shown&_sort=n&_limit=3")
        return [found, [refused, without, states()]]
        """,
    )
    shown, is_same, is_stable = at_once
    assert shown == [["one", "stored"], ["two", "waiting"], ["conflict", "waiting"]]
    assert (is_same, is_stable) == (True, True)
    refused, without, left = ended
    codes, texts, states = refused
    assert codes == ["stored", "stored", "bad_value", "stored", "conflict"]
    assert texts == [["one", "stored"], ["two", "stored"], ["changed", "refused"]]
    assert states == [["POST", "s0", "refused"], ["PUT", "s3", "refused"]]
    assert without == ["two", "changed"]
    assert left == []


def test_what_is_not_stored_when_the_page_is_closed_is_stored_once_by_the_next(
    opened: Opened, context: BrowserContext, hub: Hub
) -> None:
    page = opened(context)
    ask(page, "await mine.post('messages', {id: 'k0', topic: 'kept', body: 'before'})")
    hub.kill()
    ask(
        page,
        """
        const kept = (n) => mine.post("messages", { id: `k${n}`, topic: "kept", body: `${n}` })
        window.unsent = [kept(1), kept(2), mine.put("messages", { id: "k1", body: "1, changed" })]
        const found = indexedDB.open("eventhub outbox")
        await new Promise((done) => (found.onsuccess = done))
        await until(() => new Promise((done) => {
          const all = found.result.transaction("writes").objectStore("writes").count()
          all.onsuccess = () => done(all.result === 3)
        }))
        """,
    )
    page.close()
    hub.start()
    page = opened(context)
    path = "messages?topic=kept"
    found = ask(
        page,
        """
        const got = async () => (await fetch(args[0])).json()
        await until(async () => !mine.writes.length && (await got()).length === 3)
        return got()
        """,
        path,
    )
    assert [(row["id"], row["body"]) for row in found] == [
        ("k0", "before"),
        ("k1", "1, changed"),
        ("k2", "2"),
    ]
    log = ask(
        page,
        """
        const found = []
        const options = { where: { topic: "kept" }, until: "now" }
        for await (const { method, id } of hub.log("messages", options)) found.push([method, id])
        return found
        """,
    )
    assert log == [["POST", "k0"], ["POST", "k1"], ["POST", "k2"], ["PUT", "k1"]]


def test_a_refused_write_is_there_again_until_it_is_sent_or_discarded(
    opened: Opened, context: BrowserContext
) -> None:
    page = opened(context)
    ask(
        page,
        """
        await Promise.allSettled([
          mine.post("messages", { id: "r1", topic: "again", n: "many" }),
          mine.delete("messages", "r9"),
        ])
        """,
    )
    page.close()
    page = opened(context)
    before, after = ask(
        page,
        """
        await until(() => mine.writes.length === 2)
        const told = ({ message, state, error }) => [message.id, state, error.code]
        const before = mine.writes.map(told)
        const [wrong, missing] = mine.writes
        await hub.post("messages", { id: "r9", topic: "again" })
        mine.discard(wrong.key)
        mine.retry(missing.key)
        await until(() => !mine.writes.length)
        return [before, (await (await fetch("messages?topic=again")).json()).length]
        """,
    )
    assert before == [["r1", "refused", "bad_value"], ["r9", "refused", "not_found"]]
    assert after == 0


def test_a_page_leaves_alone_what_another_open_page_writes(
    opened: Opened, context: BrowserContext, hub: Hub
) -> None:
    first = opened(context)
    hub.kill()
    ask(
        first,
        """
        window.sent = mine.post("messages", { id: "o1", topic: "open" })
        await until(() => mine.writes.length)
        """,
    )
    hub.start()
    second: Any = opened(context)
    assert ask(second, "return states()") == []
    ask(first, "await sent; await until(() => !mine.writes.length)")
    rows = ask(second, "return (await fetch('messages?topic=open')).json()")
    assert [row["id"] for row in rows] == ["o1"]
