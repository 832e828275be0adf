"""Whatever happens between a page and its hub, its rows end as a GET, and each write is once."""

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
  window.stored = new Map()       // id of each durable write to its epoch
  window.refused = 0
  window.pending = new Set()
  window.twice = []
  const columns = ["topic", "n"]
  window.lists = [
    [hub.rows("messages", { columns }), "messages?_c=topic&_c=n&_c=id"],
    [hub.rows("messages", { columns, where: { topic: "a" }, sort: ["-n", "id"], limit: 4 }),
      "messages?topic=a&_sort=-n&_sort=id&_limit=4&_c=topic&_c=n&_c=id"],
  ]
  for (const [rows] of lists) {
    rows.subscribe((value) => {
      const ids = value.map((row) => row.id)
      if (new Set(ids).size !== ids.length) twice.push(ids)
    })
  }
  let count = 0
  window.write = (kind, topic) => {
    const n = count++
    const known = [...stored.keys()]
    const id = known[n % known.length]
    const attempt = {
      post: () => hub.post("messages", { id: `m${n}`, topic, n }),
      wrong: () => hub.post("messages", { id: `w${n}`, n: "many" }),
      put: () => id && hub.put("messages", { id, topic, n }),
    }[kind]()
    if (!attempt) return
    const mine = attempt.then(
      (receipt) => kind === "post" && stored.set(receipt.id, receipt.duplicate),
      (error) => {
        refused += 1
        if (!["bad_value", "not_found"].includes(error.code)) throw error
      },
    ).finally(() => pending.delete(mine))
    pending.add(mine)
  }
  window.settled = async () => {
    await Promise.all(pending)
    for (const [rows, path] of lists) await equal(rows, path)
    const { value } = lists[0][0]
    return { ids: value.map((row) => row.id), stored: [...stored.keys()], twice, refused }
  }
  await Promise.all(lists.map(([rows]) => rows.ready))
"""
WRITES = st.tuples(st.sampled_from(["post", "post", "put", "wrong"]), st.sampled_from("ab"))
FAULTS = st.sampled_from(["nothing", "cut", "stop", "kill", "another log"])
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
    page.goto(hub.url)
    page.wait_for_function("window.hub !== undefined")
    ask(page, SETUP)
    yield page
    context.close()


def happen(fault: str, page: Page, hub: Hub) -> None:
    if fault in ("nothing", "cut"):
        ask(page, "cut()" if fault == "cut" else "")
        return
    hub.stop() if fault == "stop" else hub.kill()
    if fault == "another log":
        (hub.folder / "data").rename(hub.folder / f"lost-{uuid4()}")
        ask(page, "await until(() => lists.every(([{state}]) => state !== 'live')); stored.clear()")
    hub.start()


ALL = [("post", "a"), ("post", "b"), ("wrong", "a"), ("put", "a"), ("put", "b")]


@example(
    steps=[
        (ALL, "nothing", False, True),
        (ALL, "cut", True, True),
        (ALL, "kill", True, True),
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
    missing = set(end["stored"]) - set(end["ids"])
    assert not missing
