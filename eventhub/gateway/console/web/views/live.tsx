import type { Rows } from "/-/client.js"
import { useEffect, useMemo, useState } from "preact/hooks"
import type { Endpoint } from "../explore/endpoints"
import { format, optionsOf, parse, type Term, withTerm, written } from "../explore/filter"
import { FilterBox } from "../explore/filterbox"
import { Grid, type Row } from "../explore/grid"
import { arranged, counted, hub, Picker, WithEndpoint } from "../explore/hub"
import { textOf } from "../explore/values"
import { type Key, useKeys } from "../keys"
import { Button } from "../parts/button"
import { Page } from "../parts/page"
import { Badge, Empty, Loading, Problem } from "../parts/states"
import { link, params, setParams } from "../router"
import { views } from "../views"

const FILES = ["csv", "parquet", "arrow", "ndjson"]
const SAMPLE = 2000 // rows in which values are looked for to complete a filter

export default function Live() {
  return (
    <Page title="Live" about={views.live!.about}>
      <WithEndpoint>{(endpoint, all) => <Table key={endpoint.path} endpoint={endpoint} endpoints={all} />}</WithEndpoint>
    </Page>
  )
}

function Table({ endpoint, endpoints }: { endpoint: Endpoint; endpoints: Endpoint[] }) {
  const query = params.value.get("q") ?? ""
  const terms = useMemo(() => parse(query), [query])
  const { rows, state, error, position, reload } = useRows(endpoint.path, terms)
  const [held, hold] = useState<{ rows: readonly Row[]; position: string } | null>(null)
  const shown = held?.rows ?? rows
  const sorts = terms.filter(({ key }) => key === "_sort").map(({ value }) => value)
  const columns = useMemo(() => arranged(endpoint.columns, terms.filter(({ key }) => key === "_c").map(({ value }) => value)), [endpoint, terms])
  const apply = (next: Term[]) => setParams({ path: endpoint.path, q: written(next) })
  const pause = () => hold(held ? null : { rows, position })
  const pauseKeys = useMemo<Key[]>(() => [{ key: "p", does: "Pause, or go on", run: () => document.querySelector<HTMLElement>("[data-pause]")?.click() }], [])
  useKeys("Live", pauseKeys)
  useEffect(() => hold(null), [query])

  function sortBy(name: string) {
    const next = sorts[0] === name ? `-${name}` : sorts[0] === `-${name}` ? null : name
    apply(withTerm(terms, "_sort", next))
  }

  const isRefused = error && ["bad_filter", "too_costly"].includes(error.code)
  return (
    <>
      <div class="tools">
        <Picker endpoints={endpoints} chosen={endpoint.path} />
        <FilterBox
          key={endpoint.path}
          value={query}
          columns={endpoint.columns}
          valuesOf={(name) => valuesOf(rows, name)}
          onApply={(text) => apply(parse(text))}
          error={isRefused ? error.message : null}
        />
        <Button onClick={pause} disabled={!rows.length && !held} aria-pressed={held !== null} aria-keyshortcuts="p" data-pause>{held ? "Go on" : "Pause"}</Button>
      </div>
      {error && !isRefused && <Problem error={error} retry={reload} />}
      {!error && (
        <>
          <div class="summary">
            <State state={state} isHeld={held !== null} />
            <span>{counted(shown.length, "row")}{terms.some(({ key }) => !key.startsWith("_")) && " of the filter"}</span>
            {held && <span>{since(held.position, position)}</span>}
            <span class="files">
              {FILES.map((name) => <a key={name} href={`${endpoint.path}.${name}?${format(terms)}`} download>{name}</a>)}
            </span>
          </div>
          {state === "connecting" && !shown.length ? <Loading />
            : shown.length ? (
              <Grid
                label={`Rows of ${endpoint.path}`}
                rows={shown}
                columns={columns}
                isReversed={!sorts.length}
                marksChanges={!held}
                hrefOf={(row) => link("row", { path: endpoint.path, id: row.id })}
                sort={sorts[0]}
                onSort={sortBy}
              />
            ) : <Empty title={query ? "No row matches the filter" : "The table is empty"}>{query ? "A row appears here as soon as one does." : <>The first row appears here as soon as it is written, <a href={link("endpoints", { path: endpoint.path })}>by you</a> for example.</>}</Empty>}
        </>
      )}
    </>
  )
}

function State({ state, isHeld }: { state: Rows["state"]; isHeld: boolean }) {
  if (isHeld) return <span role="status"><Badge tone="wait">Paused</Badge></span>
  if (state === "live") return <span role="status"><Badge tone="good">Live</Badge></span>
  return <span role="status"><Badge tone="wait">{state === "offline" ? "Offline, trying again" : "Connecting"}</Badge></span>
}

interface Shown {
  rows: readonly Row[]
  state: Rows["state"]
  error: Rows["error"]
  position: string
}

/** Follow the rows of a filter; those of the last one stay until the next ones are there. */
function useRows(path: string, terms: Term[]): Shown & { reload: () => void } {
  const [shown, show] = useState<Shown>({ rows: [], state: "connecting", error: null, position: "" })
  const [turn, setTurn] = useState(0)
  const options = optionsOf(path, terms)
  useEffect(() => {
    const rows = hub.rows(options.path, { sort: options.sort, limit: options.limit })
    const update = () => {
      const { value, state, error, position } = rows
      show((before) => ({ rows: state === "connecting" && !value.length ? before.rows : value, state, error, position }))
    }
    const stop = rows.subscribe(update)
    rows.ready.then(update, update)
    return () => {
      stop()
      rows.close()
    }
  }, [JSON.stringify(options), turn])
  return { ...shown, reload: () => setTurn(turn + 1) }
}

/** The values of a column in the rows, the most frequent first. */
function valuesOf(rows: readonly Row[], name: string): string[] {
  const counts = new Map<string, number>()
  for (const row of rows.slice(-SAMPLE)) {
    const text = textOf(row[name])
    if (text && text.length < 60) counts.set(text, (counts.get(text) ?? 0) + 1)
  }
  return [...counts].sort((a, b) => b[1] - a[1]).map(([text]) => text)
}

/** Say how far a table has moved on between two positions. */
function since(before: string, now: string): string {
  const sequence = (position: string) => Number(position.split(".")[1] ?? 0)
  const count = Math.max(0, sequence(now) - sequence(before))
  return count ? `${counted(count, "event")} of the table since` : "nothing has happened since"
}
