import { useEffect, useMemo, useRef, useState } from "preact/hooks"
import type { SqlHandler } from "../explore/endpoints"
import { Grid } from "../explore/grid"
import { counted, useEndpoints } from "../explore/hub"
import { limitsOf } from "../explore/limits"
import { Plotted } from "../explore/plotted"
import { type Answer, answerOf, fileUrl, parametersOf, tablesOf, type Tables } from "../explore/statement"
import { Button } from "../parts/button"
import { Field } from "../parts/field"
import { Page } from "../parts/page"
import { Empty, Loading, Problem } from "../parts/states"
import { params, setParams } from "../router"
import { views } from "../views"

const FILES = ["csv", "parquet", "arrow", "ndjson"]

export default function Sql() {
  const { handlers, error, reload } = useEndpoints()
  const path = params.value.get("path")
  const handler = path ? handlers?.find((each) => each.path === path) : handlers?.[0]
  return (
    <Page title="SQL" about={views.sql!.about}>
      {!handlers ? (error ? <Problem error={error} retry={reload} /> : <Loading />)
        : handler ? <Workbench key={handler.path} handler={handler} handlers={handlers} />
        : <Empty title={path ? `There is no SQLHandler ${path} that you may use` : "There is no SQLHandler that you may use"}>Log in as another user, or add one to the configuration.</Empty>}
    </Page>
  )
}

function Workbench({ handler, handlers }: { handler: SqlHandler; handlers: SqlHandler[] }) {
  const [given, give] = useState(params.value.get("sql") ?? "")
  const [sql, setSql] = useState(given)
  const [tables, setTables] = useState<Tables | null>(null)
  const [answer, setAnswer] = useState<Answer | null>(null)
  const [error, setError] = useState<Error | null>(null)
  const [isBusy, setBusy] = useState(false)
  const abort = useRef<AbortController | null>(null)
  const names = useMemo(() => parametersOf(sql), [sql])
  const [values, setValues] = useState(valuesInAddress)
  const latest = useRef({ sql, values })
  latest.current = { sql, values }

  useEffect(() => {
    const asking = new AbortController()
    tablesOf(handler.path, asking.signal).then(
      (found) => {
        setTables(found)
        const first = Object.keys(found)[0]
        if (!latest.current.sql && first) give(`SELECT *\nFROM ${first}\nLIMIT 100`)
      },
      (failed) => asking.signal.aborted || (setTables({}), setError(failed)),
    )
    return () => (asking.abort(), abort.current?.abort())
  }, [])

  // The address may be another one: after Back, or a link.
  const asked = params.value.get("sql") ?? ""
  const addressed = useRef("")
  useEffect(() => {
    if (!asked || asked === addressed.current) return
    give(asked)
    setSql(asked)
    setValues(valuesInAddress)
    run(asked, valuesInAddress())
  }, [asked])

  async function run(sql = latest.current.sql, values = latest.current.values) {
    addressed.current = sql
    if (!sql.trim()) return
    abort.current?.abort()
    const mine = (abort.current = new AbortController())
    const given = Object.fromEntries(parametersOf(sql).map((name) => [name, values[name] ?? ""]))
    setParams({ ...Object.fromEntries([...params.value.keys()].filter((name) => name.startsWith("$")).map((name) => [name, ""])), path: handler.path, sql, ...Object.fromEntries(Object.entries(given).map(([name, value]) => [`$${name}`, value])) })
    setBusy(true)
    try {
      setAnswer(await answerOf(handler.path, sql, given, mine.signal))
      setError(null)
    } catch (failed) {
      if (mine.signal.aborted) return
      setError(failed as Error)
      setAnswer(null)
    }
    setBusy(false)
  }

  return (
    <>
      <form class="stack" onSubmit={(event) => (event.preventDefault(), run())}>
        {handlers.length > 1 && (
          <label class="picker">
            <span class="unseen">SQLHandler</span>
            <select value={handler.path} onChange={(event) => setParams({ path: event.currentTarget.value, sql: "" })}>
              {handlers.map(({ path }) => <option key={path} value={path}>{path}</option>)}
            </select>
          </label>
        )}
        <Editor given={given} tables={tables} onInput={setSql} onRun={() => run()} />
        {names.length > 0 && (
          <div class="fields">
            {names.map((name) => (
              <Field key={name} label={`$${name}`} value={values[name] ?? ""} wrong={error && "column" in error && error.column === name ? error.message : undefined} onInput={(text) => setValues({ ...values, [name]: text })} autocomplete="off" />
            ))}
          </div>
        )}
        <div class="run">
          <Button type="submit" kind="primary" disabled={!sql.trim()} aria-keyshortcuts="Control+Enter">{isBusy ? "Running…" : "Run"}</Button>
          <span class="soft"><kbd>Ctrl</kbd><kbd>Enter</kbd></span>
          {handler.limits && <span class="soft limits">{limitsOf(handler.limits)}</span>}
        </div>
      </form>
      {tables && Object.keys(tables).length > 0 && !answer && !error && <Schema tables={tables} />}
      {error && <Problem error={error} />}
      {answer && <Result answer={answer} path={handler.path} />}
    </>
  )
}

