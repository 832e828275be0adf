import { useEffect, useMemo, useState } from "preact/hooks"
import { send } from "../api"
import { type Difference, differences, words } from "../explore/diff"
import type { Endpoint } from "../explore/endpoints"
import { arranged, counted, hub, Picker, WithEndpoint } from "../explore/hub"
import { recentOf, type Version, versionsOf } from "../explore/past"
import { NONE, textOf, timeOf } from "../explore/values"
import { Button } from "../parts/button"
import { Confirm } from "../parts/dialog"
import { Page } from "../parts/page"
import { Badge, Empty, Loading, Problem } from "../parts/states"
import { type Column, Table } from "../parts/table"
import { link, params, setParams } from "../router"
import { views } from "../views"

const RECENT = 25
const VERBS: Record<string, string> = { POST: "Created", PUT: "Changed", DELETE: "Deleted" }
const TONES: Record<string, "good" | "wait" | "bad"> = { POST: "good", PUT: "wait", DELETE: "bad" }

export default function RowLife() {
  return (
    <Page title="Row" about={views.row!.about}>
      <WithEndpoint>{(endpoint, all) => <Chosen key={endpoint.path} endpoint={endpoint} endpoints={all} />}</WithEndpoint>
    </Page>
  )
}

function Chosen({ endpoint, endpoints }: { endpoint: Endpoint; endpoints: Endpoint[] }) {
  const id = params.value.get("id") ?? ""
  const open = (event: SubmitEvent) => {
    event.preventDefault()
    const field = (event.currentTarget as HTMLFormElement).elements.namedItem("id") as HTMLInputElement
    setParams({ path: endpoint.path, id: field.value })
  }
  return (
    <>
      <div class="tools">
        <Picker endpoints={endpoints} chosen={endpoint.path} />
        <form class="finder" onSubmit={open} role="search">
          <input name="id" aria-label="id of the row" placeholder="id of a row" defaultValue={id} key={id} autocomplete="off" spellcheck={false} data-filter />
          <Button type="submit">Open</Button>
        </form>
      </div>
      {id ? <Life key={id} endpoint={endpoint} id={id} /> : <Recent endpoint={endpoint} />}
    </>
  )
}

function Life({ endpoint, id }: { endpoint: Endpoint; id: string }) {
  const [versions, setVersions] = useState<Version[] | null>(null)
  const [error, setError] = useState<Error | null>(null)
  const [wanted, want] = useState<Version | null>(null)
  const [refusal, refuse] = useState<Error | null>(null)
  const [turn, setTurn] = useState(0)
  const reload = () => setTurn((before) => before + 1)
  useEffect(() => {
    const abort = new AbortController()
    versionsOf(endpoint.path, id, abort.signal).then(
      (found) => (setVersions(found), setError(null)),
      (failed) => abort.signal.aborted || setError(failed),
    )
    return () => abort.abort()
  }, [turn])
  useEffect(() => {
    const rows = hub.rows(endpoint.path, { where: { id } })
    rows.ready.catch(() => {})
    const stop = rows.subscribe(reload)
    return () => (stop(), rows.close())
  }, [])
  const order = useMemo(() => new Map(arranged(endpoint.columns).map(({ name }, place) => [name, place])), [endpoint])
  const last = versions?.at(-1)

  async function restore({ seq }: Version) {
    try {
      await send("PUT", endpoint.path, { id, _revert: seq, _if_seq: last!.seq })
      refuse(null)
    } catch (failed) {
      refuse(failed as Error)
    }
    reload()
  }

  if (!versions) return error ? <Problem error={error} retry={reload} /> : <Loading />
  if (!last) return <Empty title={`There is no row ${id}`}>It never existed, or you may not see it.</Empty>
  return (
    <>
      {(refusal ?? error) && <Problem error={(refusal ?? error)!} />}
      <div class="summary">
        <span role="status">{last.row ? <Badge tone="good">Exists</Badge> : <Badge tone="bad">Deleted</Badge>}</span>
        <span>{counted(versions.length, "version")}</span>
        <span>first {timeOf(versions[0]!.time)}</span>
        <span class="files"><a href={`${endpoint.path}.csv?id=${encodeURIComponent(id)}&_history`} download>csv</a></span>
      </div>
      <ol class="life" reversed>
        {versions.map((version, place) => (
          <Entry
            key={version.seq}
            version={version}
            changes={sorted(changesOf(version), order)}
            isLast={version === last}
            canRestore={endpoint.methods.includes("PUT") && differences(version.row, last.row).length > 0}
            onRestore={() => want(version)}
            place={place}
          />
        )).reverse()}
      </ol>
      {wanted && (
        <Confirm title={wanted.row ? `Restore the version of event ${wanted.seq}?` : "Delete the row again?"} action={wanted.row ? "Restore" : "Delete"} onClose={() => want(null)} onConfirm={() => restore(wanted)}>
          <p>One event is added, and none removed: this can be reverted, too. The hooks of the endpoint run, and it is refused if the row has changed meanwhile.</p>
          <Changes changes={sorted(differences(last.row, wanted.row), order)} />
        </Confirm>
      )}
    </>
  )
}

