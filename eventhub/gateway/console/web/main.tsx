// The frame of the console: navigation, keys, the theme, and the view that the address names.
import { type ComponentType, render } from "preact"
import { useEffect, useState } from "preact/hooks"
import { Help } from "./help"
import { type Key, useKeys } from "./keys"
import { ask, me, problem } from "./me"
import { Navigation } from "./navigation"
import { Empty, Loading, Problem } from "./parts/states"
import { go, view } from "./router"
import { nextTheme } from "./theme-switch"
import { views } from "./views"

const help: { open: () => void } = { open: () => {} }
const frameKeys: Key[] = [
  { key: "/", does: "Go to the filter", run: () => document.querySelector<HTMLElement>("[data-filter]")?.focus() },
  { key: "?", does: "List the keys", run: () => help.open() },
  { key: "t", does: "Light, dark, or as the system", run: nextTheme },
]

function Frame() {
  const [isHelping, setHelping] = useState(false)
  const allowed = Object.keys(views).filter((name) => me.value?.views[name] === null)
  const [goKeys, setGoKeys] = useState<Key[]>([])
  const names = allowed.join()
  help.open = () => setHelping(true)
  useEffect(() => {
    setGoKeys(allowed.map((name) => ({ key: `g ${views[name]!.key}`, does: views[name]!.title, run: () => go(name) })))
  }, [names])
  useKeys("Everywhere", frameKeys)
  useKeys("Go to", goKeys)
  const chosen = view.value || allowed[0]
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => { event.preventDefault(); document.querySelector<HTMLElement>("main h1")?.focus() }}>Skip to the content</a>
      <Navigation names={allowed} chosen={chosen} onHelp={() => setHelping(true)} />
      <main id="main">
        {me.value === null ? (problem.value ? <Problem error={problem.value} retry={ask} /> : <Loading />)
          : chosen === undefined ? <Nothing />
          : <Chosen key={chosen} name={chosen} />}
      </main>
      {isHelping && <Help onClose={() => setHelping(false)} />}
    </>
  )
}

function Nothing() {
  return (
    <Empty title="There is nothing here for you">
      <p>Log in as another user, or ask the operator of this hub for access to its endpoints.</p>
    </Empty>
  )
}

function Chosen({ name }: { name: string }) {
  const [loaded, setLoaded] = useState<{ View?: ComponentType; error?: Error }>({})
  const reason = me.value?.views[name]
  const known = views[name]
  useEffect(() => {
    if (reason === null && known) {
      known.load().then((module) => setLoaded({ View: module.default }), (error) => setLoaded({ error }))
    }
  }, [name, reason])
  if (!known || reason === undefined) return <Empty title="There is no such view">Choose one from the navigation.</Empty>
  if (reason !== null) return <Empty title={`You may not see ${known.title}`}>{reason}</Empty>
  if (loaded.error) return <Problem error={loaded.error} retry={() => location.reload()} />
  return loaded.View ? <loaded.View /> : <Loading />
}

ask()
render(<Frame />, document.getElementById("app")!)
