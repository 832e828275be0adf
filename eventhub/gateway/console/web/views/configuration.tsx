import { useMemo, useRef, useState } from "preact/hooks"
import { request, useGet } from "../api"
import { useKeys } from "../keys"
import { Button } from "../parts/button"
import { Code } from "../parts/code"
import { Filter } from "../parts/field"
import { Page } from "../parts/page"
import { type Rehearsal, Rehearsed } from "../parts/rehearsed"
import { Badge, Empty, Loading, Problem } from "../parts/states"
import { type Column, Table } from "../parts/table"
import { params, setParams } from "../router"
import { views } from "../views"
import { count } from "../words"

type Json = null | boolean | number | string | Json[] | { [key: string]: Json }

interface Finding {
  severity: "error" | "warning"
  line: number | null
  keys: string
  message: string
}

interface Checked {
  valid: boolean
  findings: Finding[]
  tables: Record<string, string>
  unchecked: string[]
  /** undefined: it was not asked for; null: the text has errors. */
  rehearsal?: Rehearsal | null
}

export default function Configuration() {
  const { value, error, reload } = useGet<Record<string, Json>>("/-/configuration")
  return (
    <Page title="Configuration" about={views.configuration!.about}>
      {error && <Problem error={error} retry={reload} />}
      {!value ? !error && <Loading /> : (
        <>
          <Effective config={value} />
          <Check path={String(value.path)} />
        </>
      )}
    </Page>
  )
}

/** A part of the configuration that is shown by itself. */
interface Part {
  title: string
  text: string
}

const APART = ["path", "data", "warnings", "endpoints"]

function partsOf(config: Record<string, Json>): Part[] {
  const endpoints = (config.endpoints as { name: string; pattern: string }[]).map((each) => ({ title: `url: ${each.name}`, text: yaml(each as unknown as Json) }))
  const sections = Object.entries(config).filter(([name, value]) => !APART.includes(name) && value !== null).map(([title, value]) => ({ title, text: yaml(value) }))
  return [...endpoints, ...sections]
}

/** As YAML: text that could be read as something else is in quotes. */
function yaml(value: Json, indent = ""): string {
  if (Array.isArray(value)) {
    if (value.every((each) => each === null || typeof each !== "object")) return `[${value.map((each) => scalar(each)).join(", ")}]`
    return value.map((each) => `\n${indent}- ${yaml(each, `${indent}  `).trimStart()}`).join("")
  }
  if (value === null || typeof value !== "object") return scalar(value)
  const members = Object.entries(value).filter(([, each]) => each !== null)
  if (members.length === 0) return "{}"
  return members.map(([name, each]) => {
    const text = yaml(each, `${indent}  `)
    return `\n${indent}${name}:${text.startsWith("\n") ? "" : " "}${text}`
  }).join("")
}

const scalar = (value: Json) => typeof value === "string" && /^[\w./$:@-]*[\w./$-]$/.test(value) && !/^[\d.]+$|^(true|false|null|yes|no|on|off)$/i.test(value) ? value : JSON.stringify(value)

function Effective({ config }: { config: Record<string, Json> }) {
  const all = useMemo(() => partsOf(config), [config])
  const wanted = params.value.get("q") ?? ""
  const shown = all.filter((each) => `${each.title}\n${each.text}`.toLowerCase().includes(wanted.toLowerCase()))
  const warnings = config.warnings as string[]
  return (
    <section class="part" aria-labelledby="effective">
      <h2 id="effective">What this process serves</h2>
      <dl class="facts">
        <div><dt>File</dt><dd>{String(config.path)}</dd></div>
        <div><dt>Data</dt><dd>{String(config.data)}</dd></div>
        <div><dt>Warnings</dt><dd>{warnings.length ? warnings.map((each) => <p class="wrong">{each}</p>) : "none"}</dd></div>
      </dl>
      <p class="soft">With variables replaced, files imported and defaults filled in. Secrets are shown as <code>***</code>.</p>
      <Filter value={wanted} onInput={(q) => setParams({ q })} placeholder="A key or a value" />
      {shown.length === 0 ? <Empty title="Nothing of it matches" /> : shown.map(({ title, text }) => (
        <details class="card fold" open={wanted !== "" || shown.length === 1}>
          <summary>{title}</summary>
          <pre tabIndex={0} aria-label={title}><code>{text.trimStart()}</code></pre>
        </details>
      ))}
    </section>
  )
}