interface EntryProps {
  version: Version
  changes: Difference[]
  isLast: boolean
  canRestore: boolean
  onRestore: () => void
  place: number
}

function Entry({ version, changes, isLast, canRestore, onRestore, place }: EntryProps) {
  const { seq, time, method, user, endpoint } = version
  return (
    <li class={`card ${TONES[method] ?? "wait"}`}>
      <div class="entry">
        <h2><Badge tone={TONES[method] ?? "plain"}>{VERBS[method] ?? method}</Badge> <span>{user ? <>by <strong>{user}</strong></> : "without a login"}</span></h2>
        <p class="soft">
          <time dateTime={time} title={time}>{timeOf(time)}</time> · event {seq}{endpoint && <> through {endpoint}</>}
        </p>
        {isLast ? <span class="soft now">now</span> : canRestore && <Button kind="quiet" onClick={onRestore} aria-label={`Restore version ${place + 1}, of event ${seq}`}>Restore</Button>}
      </div>
      {changes.length ? <Changes changes={changes} isFirst={method === "POST"} /> : <p class="soft">Nothing that you may see has changed.</p>}
    </li>
  )
}

/** Columns from what to what; of two texts, the words that differ are marked. */
function Changes({ changes, isFirst }: { changes: Difference[]; isFirst?: boolean }) {
  return (
    <dl class="changes">
      {changes.map(({ column, from, to }) => (
        <div key={column}>
          <dt>{column}</dt>
          <dd>{isFirst ? <span class="whole">{textOf(to)}</span> : typeof from === "string" && typeof to === "string" ? <Words from={from} to={to} /> : <><Whole value={from} side="old" /> <span class="arrow">→</span> <Whole value={to} side="new" /></>}</dd>
        </div>
      ))}
    </dl>
  )
}

function Words({ from, to }: { from: string; to: string }) {
  const parts = words(from, to)
  const kept = parts.filter(({ side }) => side === "both").reduce((sum, { text }) => sum + text.trim().length, 0)
  if (kept * 3 < Math.max(from.length, to.length)) return <><Whole value={from} side="old" /> <span class="arrow">→</span> <Whole value={to} side="new" /></>
  return <>{parts.map(({ text, side }, place) => (side === "old" ? <del key={place}>{text}</del> : side === "new" ? <ins key={place}>{text}</ins> : <span key={place}>{text}</span>))}</>
}

function Whole({ value, side }: { value: unknown; side: "old" | "new" }) {
  if (value === null || value === undefined) return <span class="none">{NONE}</span>
  return side === "old" ? <del>{textOf(value)}</del> : <ins>{textOf(value)}</ins>
}

/** What an event changed: of a new row all values, of a deleted one what it was. */
function changesOf({ row, was }: Version): Difference[] {
  if (!row) return differences(was, null)
  if (!was) return differences(null, row)
  return differences(was, Object.fromEntries(Object.keys(was).map((name) => [name, row[name]])))
}

function sorted(changes: Difference[], order: Map<string, number>): Difference[] {
  return [...changes].sort((a, b) => (order.get(a.column) ?? 99) - (order.get(b.column) ?? 99))
}

function Recent({ endpoint }: { endpoint: Endpoint }) {
  const [events, setEvents] = useState<Version[] | null>(null)
  const [error, setError] = useState<Error | null>(null)
  useEffect(() => {
    const abort = new AbortController()
    recentOf(endpoint.path, RECENT, abort.signal).then(setEvents, (failed) => abort.signal.aborted || setError(failed))
    return () => abort.abort()
  }, [])
  if (!events) return error ? <Problem error={error} /> : <Loading />
  if (!events.length) return <Empty title="Nothing has happened yet">Rows that are written are listed here.</Empty>
  const columns: Column<Version>[] = [
    { title: "Row", cell: ({ id }) => <a href={link("row", { path: endpoint.path, id })}><code>{id}</code></a> },
    { title: "What", cell: ({ method }) => <Badge tone={TONES[method] ?? "plain"}>{VERBS[method] ?? method}</Badge> },
    { title: "Columns", cell: (event) => event.was && event.row ? <code>{changesOf(event).map(({ column }) => column).join(", ")}</code> : "" },
    { title: "By", cell: ({ user }) => user ?? <span class="soft">nobody</span> },
    { title: "When", cell: ({ time }) => <time dateTime={time}>{timeOf(time)}</time> },
    { title: "Event", isNumber: true, cell: ({ seq }) => seq.toLocaleString() },
  ]
  return (
    <section class="stack">
      <h2>What has changed last</h2>
      <Table caption="The newest events" columns={columns} rows={events} keyOf={({ seq }) => seq} />
    </section>
  )
}
