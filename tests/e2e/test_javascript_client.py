"""The JavaScript client that every hub serves, in Chromium: rows, changes, writes, logins."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from playwright.sync_api import Browser, Page, Route

from tests.e2e.command import post
from tests.e2e.hub import Hub, HubFactory, running_hub
from tests.e2e.javascript import INDEX, ask
from tests.tokens import SECRET, token_of
from tests.waiting import until

CONFIG = f"""
auth: {{jwt: {{secret: {SECRET}}}}}
url:
  messages:
    pattern: /messages
    handler: MessageHandler
    kwargs: {{send: true, columns: {{topic: TEXT, body: TEXT, n: INTEGER, price: DECIMAL,
      done: BOOLEAN, at: TIMESTAMPTZ}}}}
  closed:
    pattern: /closed
    handler: MessageHandler
    kwargs: {{columns: {{body: TEXT, role: TEXT}}, auth: true,
      message_default: {{POST: {{role: handler.current_user.role}}}}}}
  page: {{pattern: /(.*), handler: FileHandler, kwargs: {{path: $YAMLPATH/page}}}}
"""
TEXTS = ["b", "B", "a", "", "é", "e\N{COMBINING ACUTE ACCENT}", "ﬁ", "\N{GRINNING FACE}", None]
"""Text whose order is not that of JavaScript's strings, and NULL."""
QUERIES: list[tuple[dict[str, Any], str]] = [
    ({}, ""),
    ({"sort": "body"}, "_sort=body"),
    ({"sort": "-body"}, "_sort=-body"),
    ({"sort": ["topic*", "-n"]}, "_sort=topic*&_sort=-n"),
    ({"sort": "-n", "limit": 3}, "_sort=-n&_limit=3"),
    ({"sort": ["done", "price"]}, "_sort=done&_sort=price"),
    ({"sort": "-at", "limit": 5}, "_sort=-at&_limit=5"),
    ({"limit": 2}, "_limit=2"),
    ({"where": {"topic": ["b", "a"], "n>~": 2}}, "topic=b&topic=a&n>~=2"),
    ({"where": {"topic": None}, "columns": ["id", "n"]}, "topic!&_c=id&_c=n"),
    ({"where": {"body*": "B & c"}}, "body*=B+%26+c"),
]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with running_hub(tmp_path_factory.mktemp("hub"), CONFIG, {"page/index.html": INDEX}) as hub:
        yield hub


@pytest.fixture
def hub(hub_factory: HubFactory, tmp_path: Path) -> Hub:
    """A hub that the test stops and starts."""
    folder = tmp_path / "own"
    (folder / "page").mkdir(parents=True)
    (folder / "page" / "index.html").write_text(INDEX)
    (folder / "eventhub.yaml").write_text(CONFIG)
    return hub_factory(folder / "eventhub.yaml")


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Any]:
    context = browser.new_context()

    def opened(hub: Hub, routes: dict[str, Callable[[Route], None]] | None = None) -> Page:
        page = context.new_page()
        page.set_default_timeout(20_000)
        for pattern, handle in (routes or {}).items():
            page.route(pattern, handle)
        page.goto(hub.url)
        page.wait_for_function("window.hub !== undefined")
        return page

    yield opened
    context.close()


@pytest.fixture
def page(open_page: Any, shared: Hub) -> Page:
    found: Page = open_page(shared)
    return found


def post_all(url: str, rows: list[dict[str, Any]]) -> None:
    headers = {"Content-Type": "application/json"}
    with urlopen(Request(url, json.dumps(rows).encode(), headers), timeout=20) as answer:
        assert all("_seq" in receipt for receipt in json.load(answer))


def lose_log(hub: Hub) -> None:
    hub.kill()
    (hub.folder / "data").rename(hub.folder / "lost")


# --- Rows


