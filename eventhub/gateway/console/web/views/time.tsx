import { useEffect, useMemo, useRef, useState } from "preact/hooks"
import { get } from "../api"
import type { Endpoint } from "../explore/endpoints"
import { parse, written } from "../explore/filter"
import { FilterBox } from "../explore/filterbox"
import { Grid, type Row } from "../explore/grid"
import { arranged, counted, Picker, WithEndpoint } from "../explore/hub"
import { type Past as PastSteps, pastOf, pastUrl, readOn } from "../explore/past"
import { play } from "../explore/playing"
import { Slider } from "../explore/slider"
import { placeOf, type Step } from "../explore/steps"
import { timeOf } from "../explore/values"
import { type Key, useKeys } from "../keys"
import { Button } from "../parts/button"
import { Page } from "../parts/page"
import { Badge, Empty, Loading, Problem } from "../parts/states"
import { link, params, setParams } from "../router"
import { views } from "../views"

const MOST_STEPS = 20_000
const MOST_PAGES = 50 // read at once; `pages` in the address is another number
const MOST_ROWS = 10_000
const SPEEDS = [1, 10, 100]
const WAIT = 80 // ms after the slider has moved

export default function Time() {
  return (
    <Page title="Time" about={views.time!.about}>
      <WithEndpoint>{(endpoint, all) => <Past key={endpoint.path} endpoint={endpoint} endpoints={all} />}</WithEndpoint>
    </Page>
  )
}

function Past({ endpoint, endpoints }: { endpoint: Endpoint; endpoints: Endpoint[] }) {
  const query = params.value.get("q") ?? ""
  const apply = (text: string) => setParams({ path: endpoint.path, q: written(parse(text)), at: "" })
  const { past, count, error, goOn } = useSteps(endpoint.path, query)
  const isRefused = error && "column" in error && error.column !== undefined
  return (
    <>
      <div class="tools">
        <Picker endpoints={endpoints} chosen={endpoint.path} />
        <FilterBox key={endpoint.path} value={query} columns={endpoint.columns} valuesOf={() => []} onApply={apply} error={isRefused ? error.message : null} />
      </div>
      {error && !isRefused && <Problem error={error} />}
      {past?.rest && past.steps.length > 0 && (
        <div class="problem" role="status">
          <p>The past has been read up to {timeOf(new Date(past.steps.at(-1)!.time))} only: later events, if there are any, are not shown.</p>
          <Button onClick={goOn}>Read on</Button>
        </div>
      )}
      {(past || !error) && (!past ? <p class="state soft" role="status">{count ? `Reading the past: ${counted(count, "event")} so far…` : "Loading…"}</p>
        : past.steps.length ? <Player key={query} endpoint={endpoint} query={query} past={past.steps} isWhole={!past.rest} />
        : <Empty title={query ? "Nothing has happened to rows of this filter" : "Nothing has happened yet"}>Every event of the table is a step of the slider.</Empty>)}
    </>
  )
}