/** The values of parameters, which have a `$` in the address. */
function valuesInAddress(): Record<string, string> {
  return Object.fromEntries([...params.value].flatMap(([name, value]) => (name.startsWith("$") ? [[name.slice(1), value]] : [])))
}

interface EditorProps {
  /** What it starts with; another text replaces what has been written. */
  given: string
  tables: Tables | null
  onInput: (text: string) => void
  onRun: () => void
}

/** CodeMirror, once it has been loaded. */
function Editor({ given, tables, onInput, onRun }: EditorProps) {
  const place = useRef<HTMLDivElement>(null)
  const editor = useRef<import("../explore/editor").Editor | null>(null)
  const latest = useRef({ given, tables, onInput, onRun })
  latest.current = { given, tables, onInput, onRun }
  useEffect(() => {
    let isGone = false
    import("../explore/editor").then(({ edit }) => {
      if (isGone) return
      editor.current = edit(place.current!, { onInput: (text) => latest.current.onInput(text), onRun: () => latest.current.onRun() })
      editor.current.set(latest.current.given)
      if (latest.current.tables) editor.current.complete(latest.current.tables)
    })
    return () => {
      isGone = true
      editor.current?.destroy()
    }
  }, [])
  useEffect(() => editor.current?.set(given), [given])
  useEffect(() => { if (tables) editor.current?.complete(tables) }, [tables])
  // The frame would take the keys for its own: what is typed comes from a shadow root.
  const press = (event: KeyboardEvent) => {
    event.stopPropagation()
    if (event.key === "Escape" && !event.defaultPrevented) editor.current?.blur()
  }
  return <div class="editor" ref={place} data-filter tabIndex={-1} onFocus={() => editor.current?.focus()} onKeyDown={press} />
}

function Schema({ tables }: { tables: Tables }) {
  return (
    <section class="stack">
      <h2>Tables</h2>
      <div class="cards">
        {Object.entries(tables).map(([name, columns]) => (
          <div class="card" key={name}>
            <h3><code>{name}</code></h3>
            <p class="soft columns">{columns.map((each) => <code key={each}>{each}</code>)}</p>
          </div>
        ))}
      </div>
    </section>
  )
}

function Result({ answer, path }: { answer: Answer; path: string }) {
  const isPlot = params.value.get("as") === "plot"
  const choose = (as: string) => setParams({ as: as === "plot" ? as : "" })
  return (
    <section class="stack" aria-label="Answer">
      <div class="summary">
        <span role="status">{counted(answer.rows.length, "row")}{answer.isCut && ": the first ones, there are more"}</span>
        <span class="soft">{answer.milliseconds.toLocaleString()} ms</span>
        <fieldset class="tabs">
          <legend class="unseen">Show as</legend>
          {["table", "plot"].map((each) => <label key={each}><input type="radio" name="as" checked={isPlot === (each === "plot")} onChange={() => choose(each)} /><span>{each === "plot" ? "Plot" : "Table"}</span></label>)}
        </fieldset>
        <span class="files">{FILES.map((each) => <a key={each} href={fileUrl(path, each, answer)} download>{each}</a>)}</span>
      </div>
      {!answer.rows.length ? <Empty title="No rows" />
        : isPlot ? <Plotted rows={answer.rows} columns={answer.columns} />
        : <Grid label="Rows of the answer" rows={answer.rows} columns={answer.columns} />}
    </section>
  )
}