def test_rows_are_the_answer_to_a_get_whatever_is_written(page: Page) -> None:
    assert ask(
        page,
        """
        const topic = "enter"
        const rows = hub.rows("messages", { where: { topic } })
        const before = rows.value
        await rows.ready
        const other = await hub.post("messages", { id: "old", topic: "elsewhere", body: "0" })
        await hub.post("messages", { id: "a", topic, body: "1", n: "12", unknown: 1 })
        await hub.post("messages", { id: "b", topic, body: "2" })
        await hub.put("messages", { id: "b", n: 3 })
        await hub.put("messages", { id: "old", topic })          // enters, and is the oldest
        await until(() => bodies(rows).length === 3)
        const three = bodies(rows)
        await hub.put("messages", { id: "a", topic: "elsewhere" })
        await hub.delete("messages", "b")
        await until(() => bodies(rows).length === 1)
        return [before, three, bodies(rows), rows.state, rows.error, Object.isFrozen(rows.value)]
        """,
    ) == [[], ["0", "1", "2"], ["0"], "live", None, True]


def test_sorted_filtered_and_cut_rows_are_those_of_a_get(page: Page, shared: Hub) -> None:
    """Live messages do not name all columns, so that the client has to add NULL."""
    wrong = ask(
        page,
        """
        const [queries, texts] = args
        const path = (query) => "messages?id~=q-" + (query && "&" + query)
        for (const topic of ["b", null]) {
          await hub.post("messages", { id: `q-${topic}`, topic, n: 7, body: "b & C" })
        }
        const live = queries.map(([options]) => hub.rows("messages?id~=q-", options))
        let n = 0
        const write = async () => {
          for (const body of texts) {
            n += 1
            const at = `2026-01-01T00:00:00${n % 2 ? ".5" : ""}Z`
            const row = { id: `q-${n}`, body, topic: texts[(n * 7) % texts.length], n: n % 4 }
            const more = n % 3 ? { price: n / 4, at } : { done: n % 2 > 0 }
            await hub.post("messages", { ...row, ...more })
          }
        }
        await Promise.all(live.map((rows) => rows.ready))
        await write()
        await hub.put("messages", { id: "q-1", n: 99, body: "zz" })
        await hub.delete("messages", "q-2")
        live.push(...queries.map(([options]) => hub.rows("messages?id~=q-", options)))
        await Promise.all(live.map((rows) => rows.ready))
        const found = []
        for (const [place, rows] of live.entries()) {
          const query = queries[place % queries.length][1]
          const deadline = Date.now() + 3000
          let [got, expected] = []
          do [got, expected] = [shown(rows), await answered(path(query))]
          while (got !== expected && Date.now() < deadline)
          if (got !== expected) found.push([query, got, expected])
        }
        hub.close()
        return found
        """,
        QUERIES,
        TEXTS,
    )
    assert wrong == []


def test_what_did_not_change_keeps_its_identity(page: Page) -> None:
    assert ask(
        page,
        """
        const rows = hub.rows("messages", { where: { topic: "same" }, sort: "-n", limit: 2 })
        const calls = []
        rows.subscribe((value) => calls.push([value, rows.state]))
        await until(() => calls.length)
        for (const n of [1, 2, 3]) await hub.post("messages", { id: `s${n}`, topic: "same", n })
        await until(() => rows.value[0]?.n === 3)
        const [array, first] = [rows.value, rows.value[0]]
        await hub.put("messages", { id: "s1", body: "below the limit" })
        await hub.put("messages", { id: "s2", body: "seen" })
        await until(() => rows.value !== array)
        const second = rows.value[1] === array[1]
        const kept = [rows.value[0] === first, second, rows.value === rows.value]
        await until(() => calls.at(-1)[0] === rows.value)
        const changes = calls.every(([value, state], place) =>
          value !== calls[place - 1]?.[0] || state !== calls[place - 1][1])
        rows.close()
        return [...kept, changes, rows.state, calls[0][0].length]
        """,
    ) == [True, False, True, True, "ended", 0]