function Player({ endpoint, query, past, isWhole }: { endpoint: Endpoint; query: string; past: Step[]; isWhole: boolean }) {
  const terms = useMemo(() => parse(query), [query])
  const hasLimit = terms.some(({ key }) => key === "_limit")
  const [added, setAdded] = useState<Step[]>([])
  const steps = useMemo(() => [...past, ...added], [past, added])
  const [rows, setRows] = useState<readonly Row[] | null>(null)
  const [error, setError] = useState<Error | null>(null)
  const [speed, setSpeed] = useState(Number(params.value.get("speed") ?? 10))
  const [status, setStatus] = useState<"still" | "playing" | "live">("still")
  const addressedSeq = Number(params.value.get("at") ?? steps.at(-1)!.seq)
  // Rows of a later moment would stand below the time of the last step.
  const asked = isWhole ? addressedSeq : Math.min(addressedSeq, steps.at(-1)!.seq)
  const [seq, setSeq] = useState(asked)
  const place = placeOf(steps, seq)
  const step = steps[place]!
  const latest = useRef({ seq })
  latest.current = { seq }

  // The address may name another moment: after Back, or a link.
  const addressed = useRef(asked)
  useEffect(() => {
    if (asked === addressed.current) return
    setStatus("still")
    setSeq(asked)
  }, [asked])

  useEffect(() => {
    if (status !== "still") return
    const abort = new AbortController()
    const timer = setTimeout(async () => {
      addressed.current = seq
      setParams({ at: `${seq}` })
      try {
        setRows(await get<Row[]>(pastUrl(endpoint.path, terms, seq, hasLimit ? [] : [{ key: "_limit", value: `${MOST_ROWS}` }]), abort.signal))
        setError(null)
      } catch (failed) {
        if (!abort.signal.aborted) setError(failed as Error)
      }
    }, rows ? WAIT : 0)
    return () => (clearTimeout(timer), abort.abort())
  }, [seq, status, endpoint.path, terms])

  useEffect(() => {
    if (status === "still") return
    return play(pastUrl(endpoint.path, terms, latest.current.seq, [{ key: "_speed", value: `${speed}` }]), {
      onRows: (next) => setRows(next),
      onEvent: (event) => {
        setSeq(event.seq)
        if (isWhole && event.seq >= past.at(-1)!.seq) setStatus("live")
        if (event.seq > past.at(-1)!.seq) setAdded((before) => (event.seq > (before.at(-1)?.seq ?? 0) ? [...before, event] : before))
      },
      onEnd: () => (setError(new Error("The connection was lost. Play again to go on from here.")), setStatus("still")),
    })
  }, [status === "still", speed])

  const toggle = () => {
    setError(null)
    setStatus(status === "still" ? "playing" : "still")
  }
  const own = useMemo<Key[]>(() => [{ key: "p", does: "Play, or stop", run: () => document.querySelector<HTMLElement>("[data-play]")?.click() }], [])
  useKeys("Time", own)
  const isAtEnd = place === steps.length - 1
  return (
    <>
      <section class="card player" aria-label="Time">
        <div class="moment">
          <p><strong>{timeOf(new Date(step.time))}</strong></p>
          <p class="soft">
            {VERBS[step.method] ?? step.method} <a href={link("row", { path: endpoint.path, id: step.id })}>{step.id}</a> {step.user ? `by ${step.user}` : ""} · event {step.seq}
          </p>
        </div>
        <Slider steps={steps} place={place} onMove={(next) => (setStatus("still"), setSeq(steps[next]!.seq))} />
        <div class="controls">
          <Button onClick={() => (setStatus("still"), setSeq(steps[Math.max(0, place - 1)]!.seq))} disabled={place === 0} aria-label="One event back">‹</Button>
          <Button kind="primary" onClick={toggle} aria-keyshortcuts="p" data-play>{status === "still" ? "Play" : "Stop"}</Button>
          <Button onClick={() => (setStatus("still"), setSeq(steps[place + 1]!.seq))} disabled={isAtEnd} aria-label="One event on">›</Button>
          <fieldset class="speeds">
            <legend class="unseen">Speed</legend>
            {SPEEDS.map((each) => (
              <label key={each}><input type="radio" name="speed" checked={each === speed} onChange={() => (setSpeed(each), setParams({ speed: `${each}` }))} /><span>{each}×</span></label>
            ))}
          </fieldset>
          <span role="status">{status === "playing" ? <Badge tone="wait">Playing</Badge> : status === "live" ? <Badge tone="good">Live</Badge> : <Badge tone="plain">As of then</Badge>}</span>
        </div>
      </section>
      {error && <Problem error={error} />}
      {rows && (
        <>
          <div class="summary">
            <span>{counted(rows.length, "row")}{rows.length === MOST_ROWS && ", the first ones"} then</span>
            <span class="files"><a href={`${pastUrl(`${endpoint.path}.csv`, terms, seq)}`} download>csv</a><a href={`${pastUrl(`${endpoint.path}.parquet`, terms, seq)}`} download>parquet</a></span>
          </div>
          {rows.length ? <Grid label={`Rows of ${endpoint.path} as of then`} rows={rows} columns={arranged(endpoint.columns)} isReversed={!terms.some(({ key }) => key === "_sort")} marksChanges hrefOf={(row) => link("row", { path: endpoint.path, id: row.id })} /> : <Empty title="There were no rows then" />}
        </>
      )}
      {!rows && !error && <Loading />}
    </>
  )
}

const VERBS: Record<string, string> = { POST: "Created", PUT: "Changed", DELETE: "Deleted" }

/** The past of a filter, once it has been read to its end or to the bound, and how to read on from there. */
function useSteps(path: string, query: string) {
  const [found, setFound] = useState<{ query: string; past: PastSteps | null; count: number; error: Error | null }>({ query, past: null, count: 0, error: null })
  const [from, setFrom] = useState<{ query: string; past: PastSteps } | null>(null)
  useEffect(() => {
    const abort = new AbortController()
    const before = from?.query === query ? from.past : null
    const say = (past: PastSteps | null, count: number, error: Error | null) => abort.signal.aborted || setFound({ query, past, count, error })
    const onPart = (count: number) => say(null, count, null)
    const bounds = { steps: MOST_STEPS, pages: Math.max(1, Number(params.value.get("pages")) || MOST_PAGES) }
    if (before) onPart(before.steps.length)
    const reading = before ? readOn(before, path, parse(query), bounds, onPart, abort.signal) : pastOf(path, parse(query), bounds, onPart, abort.signal)
    reading.then(
      (past) => say(past, past.steps.length, null),
      (error) => say(before, 0, error),
    )
    return () => abort.abort()
  }, [path, query, from])
  const goOn = () => {
    if (!found.past) return
    setParams({ at: "" })
    setFrom({ query, past: found.past })
  }
  return found.query === query ? { ...found, goOn } : { past: null, count: 0, error: null, goOn }
}
