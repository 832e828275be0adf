// What another configuration would do differently with the messages of the log.
import { count } from "../words"
import { Badge } from "./states"
import { type Column, Table } from "./table"

type Json = null | boolean | number | string | Json[] | { [key: string]: Json }

interface Example {
  table: string
  sequence: number
  id: string
  method: string
  before: Json
  after: Json
}

interface Difference {
  kind: string
  endpoint: string
  what: string
  count: number
  examples: Example[]
}

export interface Rehearsal {
  events: number
  skipped: number
  refused_by_both: number
  complete: boolean
  count: number
  /** Differences that are not listed. */
  more: number
  differences: Difference[]
  not_rehearsed: string[]
  not_taken: string[]
}

const words: Record<string, string> = {
  refused: "refused",
  accepted: "no longer refused",
  moved: "stored in another table",
  converted: "converted differently",
  hooks: "changed by hooks",
  seen: "seen by others",
  mailed: "mailed differently",
  mail_error: "alert fails differently",
}

const shown = (value: Json) => value === null ? "nothing" : typeof value === "string" ? value : JSON.stringify(value)

/** A value of a difference; of a refusal its message. */
const valueOf = (value: Json) => shown(value !== null && typeof value === "object" && "message" in value ? (value as { message: Json }).message : value)

function changeOf(kind: string, before: Json, after: Json) {
  if (kind === "seen") return null
  if (kind === "refused") return <>: {valueOf(after)}</>
  if (kind === "accepted") return <>: <del>{valueOf(before)}</del></>
  return <>: <del>{valueOf(before)}</del> <ins>{valueOf(after)}</ins></>
}

const columns: Column<Difference>[] = [
  { title: "Difference", cell: (each) => <Badge tone={each.kind === "refused" ? "bad" : "wait"}>{words[each.kind] ?? each.kind}</Badge> },
  { title: "Endpoint", cell: (each) => each.endpoint },
  { title: "What", cell: (each) => <span class="wraps">{each.what}</span> },
  { title: "Events", isNumber: true, cell: (each) => each.count.toLocaleString() },
  {
    title: "For example",
    cell: (each) => each.examples.slice(0, 1).map(({ sequence, method, id, before, after }) => (
      <span class="wraps" key={sequence}>
        {method} <code>{id}</code>{changeOf(each.kind, before, after)}
      </span>
    )),
  },
]

export function Rehearsed({ rehearsal }: { rehearsal: Rehearsal }) {
  const { events, skipped, refused_by_both, complete, differences, more, not_rehearsed, not_taken } = rehearsal
  const rest = [skipped && `${count(skipped, "event")} of no endpoint of today`, refused_by_both && `${refused_by_both.toLocaleString()} refused by both`, more && `${count(more, "difference")} not listed`].filter(Boolean)
  return (
    <div class="rehearsed">
      <p role="status">
        <Badge tone={rehearsal.count ? "wait" : "good"}>{rehearsal.count ? count(rehearsal.count, "difference") : "no differences"}</Badge> in {count(events, "event")}
        {rest.length > 0 && `; ${rest.join(", ")}`}{!complete && "; there was no time for the others"}
      </p>
      {differences.length > 0 && <Table caption="Differences" columns={columns} rows={differences} keyOf={(each) => `${each.kind} ${each.endpoint} ${each.what}`} stacks />}
      {not_taken.length + not_rehearsed.length > 0 && (
        <>
          <p>These differ, and were left as they are served:</p>
          <ul>{[...not_taken, ...not_rehearsed].map((each) => <li key={each}><code>{each}</code></li>)}</ul>
        </>
      )}
    </div>
  )
}