def test_rows_resume_and_change_to_another_log_at_once(open_page: Any, hub: Hub) -> None:
    """The page waits for its token, so that both logs have a row before it comes back."""
    page = open_page(hub)
    ask(
        page,
        """
        window.gate = Promise.withResolvers()
        const away = () => { gate = Promise.withResolvers() }
        window.back = () => gate.resolve(args[0])
        window.mine = new EventHub(location.origin, { token: () => gate.promise })
        back()
        window.rows = mine.rows("messages", { where: { topic: "Help" }, columns: ["body"] })
        window.seen = []
        rows.subscribe(() => {
          if (rows.state === "offline") away()
          seen.push([rows.state, bodies(rows).join()])
        })
        await mine.post("messages", { topic: "Help", body: "a" })
        await until(() => bodies(rows).join() === "a")
        """,
        token_of("ann"),
    )
    hub.kill()
    ask(page, "await until(() => rows.state === 'offline')")
    hub.start()
    post(f"{hub.url}/messages", topic="Help", body="b")
    ask(page, "back(); await until(() => bodies(rows).join() === 'a,b')")
    lose_log(hub)
    ask(page, "await until(() => rows.state === 'offline')")
    hub.start()
    post(f"{hub.url}/messages", topic="Help", body="c")
    seen = ask(page, "back(); await until(() => seen.at(-1)[1] === 'c'); return seen")
    texts = [text for _, text in seen]
    changes = [text for at, text in enumerate(texts) if texts[at - 1 : at] != [text]]
    assert changes[changes[0] == "" :] == ["a", "a,b", "c"], "never empty in between"
    assert {state for state, _ in seen} == {"connecting", "live", "offline"}


def test_a_limit_reads_no_more_than_it_needs_and_stays_the_answer_to_a_get(
    page: Page, shared: Hub
) -> None:
    """Rows beyond the limit take the place of those that go, until the page has to read again."""
    rows = [{"id": f"l-{n:03}", "topic": "limit", "n": n} for n in range(200)]
    post_all(f"{shared.url}/messages", rows)
    frames: list[Any] = []
    page.on(
        "websocket", lambda socket: socket.on("framereceived", lambda data: frames.append(data))
    )
    kept = ask(
        page,
        """
        const queries = [["n", ["-n"]], ["topic", ["topic", "-body"]], ["first", undefined]]
        const sorts = (sort = []) => sort.map((key) => "&_sort=" + key).join("")
        const path = (sort) => "messages?topic=limit&_limit=4" + sorts(sort)
        const where = { topic: "limit" }
        window.cut = queries.map(([, sort]) => hub.rows("messages", { where, sort, limit: 4 }))
        window.same = async () => {
          for (const [place, rows] of cut.entries()) await equal(rows, path(queries[place][1]))
        }
        await same()
        await hub.post("messages", { id: "l-new", topic: "limit", n: 500 })
        await hub.put("messages", { id: "l-199", n: -1 })                    // leaves the window
        await hub.put("messages", { id: "l-002", n: 400, body: "up" })       // unknown, enters it
        await hub.put("messages", { id: "l-001", topic: "elsewhere" })
        await hub.put("messages", { id: "l-001", topic: "limit" })           // created second
        await hub.put("messages", { id: "l-198", n: 198 })
        await same()
        const first = cut[0].value[0]
        await hub.put("messages", { id: "l-003", done: true })               // unknown, stays below
        for (const n of [-1, -2, -3, -4]) {                                  // below what is known
          await hub.post("messages", { id: `l-low${n}`, topic: "limit", n })
        }
        const all = "messages?topic=limit&_c=id&_sort=-n&_limit=70"
        const ids = await (await fetch(all)).json()
        await Promise.all(ids.slice(3).map(({ id }) => hub.delete("messages", id)))
        await same()
        return cut[0].value[0] === first
        """,
    )
    assert kept, "the rows that stayed are the same objects"
    sent = sum(len(json.loads(frame).get("_rows", ())) for frame in frames)
    assert sent < 3 * 200, "all rows would be more, at the first connections alone"


