"""The package of `clients/javascript`, installed into an empty project, and its adapters.

They need npm, and those of React and TanStack DB also its registry; otherwise they are skipped.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.e2e.command import post
from tests.e2e.hub import Hub, running_hub

PACKAGE = Path(__file__).parents[2] / "clients" / "javascript"
ESBUILD = PACKAGE.parents[1] / "eventhub/gateway/console/web/node_modules/.bin/esbuild"
ADAPTED = ("react@19", "react-dom@19", "@tanstack/db@0.15", "typescript@7")
DOCS = (PACKAGE.parents[1] / "docs" / "javascript.md").read_text("utf-8")
SNIPPETS = dict(re.findall(r"^```(jsx|ts)\n(.*?)^```$", DOCS, re.MULTILINE | re.DOTALL))
CONFIG = """
url:
  messages:
    pattern: /messages
    handler: MessageHandler
    kwargs: {columns: {topic: TEXT, body: TEXT, n: INTEGER}, send: true}
  page: {pattern: /(.*), handler: FileHandler, kwargs: {path: $YAMLPATH/page}}
"""
COMMONJS = {
    "react": "react/cjs/react.development.js",
    "scheduler": "scheduler/cjs/scheduler.development.js",
    "react-dom": "react-dom/cjs/react-dom.development.js",
    "react-dom/client": "react-dom/cjs/react-dom-client.development.js",
}
"""What React consists of: browsers load modules only."""
INDEX = """<!doctype html><link rel="icon" href="data:,">
<script type="importmap">{"imports": {"react": "/react.js"}}</script>
<main></main>
<script type="module">
  import { EventHub } from "/-/client.js"
  import { useRows } from "/-/client/react.js"
  import { React, createRoot } from "/react.js"
  const { createElement, StrictMode } = React
  window.hub = new EventHub()
  window.rendered = []
  function List({ topic }) {
    const live = useRows(hub, "messages", { where: { topic } })
    rendered.push(live)
    return createElement("ul", { title: live.state },
      live.rows.map((row) => createElement("li", { key: row.id }, row.body)))
  }
  const root = createRoot(document.querySelector("main"))
  const lists = (...topics) => createElement(StrictMode, null,
    topics.map((topic, key) => createElement(List, { key, topic })))
  window.show = (...topics) => root.render(lists(...topics))
  show("Help", "Help")
</script>
"""


def run(command: list[str], folder: Path, **more: str) -> str:
    """Run a command; return what it prints.

    Raises:
        RuntimeError: it failed; the error has what it said.
    """
    ran = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **more},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if ran.returncode:
        raise RuntimeError(f"{command}: {ran.stdout[-2000:]} {ran.stderr[-2000:]}")
    return ran.stdout


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with nothing but the package in it."""
    if not shutil.which("npm"):
        pytest.skip("needs npm")
    folder = tmp_path_factory.mktemp("project")
    run(["npm", "pack", str(PACKAGE), "--pack-destination", "."], folder)
    (folder / "package.json").write_text('{"private": true, "type": "module"}')
    [archive] = folder.glob("*.tgz")
    run(["npm", "install", "--offline", "--no-audit", "--no-fund", f"./{archive.name}"], folder)
    return folder


@pytest.fixture(scope="module")
def adapted(project: Path) -> Path:
    """The project with what the adapters adapt to."""
    try:
        run(["npm", "install", "--no-audit", "--no-fund", *ADAPTED], project)
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"npm cannot install {', '.join(ADAPTED)}: {error}")
    return project


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with running_hub(tmp_path_factory.mktemp("hub"), CONFIG, {"page/index.html": INDEX}) as hub:
        yield hub


def node(project: Path, script: str, hub: Hub) -> Any:
    """Run a module in the project; return what it prints as JSON."""
    (project / "main.js").write_text(f"const url = {json.dumps(hub.url)}\n{script}")
    flag = "--experimental-websocket"  # the default from Node.js 22 on
    return json.loads(run(["node", flag, "main.js"], project, NODE_NO_WARNINGS="1"))


