"""JavaScript: a page of a hub that imports its client, and what tests ask of it."""

from typing import Any

from playwright.sync_api import Page

INDEX = """<!doctype html><link rel="icon" href="data:,">
<script type="module">
  import { EventHub, EventHubError } from "/-/client.js"
  Object.assign(window, { EventHub, EventHubError, hub: new EventHub() })

  // Wait until something is true. A page that never becomes so fails by its test's deadline.
  window.until = async (holds) => {
    for (;;) {
      const found = await holds()
      if (found) return found
      await new Promise((done) => setTimeout(done, 20))
    }
  }

  const plain = ({ _seq, _created, ...row }) => Object.fromEntries(Object.entries(row).sort())
  window.shown = (rows) => JSON.stringify(rows.value.map(plain))
  window.answered = async (path) => JSON.stringify((await (await fetch(path)).json()).map(plain))
  // Wait until live rows are the answer to a GET; return them.
  window.equal = async (rows, path) => {
    await rows.ready
    await until(async () => shown(rows) === await answered(path))
    return rows.value
  }
  window.bodies = (rows) => rows.value.map((row) => row.body)
  window.refusal = (promise) => promise.then(() => "accepted", (error) => {
    if (!(error instanceof EventHubError)) throw error
    return { ...error, message: error.message }
  })
</script>
"""
"""`page/index.html`, served at `/`."""


def ask(page: Page, script: str, *args: Any) -> Any:
    """Run the body of an async function in a page, with `args`; return what it returns."""
    return page.evaluate(f"async (args) => {{ {script} }}", list(args))