# --- The socket of a page


SOCKETS = """
    window.sockets = []
    window.sent = []
    const Native = window.WebSocket
    window.WebSocket = class extends Native {
      constructor(...args) { super(...args); sockets.push(this) }
      send(text) { sent.push(JSON.parse(text)); super.send(text) }
    }
"""


def test_all_of_a_page_to_one_hub_share_a_socket_until_nothing_is_read(page: Page) -> None:
    counts, others, ends = ask(
        page,
        SOCKETS
        + """
        const other = new EventHub()
        const lists = []
        const where = { topic: "shared" }
        for (let n = 0; n < 63; n++) {
          lists.push((n % 2 ? hub : other).rows(`messages?n=${n}`, { where }))
        }
        await Promise.all(lists.map((rows) => rows.ready))
        const counts = [sockets.length]
        const last = hub.rows("messages", { where })
        await last.ready
        counts.push(sockets.length)
        await hub.post("messages", { id: "s-1", topic: "shared", n: 7 })
        await until(() => last.value.length === 1 && lists[7].value.length === 1)
        const named = new EventHub(location.origin, { token: args[0] }).rows("closed")
        await named.ready
        counts.push(sockets.length)
        other.close()
        await hub.put("messages", { id: "s-1", n: 9 })
        await until(() => lists[9].value.length === 1 && lists[7].value.length === 0)
        const others = [lists[8].state, lists[9].state]
        lists.forEach((rows) => rows.close())
        named.close()
        await until(() => sockets[0].readyState > 1 && sockets[2].readyState > 1)
        const ends = sockets.map(({ readyState }) => readyState > 1)
        last.close()
        await until(() => sockets[1].readyState > 1)
        return [counts, others, ends]
        """,
        token_of("ann", role="x"),
    )
    assert counts == [1, 2, 3], "63 subscriptions fit, and a socket has one login"
    assert others == ["ended", "live"], "a hub that is closed leaves alone what it shares"
    assert ends == [True, False, True]


def test_a_number_is_used_again_once_its_subscription_has_ended(page: Page) -> None:
    numbers, found = ask(
        page,
        SOCKETS
        + """
        const found = []
        const keep = hub.rows("messages", { where: { topic: "kept" } })
        await keep.ready
        for (let n = 0; n < 5; n++) {
          const gone = hub.rows("messages", { where: { topic: `g${n - 1}` } })
          gone.close()
          const rows = hub.rows("messages", { where: { topic: `g${n}` } })
          await hub.post("messages", { id: `g${n}`, topic: `g${n}` })
          await until(() => rows.value.length === 1)
          found.push(gone.value.length)
          rows.close()
        }
        return [sent.filter((each) => each._subscribe).map((each) => each._subscribe), found]
        """,
    )
    assert found == [0] * 5
    assert max(numbers) < 6