def test_the_package_works_in_an_empty_project(project: Path, hub: Hub) -> None:
    script = """
        import { EventHub, EventHubError } from "@eventhub/client"
        import { persist } from "@eventhub/client/outbox"
        import { sent } from "@eventhub/client/ephemeral"
        const hub = persist(new EventHub(url))
        const rows = hub.rows("messages", { where: { topic: "node" }, sort: "n", limit: 2 })
        await rows.ready
        for (const n of [3, 1, 2]) await hub.post("messages", { id: `n${n}`, topic: "node", n })
        const refused = await hub.put("messages", { id: "nope" }).catch((error) => error)
        const log = []
        for await (const { id } of hub.log("messages", { where: { topic: "node" } })) {
          if (log.push(id) === 3) break
        }
        while (rows.value.some(({ _write }) => _write)) {
          await new Promise((done) => rows.subscribe(done))
        }
        const heard = sent(hub, "messages", { where: { topic: "node" } })
        await heard.ready
        const message = new Promise((done) => heard.subscribe(done))
        await hub.send("messages", { topic: "node", typing: true })
        const codes = [refused instanceof EventHubError, refused.code, (await message).typing]
        console.log(JSON.stringify([rows.value.map(({ id }) => id), codes, log]))
        hub.close()
        process.exit()
    """
    assert node(project, script, hub) == [
        ["n1", "n2"],
        [True, "not_found", True],
        ["n3", "n1", "n2"],
    ]


