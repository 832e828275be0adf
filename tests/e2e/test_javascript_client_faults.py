"""Whatever happens between a page and its hub, its rows end as a GET, and each write is once.

The page writes with `/-/client/outbox.js`, which uses the client; closing the page is a fault too.
"""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from playwright.sync_api import Browser, Page

from tests.e2e.hub import Hub, running_hub
from tests.e2e.javascript import INDEX, ask

CONFIG = """
url:
  messages:
    pattern: /messages
    handler: MessageHandler
    kwargs: {columns: {topic: TEXT, n: INTEGER}}
  page: {pattern: /(.*), handler: FileHandler, kwargs: {path: $YAMLPATH/page}}
"""
SETUP = """
  window.sockets = []
  const Native = window.WebSocket
  window.WebSocket = class extends Native {
    constructor(...args) { super(...args); this.swallowed = 0; sockets.push(this) }
    set onmessage(listener) {
      super.onmessage = listener && ((event) => this.isDeaf ? this.swallowed++ : listener(event))
    }
  }
  window.cut = () => sockets.forEach((socket) => socket.close())
  // What the hub sends from now on is lost on its way.
  window.deafen = () => sockets.forEach((socket) => socket.isDeaf = true)
  window.missed = () => Promise.race([
    until(() => sockets.every(({ readyState, swallowed }) => readyState !== 1 || swallowed)),
    new Promise((done) => setTimeout(done, 1000)),
  ])
  const { persist } = await import("/-/client/outbox.js")
  window.kept = persist(hub)
  window.odd = []                 // refusals that nothing explains
  kept.subscribe((writes) => {
    for (const { key, state, error } of writes) {
      if (state !== "refused") continue
      if (!["bad_value", "not_found"].includes(error.code)) odd.push(error)
      kept.discard(key)
    }
  })
  // What the page before has made, in this log.
  window.made = new Set(JSON.parse(localStorage.made ?? "[]"))
  window.refused = 0
  window.pending = new Set()
  window.twice = []
  const columns = ["topic", "n"]
  window.lists = [
    [kept.rows("messages", { columns }), "messages?_c=topic&_c=n&_c=id"],
    [kept.rows("messages", { columns, where: { topic: "a" }, sort: ["-n", "id"], limit: 4 }),
      "messages?topic=a&_sort=-n&_sort=id&_limit=4&_c=topic&_c=n&_c=id"],
  ]
  for (const [rows] of lists) {
    rows.subscribe((value) => {
      const ids = value.map((row) => row.id)
      if (new Set(ids).size !== ids.length) twice.push(ids)
    })
  }
  window.write = (kind, topic) => {
    const n = Number(localStorage.count ?? 0)
    localStorage.count = n + 1
    const known = [...made]
    const id = known[n % known.length]
    const attempt = {
      post: () => {
        made.add(`m${n}`)
        return kept.post("messages", { id: `m${n}`, topic, n })
      },
      wrong: () => kept.post("messages", { id: `w${n}`, n: "many" }),
      put: () => id && kept.put("messages", { id, topic, n }),
    }[kind]()
    if (!attempt) return
    const mine = attempt.then(
      () => {},
      () => (refused += 1),
    ).finally(() => pending.delete(mine))
    pending.add(mine)
  }
  window.settled = async () => {
    await Promise.all(pending)
    await until(() => !kept.writes.length)
    for (const [rows, path] of lists) await equal(rows, path)
    const { value } = lists[0][0]
    return { ids: value.map((row) => row.id), made: [...made], twice, odd, refused }
  }
  // Wait until everything that was written is on the disk of the browser.
  window.leave = async () => {
    localStorage.made = JSON.stringify([...made])
    const opened = indexedDB.open("eventhub outbox")
    await new Promise((done) => (opened.onsuccess = done))
    const transaction = opened.result.transaction("writes", "readwrite")
    transaction.objectStore("writes").count()
    await new Promise((done) => (transaction.oncomplete = done))
  }
  await Promise.all(lists.map(([rows]) => rows.ready))
"""
WRITES = st.tuples(st.sampled_from(["post", "post", "put", "wrong"]), st.sampled_from("ab"))
FAULTS = st.sampled_from(["nothing", "cut", "stop", "kill", "another log", "close"])
STEP = st.tuples(st.lists(WRITES, max_size=12), FAULTS, st.booleans(), st.booleans())
"""Writes, what happens after them, whether answers to them are lost, whether all is awaited."""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with running_hub(tmp_path_factory.mktemp("hub"), CONFIG, {"page/index.html": INDEX}) as hub:
        yield hub


@pytest.fixture(scope="module")
def page(browser: Browser, hub: Hub) -> Iterator[Page]:
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(30_000)
    open_at(page, hub)
    yield page
    context.close()


def open_at(page: Page, hub: Hub) -> None:
    page.goto(hub.url)
    page.wait_for_function("window.hub !== undefined")
    ask(page, SETUP)


def happen(fault: str, page: Page, hub: Hub) -> None:
    if fault in ("nothing", "cut"):
        ask(page, "cut()" if fault == "cut" else "")
        return
    if fault == "close":
        ask(page, "await leave()")
        open_at(page, hub)
        return
    hub.stop() if fault == "stop" else hub.kill()
    if fault == "another log":
        (hub.folder / "data").rename(hub.folder / f"lost-{uuid4()}")
        ask(page, "await until(() => lists.every(([{state}]) => state !== 'live')); made.clear()")
    hub.start()


ALL = [("post", "a"), ("post", "b"), ("wrong", "a"), ("put", "a"), ("put", "b")]


@example(
    steps=[
        (ALL, "nothing", False, True),
        (ALL, "cut", True, True),
        (ALL, "kill", True, True),
        (ALL, "close", True, False),
        (ALL, "another log", False, True),
        (ALL, "stop", True, False),
    ]
)
@settings(max_examples=1, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(steps=st.lists(STEP, min_size=1, max_size=3))
def test_rows_end_as_a_get_answers_and_no_write_is_lost_or_doubled(
    steps: list[tuple[list[tuple[str, str]], str, bool, bool]], page: Page, hub: Hub
) -> None:
    """A write that was stored in a log that is gone is gone with it; every other one is there."""
    for writes, fault, is_deaf, is_awaited in steps:
        is_deaf = is_deaf and fault != "nothing"
        if is_deaf:
            ask(page, "deafen()")
        ask(page, "args.forEach((each) => write(...each))", *writes)
        if is_deaf:
            ask(page, "await missed()")
        happen(fault, page, hub)
        if is_awaited:
            ask(page, "await settled()")
    end = ask(page, "return settled()")
    assert end["twice"] == []
    assert len(set(end["ids"])) == len(end["ids"])
    assert end["odd"] == []
    missing = set(end["made"]) - set(end["ids"])
    assert not missing