def test_a_subscription_that_the_hub_ends_is_begun_again_and_loses_no_write(
    open_page: Any, hub: Hub
) -> None:
    page = open_page(hub)
    ask(
        page,
        SOCKETS
        + """
        window.rows = hub.rows("messages", { columns: ["n"] })
        window.other = hub.rows("messages?n=-1")
        await Promise.all([rows.ready, other.ready])
        window.ended = []
        sockets[0].addEventListener("message", ({ data }) => {
          const { _sub, _error } = JSON.parse(data)
          if (_error) ended.push([_sub > 0, _error.code])
        })
        window.writes = []
        window.writing = setInterval(() => {
          writes.push(hub.post("messages", { id: `e${writes.length}`, n: writes.length }))
        }, 10)
        """,
    )
    assert hub.process is not None
    for times in (1, 2):
        origin = f"https://page{times}.example.org"
        hub.config.write_text(CONFIG.replace("{send: true,", f"{{origins: ['{origin}'],", 1))
        os.kill(hub.process.pid, signal.SIGHUP)
        ends = f"ended.filter(([isEnd]) => isEnd).length === {2 * times}"
        lives = "[rows, other].every(({state}) => state === 'live')"
        page.wait_for_function(f"{ends} && {lives}")
    codes, duplicates, count, sockets = ask(
        page,
        """
        clearInterval(writing)
        const receipts = await Promise.all(writes)
        const found = await equal(rows, "messages?_c=id&_c=n")
        const codes = [...new Set(ended.filter(([isEnd]) => isEnd).map(([, code]) => code))]
        const duplicates = receipts.filter(({ duplicate }) => duplicate).length
        return [codes, duplicates, receipts.length - found.length, sockets.length]
        """,
    )
    assert codes == ["unavailable"]
    assert (duplicates, count, sockets) == (0, 0, 1)


def test_a_hub_that_rarely_ticks_is_asked_whether_it_is_there(page: Page) -> None:
    """The page's clock jumps over the silence, and over the time in which an answer is awaited."""
    page.clock.install()
    ask(page, SOCKETS + "window.rows = hub.rows('messages'); await rows.ready")
    for _ in range(3):
        page.clock.run_for(36_000)
        ask(page, "await until(() => sent.at(-1)._unsubscribe === 64)")
        ask(page, "await hub.post('messages', {topic: 'alive'}); sent.pop(); sent.pop()")
    assert ask(page, "return [sockets.length, rows.state]") == [1, "live"]
    ask(page, "sockets[0].onmessage = () => {}")
    page.clock.run_for(36_000)
    page.clock.run_for(21_000)
    ask(page, "await until(() => sockets.length === 2)")


# --- Writes


def test_writes_resolve_with_receipts_or_reject_with_the_hubs_error(page: Page) -> None:
    receipt, misspelt, refused, missing, own = ask(
        page,
        """
        const receipt = await hub.post("messages", { id: "w1", topic: "w" })
        const misspelt = await hub.put("messages", { id: "w1", bodi: "x", body: "y" })
        const key = { id: "w2", topic: "w", _key: "k" }
        return [
          receipt, misspelt.ignored,
          await refusal(hub.post("messages", { id: "w3", n: "many" })),
          await refusal(hub.delete("messages", "nope")),
          [await hub.post("messages", key), await hub.post("messages", key)],
        ]
        """,
    )
    assert receipt == {"id": "w1", "_seq": receipt["_seq"], "duplicate": False}
    assert misspelt == ["bodi"]
    assert (refused["code"], refused["column"], refused["retry"]) == ("bad_value", "n", False)
    assert refused["message"]
    assert missing["code"] == "not_found"
    assert own == [own[0], {**own[0], "duplicate": True}]


def test_a_page_that_only_writes_needs_no_rows_and_gets_none(page: Page) -> None:
    frames: list[Any] = []
    page.on(
        "websocket", lambda socket: socket.on("framereceived", lambda data: frames.append(data))
    )
    ask(
        page,
        """
        for (const n of [1, 2, 3]) await hub.post("messages", { id: `o${n}`, topic: "only", n })
        """,
    )
    assert not [frame for frame in frames if "_rows" in str(frame) or "_changes" in str(frame)]
    assert len([frame for frame in frames if "_ack" in str(frame)]) == 3


def test_a_module_that_could_not_be_loaded_is_loaded_again(open_page: Any, shared: Hub) -> None:
    """Some browsers remember the failure, and load nothing more from that URL."""
    lost: list[str] = []

    def lose(route: Route) -> None:
        name = route.request.url.rpartition("/")[2]
        if "?" in name:
            route.continue_()
        else:
            lost.append(name)
            route.abort()

    page = open_page(shared, {"**/client/writes.js*": lose, "**/client/changes.js*": lose})
    assert ask(
        page,
        """
        const { id } = await hub.post("messages", { id: "loaded", topic: "loaded", n: 1 })
        const query = { where: { topic: "loaded" }, since: "earliest" }
        for await (const change of hub.changes("messages", query)) return [id, change.row.n]
        """,
    ) == ["loaded", 1]
    assert lost == ["writes.js", "changes.js"]


