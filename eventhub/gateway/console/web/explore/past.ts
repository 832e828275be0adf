// The past of a table, from the hub's public URLs.

import { get, Refusal, request } from "../api"
import { format, type Term } from "./filter"
import type { Row } from "./grid"
import type { Step } from "./steps"

/** Of a log that is read; a page has some 10,000 events. */
const MOST_PAGES = 50

export interface Version {
  seq: number
  time: string
  method: string
  id: string
  user: string | null
  /** What accepted the event; null where the hub does not say. */
  endpoint: string | null
  /** The row after the event; null: deleted, or gone from what this user may see. */
  row: Row | null
  /** The old values of what changed. */
  was: Row | null
}

/** Read every version of one row, oldest first. */
export async function versionsOf(path: string, id: string, signal: AbortSignal): Promise<Version[]> {
  const events = await get<any[]>(`${path}?id=${encodeURIComponent(id)}&_history&_bigint=string`, signal)
  return events.map(versionOf)
}

/** Read the newest events of a table, newest first. */
export async function recentOf(path: string, count: number, signal: AbortSignal): Promise<Version[]> {
  const events = await get<any[]>(`${path}?_replay=log&_since=-${count}`, signal)
  return events.map(versionOf).reverse()
}

/** The URL of the rows as they were after an event. */
export function pastUrl(path: string, terms: Term[], seq: number, more: Term[] = []): string {
  return `${path}?${format([...terms, { key: "_as_of", value: `${seq}` }, ...more])}`
}

/**
 * Read when something happened to rows of a filter: its events without their values, the newest ones.
 *
 * @param most events to return.
 * @param onPart called with their number so far.
 */
export async function stepsOf(path: string, terms: Term[], most: number, onPart: (count: number) => void, signal: AbortSignal): Promise<Step[]> {
  try {
    return await stepsSince(`-${most}`, path, terms, onPart, signal)
  } catch (error) {
    // The hub looks for the last ones among the newest 100,000 events only; the filter matches few of them.
    if (!(error instanceof Refusal) || error.code !== "too_costly") throw error
    return (await stepsSince("earliest", path, terms, onPart, signal)).slice(-most)
  }
}

async function stepsSince(start: string, path: string, terms: Term[], onPart: (count: number) => void, signal: AbortSignal): Promise<Step[]> {
  const conditions = terms.filter(({ key }) => !key.startsWith("_"))
  const steps: Step[] = []
  let since = start
  for (let page = 0; page < MOST_PAGES; page++) {
    const query = format([...conditions, { key: "_replay", value: "log" }, { key: "_c", value: "id" }, { key: "_since", value: since }])
    const answer = await request(`${path}?${query}`, { signal, headers: { Accept: "application/json" } })
    for (const each of await answer.json()) {
      steps.push({ seq: each._seq, time: Date.parse(each._time), method: each._method, id: each.id, user: each._user ?? null })
    }
    onPart(steps.length)
    const position = answer.headers.get("EventHub-Position")
    if (!position || position === since) break
    since = position
  }
  return steps
}

function versionOf(event: any): Version {
  const { _seq, _time, _method, id, _user, _endpoint, row, was } = event
  return { seq: _seq, time: _time, method: _method, id, user: _user ?? null, endpoint: _endpoint ?? null, row, was }
}
