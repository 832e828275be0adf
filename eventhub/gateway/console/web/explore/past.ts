// The past of a table, from the hub's public URLs.

import { get, Refusal, request } from "../api"
import { format, type Term } from "./filter"
import type { Row } from "./grid"
import type { Step } from "./steps"

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

/** When something happened to rows of a filter, as far as it has been read. */
export interface Past {
  /** Oldest first; the newest ones of what has been read. */
  steps: Step[]
  /** The position after which reading stopped at its bound; null: all is read. */
  rest: string | null
}

/** How far one reading goes. */
export interface Bounds {
  /** Steps to keep. */
  steps: number
  /** Answers to read; one has some 10,000 events. */
  pages: number
}

/**
 * Read when something happened to rows of a filter: its events without their values, the newest ones.
 *
 * @param onPart called with the number of events read so far.
 */
export async function pastOf(path: string, terms: Term[], bounds: Bounds, onPart: (count: number) => void, signal: AbortSignal): Promise<Past> {
  try {
    return await readOn({ steps: [], rest: `-${bounds.steps}` }, path, terms, bounds, onPart, signal)
  } catch (error) {
    // The hub looks for the last ones among the newest 100,000 events only; the filter matches few of them.
    if (!(error instanceof Refusal) || error.code !== "too_costly") throw error
    return await readOn({ steps: [], rest: "earliest" }, path, terms, bounds, onPart, signal)
  }
}

/** Read what follows a past that is not whole. */
export async function readOn(before: Past, path: string, terms: Term[], bounds: Bounds, onPart: (count: number) => void, signal: AbortSignal): Promise<Past> {
  const conditions = terms.filter(({ key }) => !key.startsWith("_"))
  const steps = [...before.steps]
  let since = before.rest
  for (let page = 0; since !== null && page < bounds.pages; page++) {
    const query = format([...conditions, { key: "_replay", value: "log" }, { key: "_c", value: "id" }, { key: "_since", value: since }])
    const answer = await request(`${path}?${query}`, { signal, headers: { Accept: "application/json" } })
    const events: any[] = await answer.json()
    for (const each of events) {
      steps.push({ seq: each._seq, time: Date.parse(each._time), method: each._method, id: each.id, user: each._user ?? null })
    }
    onPart(steps.length)
    const position = answer.headers.get("EventHub-Position")
    // An answer without events has reached the end, even if the position moves on with events of other rows.
    since = events.length && position !== since ? position : null
  }
  return { steps: steps.slice(-bounds.steps), rest: since }
}

function versionOf(event: any): Version {
  const { _seq, _time, _method, id, _user, _endpoint, row, was } = event
  return { seq: _seq, time: _time, method: _method, id, user: _user ?? null, endpoint: _endpoint ?? null, row, was }
}