def test_what_is_written_while_the_hub_is_away_is_stored_once_and_in_order(
    open_page: Any, hub: Hub
) -> None:
    page = open_page(hub)
    ask(page, "window.rows = hub.rows('messages', {columns: ['n', 'body']}); await rows.ready")
    hub.kill()
    ask(
        page,
        """
        await until(() => rows.state === "offline")
        window.writes = [1, 2, 3].map((n) => hub.post("messages", { id: `m${n}`, n }))
        window.writes.push(hub.put("messages", { id: "m3", body: "after" }))
        const full = new EventHub()
        const many = Array.from({ length: 1001 }, () => full.post("messages", { body: "extra" }))
        window.bound = await refusal(Promise.all(many))
        full.close()
        """,
    )
    hub.start()
    receipts, bound, ids = ask(
        page,
        """
        const receipts = await Promise.all(writes)
        await equal(rows, "messages?_c=n&_c=body&_c=id")
        return [receipts, bound.code, rows.value.slice(0, 3).map((row) => [row.id, row.body])]
        """,
    )
    assert [receipt["duplicate"] for receipt in receipts] == [False] * 4
    assert bound == "too_many"
    assert ids == [["m1", None], ["m2", None], ["m3", "after"]]


# --- Changes


def test_changes_go_on_from_a_position_and_tell_when_they_cannot(open_page: Any, hub: Hub) -> None:
    page = open_page(hub)
    received: list[str | bytes] = []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda f: received.append(f)))
    take = """
        window.take = async (count, options) => {
          const found = []
          for await (const change of hub.changes("messages", options)) {
            found.push(change)
            if (found.length === count) return found
          }
        }
    """
    first, rest = ask(
        page,
        take
        + """
        await hub.post("messages", { id: "a", topic: "t", n: 1 })
        await hub.put("messages", { id: "a", n: 2 })
        await hub.post("messages", { id: "b", topic: "u" })
        await hub.delete("messages", "a")
        const first = await take(1, { since: "earliest", where: { topic: "t" } })
        return [first, await take(2, { since: first[0].position, where: { topic: "t" } })]
        """,
    )
    assert [first[0]["method"], first[0]["id"], first[0]["row"]["n"]] == ["POST", "a", 1]
    assert [(each["method"], each["id"]) for each in rest] == [("PUT", "a"), ("DELETE", "a")]
    assert rest[0]["row"] == {"id": "a", "n": 2}
    hub.kill()
    hub.start()
    ask(page, "window.going = take(3, { since: args[0] })", first[0]["position"])
    assert len(ask(page, "return going")) == 3
    lose_log(hub)
    hub.start()
    post(f"{hub.url}/messages", id="new")
    reset = ask(page, "return take(2, { since: args[0] })", rest[1]["position"])
    assert [each["method"] for each in reset] == ["RESET", "POST"]
    assert [each["position"] for each in reset] == [None, None], "nothing to go on from yet"
    error = ask(page, "return refusal(take(1, { since: 'tomorrow' }))")
    assert error["code"] == "bad_position"
    ask(page, "window.going = take(1)")

    def has_sent() -> bool:
        post(f"{hub.url}/messages", _method="SEND", topic="t")
        page.wait_for_timeout(20)
        return '"SEND"' in str(received)

    until(has_sent)
    post(f"{hub.url}/messages", id="after")
    assert [each["id"] for each in ask(page, "return going")] == ["after"], "it changed nothing"