function Check({ path }: { path: string }) {
  const [text, setText] = useState("")
  const [checked, setChecked] = useState<Checked | null>(null)
  const [error, setError] = useState<Error | null>(null)
  const [isBusy, setBusy] = useState(false)
  const field = useRef<HTMLTextAreaElement>(null)
  const own = useMemo(() => [{ key: "y", does: "Go to the text to check", run: () => field.current?.focus() }], [])
  useKeys("Configuration", own)
  const check = async (isRehearsed = false) => {
    setBusy(true)
    setError(null)
    try {
      setChecked(await (await request(`/-/configuration${isRehearsed ? "/rehearsal" : ""}`, { method: "POST", body: text, headers: { "Content-Type": "application/yaml" } })).json())
    } catch (failed) {
      setChecked(null)
      setError(failed as Error)
    }
    setBusy(false)
  }
  const columns: Column<Finding>[] = [
    { title: "Line", isNumber: true, cell: (each) => each.line ?? "" },
    { title: "Kind", cell: (each) => <Badge tone={each.severity === "error" ? "bad" : "wait"}>{each.severity}</Badge> },
    { title: "Key", cell: (each) => <code>{each.keys}</code> },
    { title: "What is wrong", cell: (each) => <span class="wraps">{each.message}</span> },
  ]
  return (
    <section class="part" aria-labelledby="check">
      <h2 id="check">Check and rehearse a file</h2>
      <form class="form" onSubmit={(event) => { event.preventDefault(); check() }}>
        <div class="field">
          <label for="check-text">YAML, pasted or from a file</label>
          <textarea
            id="check-text"
            ref={field}
            class="code-field"
            rows={12}
            spellcheck={false}
            autocomplete="off"
            placeholder={"url:\n  messages:\n    pattern: /messages\n    handler: MessageHandler"}
            value={text}
            onInput={(event) => setText(event.currentTarget.value)}
            onKeyDown={(event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); check() } }}
          />
        </div>
        <p class="actions">
          <Button type="submit" kind="primary" disabled={isBusy || !text.trim()}>Check</Button>
          <Button disabled={isBusy || !text.trim()} onClick={() => check(true)}>Rehearse</Button>
          {isBusy && <span class="soft" role="status">Reading…</span>}
          <input type="file" accept=".yaml,.yml,text/yaml" aria-label="Read the text from a file" onChange={async (event) => { const file = event.currentTarget.files?.[0]; if (file) setText(await file.text()) }} />
          <span class="soft"><kbd>Ctrl</kbd><kbd>Enter</kbd> checks. A rehearsal says what the text would do differently with the last messages of each table.</span>
        </p>
      </form>
      {error && <Problem error={error} />}
      {checked && (
        <>
          <p role="status">{checked.valid ? <Badge tone="good">nothing is wrong</Badge> : <Badge tone="bad">{count(checked.findings.filter((each) => each.severity === "error").length, "error")}</Badge>} {Object.entries(checked.tables).map(([path, table]) => `${path} has table ${table}`).join(", ")}</p>
          {checked.findings.length > 0 && <Table caption="Findings" columns={columns} rows={checked.findings} keyOf={(each) => `${each.line} ${each.keys} ${each.message}`} stacks />}
          {checked.rehearsal && <Rehearsed rehearsal={checked.rehearsal} />}
          <p class="soft">The text is only read, and nothing in it is run. So these were not looked at: {checked.unchecked.join(", ")}. <code>eventhub check FILE</code> looks at them. A rehearsal with hooks, templates and expressions of the text is a command, for those who own the file:</p>
          <Code label="On the hub's machine" text={`eventhub rehearse ${/^[\w./-]+$/.test(path) ? path : JSON.stringify(path)} new.yaml`} />
        </>
      )}
    </section>
  )
}