def test_a_bundle_of_it_is_made_without_a_warning_and_writes(project: Path, hub: Hub) -> None:
    if not ESBUILD.exists():
        pytest.skip("needs the bundler of the console: make .venv/console")
    page = project / "page.js"
    page.write_text("""
        import { EventHub } from "@eventhub/client"
        export const post = (url, message) => new EventHub(url).post("messages", message)
    """)
    flags = ["--bundle", "--format=esm", "--splitting", "--outdir=bundle", "--log-level=warning"]
    made = subprocess.run(
        [ESBUILD, page.name, *flags],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert made.stderr == ""
    shutil.move(project / "node_modules" / "@eventhub", project / "away")
    try:
        script = """
            import { post } from "./bundle/page.js"
            console.log(JSON.stringify((await post(url, { id: "bundled" })).id))
            process.exit()
        """
        assert node(project, script, hub) == "bundled"
    finally:
        shutil.move(project / "away", project / "node_modules" / "@eventhub")


def test_on_a_server_react_renders_no_rows_and_opens_nothing(adapted: Path, hub: Hub) -> None:
    script = """
        import { EventHub } from "@eventhub/client"
        import React from "react"
        import { renderToString } from "react-dom/server"
        globalThis.WebSocket = class { constructor() { throw new Error("opened") } }
        const { Messages } = await import("./made/messages.js")
        const hubs = [new EventHub(url), null]
        const made = hubs.map((hub) => renderToString(React.createElement(Messages, { hub })))
        console.log(JSON.stringify(made))
    """
    code = f'import React from "react"\n{SNIPPETS["jsx"]}\nexport {{ Messages }}'
    (adapted / "messages.jsx").write_text(code)
    flags = ["--allowJs", "--noCheck", "--jsx", "react", "--module", "nodenext", "--outDir", "made"]
    run(["node_modules/.bin/tsc", *flags, "messages.jsx"], adapted)
    assert node(adapted, script, hub) == ['<ol aria-busy="true"></ol>'] * 2


def test_the_types_are_those_of_the_code_on_the_page(adapted: Path) -> None:
    code = f"""
        import {{ EventHub, EventHubError, type Row }} from "@eventhub/client"
        import {{ persist, type OptimisticRow }} from "@eventhub/client/outbox"
        import {{ presence, sent, type Present }} from "@eventhub/client/ephemeral"
        import {{ useRows }} from "@eventhub/client/react"
        const hub = new EventHub("https://hub.example.org", {{ token: async () => "t" }})
        {SNIPPETS["ts"]}
        const where = {{ "n>": [1, 2], a: null }}
        const rows = hub.rows("messages", {{ where, sort: "-n", limit: 5 }})
        const ready: readonly Row[] = await rows.ready
        const lasting = persist(hub)
        const first: OptimisticRow | undefined = lasting.rows("messages").value[0]
        const live: string = useRows(lasting, "messages").state
        const present: Present = presence(lasting, "messages").value
        const stop: () => void = sent(hub, "messages", {{ where }}).subscribe(({{ user }}) => user)
        for await (const {{ was, time }} of hub.log("messages")) void [was, time]
        interface Message {{ readonly id: string; readonly body: string | null }}
        const body: string | null | undefined = hub.rows<Message>("messages").value[0]?.body
        const kept: string | null = lasting.rows<Message>("messages").value[0]!.body
        const used: number = useRows<Message>(hub, "messages").rows[0]!._seq
        for await (const {{ row }} of hub.changes<Message>("messages")) row?.body?.length
        for await (const {{ row }} of hub.log<Message>("messages")) row?.body?.length
        // @ts-expect-error: a column that the endpoint does not have
        useRows<Message>(hub, "messages").rows[0]!.bdy
        // @ts-expect-error: an update needs the id of its row
        await hub.put("messages", {{ body: "x" }})
        messages.insert({{ id: "a", _seq: 0, _created: 0 }})
        export {{ EventHubError, ready, first, live, present, stop, body, kept, used }}
    """
    (adapted / "check.ts").write_text(code)
    flags = ["--noEmit", "--strict", "--skipLibCheck", "--target", "es2022", "--module", "nodenext"]
    run(["node_modules/.bin/tsc", *flags, "check.ts"], adapted)


def test_in_strict_mode_components_share_one_socket_and_close_it(
    adapted: Path, hub: Hub, browser: Browser
) -> None:
    modules = adapted / "node_modules"
    parts = [
        f"define({json.dumps(name)}, (exports, require, process, module) => {{\n"
        f"{(modules / path).read_text()}\n}})"
        for name, path in COMMONJS.items()
    ]
    (hub.folder / "page" / "react.js").write_text(
        """
        const made = {}, makers = {}
        const define = (name, maker) => (makers[name] = maker)
        const process = { env: { NODE_ENV: "development" } }
        function require(name) {
          if (!made[name]) {
            made[name] = {}
            makers[name](made[name], require, process, {})
          }
          return made[name]
        }
        """
        + "\n".join(parts)
        + """
        export const React = require("react")
        export const { createRoot } = require("react-dom/client")
        export const { useMemo, useSyncExternalStore } = React
        """
    )
    post(f"{hub.url}/messages", topic="Help", body="past", id="past")
    page = browser.new_page()
    failures: list[str] = []
    opened: list[str] = []
    page.on("pageerror", lambda error: failures.append(str(error)))
    page.on("websocket", lambda socket: opened.append(socket.url))
    with page.expect_websocket() as first:
        page.goto(hub.url)
    items = page.get_by_role("listitem")
    expect(items).to_have_text(["past", "past"])
    expect(page.get_by_role("list").first).to_have_attribute("title", "live")
    post(f"{hub.url}/messages", topic="Help", body="news", id="news")
    expect(items).to_have_text(["past", "news", "past", "news"])
    assert len(opened) == 1, "StrictMode mounts, unmounts and mounts again"
    assert page.evaluate("rendered.at(-1) === rendered.at(-2)")
    page.evaluate("show('Other')")
    expect(items).to_have_count(0)
    expect(page.get_by_role("list").first).to_have_attribute("title", "live")
    assert len(opened) == 1, "what follows uses the same socket"
    with first.value.expect_event("close"):
        page.evaluate("show()")
    page.evaluate("show('Help')")
    expect(items).to_have_text(["past", "news"])
    assert len(opened) == 2
    page.close()
    assert failures == []


def test_a_collection_of_tanstack_db_follows_and_writes(adapted: Path, hub: Hub) -> None:
    script = """
        import { EventHub } from "@eventhub/client"
        const hub = new EventHub(url)
        SNIPPET
        await hub.post("messages", { id: "d1", topic: "db", body: "past" })
        const collection = messages
        await collection.preload()
        const pairs = (rows) => rows.map(({ id, body }) => [id, body])
        const bodies = () => Object.fromEntries(pairs([...collection.values()]))
        const found = [bodies()]
        const insert = collection.insert({ id: "d2", topic: "db", body: "new" })
        found.push(bodies())
        await insert.isPersisted.promise
        const seq = collection.get("d2")._seq
        await collection.update("d2", (row) => { row.body = "changed" }).isPersisted.promise
        found.push(bodies(), collection.get("d2")._seq > seq)
        await collection.delete("d1").isPersisted.promise
        found.push(bodies())
        const wrong = collection.insert({ id: "d3", topic: "db", body: "wrong", n: "many" })
        found.push(bodies(), await wrong.isPersisted.promise.catch((error) => error.code), bodies())
        await hub.post("messages", { id: "d4", topic: "db", body: "other" })
        while (!collection.has("d4")) await new Promise((done) => setTimeout(done, 10))
        const answer = await (await fetch(`${url}/messages?topic=db`)).json()
        found.push(pairs(answer), Object.entries(bodies()))
        console.log(JSON.stringify(found))
        process.exit()
    """
    script = script.replace("SNIPPET", SNIPPETS["ts"].replace("Help", "db"))
    past, at_once, changed, is_newer, deleted, wrong, code, after, answer, held = node(
        adapted, script, hub
    )
    assert past == {"d1": "past"}
    assert at_once == {"d1": "past", "d2": "new"}
    assert changed == {"d1": "past", "d2": "changed"}
    assert is_newer
    assert deleted == {"d2": "changed"}
    assert wrong == {"d2": "changed", "d3": "wrong"}
    assert (code, after) == ("bad_value", {"d2": "changed"})
    assert sorted(held) == sorted(answer) == [["d2", "changed"], ["d4", "other"]]