def test_the_log_has_each_event_with_what_was_there_before(page: Page) -> None:
    events, ended, past = ask(
        page,
        """
        const where = { topic: "log" }
        await hub.post("messages", { id: "e1", topic: "log", body: "a" })
        await hub.put("messages", { id: "e1", body: "b" })
        const begun = new Date(Date.now() + 3_600_000)
        const read = async (options) => {
          const found = []
          const columns = ["body"]
          for await (const event of hub.log("messages", { where, columns, ...options })) {
            const { method, id, row, was, time } = event
            found.push([method, id, row?.body, was?.body, time instanceof Date])
            if (found.length === 3) break
          }
          return found
        }
        const live = read({})
        await hub.delete("messages", "e1")
        const until = new Date(Date.now() - 3_600_000)
        const ended = [await read({ since: begun, until: "now" }), await read({ until })]
        return [await live, ...ended.map((events) => events.length)]
        """,
    )
    assert events == [
        ["POST", "e1", "a", None, True],
        ["PUT", "e1", "b", "a", True],
        ["DELETE", "e1", None, "b", True],
    ]
    assert (ended, past) == (0, 0)


# --- Logins


def test_a_refused_page_ends_with_the_reason_and_does_not_return(page: Page) -> None:
    opened: list[str] = []
    page.on("websocket", lambda socket: opened.append(socket.url))
    codes = ask(
        page,
        """
        window.good = hub.rows("messages", { where: { topic: "good" } })
        const rows = hub.rows("closed")
        const bad = hub.rows("messages", { where: { nosuch: 1, "n>": "x" } })
        const found = [await refusal(rows.ready), await refusal(bad.ready)]
        const write = await refusal(hub.post("closed", { body: "x" }))
        await good.ready
        return [...found.map(({ code }) => code), write.code, rows.state, rows.error.code]
        """,
    )
    assert codes == ["unauthorized", "bad_filter", "unauthorized", "ended", "unauthorized"]
    assert (len(opened), ask(page, "return good.state")) == (1, "live"), "the others go on"


def test_a_token_is_asked_for_before_each_connection_and_renewed_in_band(
    open_page: Any, hub: Hub
) -> None:
    page = open_page(hub)
    opened: list[str] = []
    page.on("websocket", lambda socket: opened.append(socket.url))
    ends = int(time.time()) + 33
    tokens = [token_of("ann", exp=ends, role="old"), token_of("ann", role="new")]
    roles = ask(
        page,
        """
        window.asked = 0
        const token = async () => args[Math.min(asked++, 1)]
        window.mine = new EventHub(location.origin, { token })
        window.rows = mine.rows("closed")
        await rows.ready
        await mine.post("closed", { id: "a" })
        await until(() => asked === 2)
        await mine.post("closed", { id: "b" })
        await until(() => rows.value.length === 2)
        return rows.value.map((row) => row.role)
        """,
        *tokens,
    )
    assert (roles, len(opened)) == (["old", "new"], 1)
    hub.kill()
    hub.start()
    assert ask(page, "await until(() => rows.state === 'live'); return asked") >= 3


def test_a_token_that_cannot_be_had_is_asked_for_again(page: Page) -> None:
    assert ask(
        page,
        """
        let asked = 0
        const token = () => asked++ ? args[0] : Promise.reject(new Error("offline"))
        const rows = new EventHub(location.origin, { token }).rows("closed")
        await rows.ready
        return [asked, rows.state]
        """,
        token_of("ann", role="x"),
    ) == [2, "live"]


@pytest.mark.parametrize(
    "where", ["{topic: undefined}", "{topic: ''}", "{topic: []}", "{topic: [null]}", "{_limit: 1}"]
)
def test_a_condition_that_would_widen_the_answer_is_the_pages_mistake(
    where: str, page: Page
) -> None:
    rows = f"hub.rows('messages', {{where: {where}}})"
    script = f"try {{ {rows} }} catch (error) {{ return `${{error}}` }}"
    assert "expected a column and a value" in ask(page, script)
