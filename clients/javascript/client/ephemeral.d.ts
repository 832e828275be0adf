import type { EventHub, EventHubError, Query } from "../eventhub.js"

type Opening = Pick<EventHub, "open" | "url">

interface Followed<Value> {
  /** Resolves once it is live for the first time; rejects if it is refused, or closed before. */
  readonly ready: Promise<void>
  readonly state: "connecting" | "live" | "offline" | "ended"
  /** Why the hub ended it; null as long as it did not. */
  readonly error: EventHubError | null
  /** Returns what ends the calls. */
  subscribe(listener: (value: Value) => void): () => void
  close(): void
}

/** A message as its sender sent it, with `user` and `timestamp`. */
export type SentMessage = Readonly<Record<string, any>> & { readonly user: string | null; readonly timestamp: string }

/** Messages of a path that are not stored; each calls the listeners once. Those that are missed stay missed. */
export type Sent = Followed<SentMessage>

/** Who is connected, on one or more sockets each. */
export interface Present {
  readonly users: readonly { readonly user: string; readonly connections: number }[]
  /** Connections without a login. */
  readonly anonymous: number
  /** All of them. */
  readonly connections: number
}

/** The listeners are called after a change of `value` or `state`. */
export interface Presence extends Followed<Present> {
  /** As it was said last. */
  readonly value: Present
}

export function sent(hub: Opening, path: string, query?: Query): Sent
export function presence(hub: Opening, path: string): Presence
