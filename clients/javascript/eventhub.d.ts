/** What a hub answered when it refused something; `code` is one of docs/protocol.md, or `closed`. */
export class EventHubError extends Error {
  readonly name: "EventHubError"
  readonly code: string
  /** Whether the same message may succeed later. */
  readonly retry?: boolean
  /** Seconds. */
  readonly retry_after?: number
  /** The column at fault. */
  readonly column?: string
}

/** The columns of a row, if nothing says which. `eventhub-types` prints those of an endpoint, as `Row`. */
export type Columns = Record<string, any>

/** A row as the hub has it, with the sequences of its last event, for `_if_seq`, and of its first one. */
export type Row<C = Columns> = Readonly<C> & { readonly id: string; readonly _seq: number; readonly _created: number }

/** A value, or several of which one must match; null is NULL. An operator follows the column. */
export type Where = Record<string, Value | readonly Value[] | null>
export type Value = string | number | bigint | boolean | Date

export interface Query {
  where?: Where
  /** The columns that are read; `id` always is. */
  columns?: readonly string[]
}

export interface RowsOptions extends Query {
  /** `"n"`, `"-n"` for descending, `"name*"` regardless of case; several in order of importance. */
  sort?: string | readonly string[]
  /** Not negative. */
  limit?: number
}

export interface Rows<C = Columns> {
  /** Resolves with the first rows; rejects if they are refused, or closed before. */
  readonly ready: Promise<readonly Row<C>[]>
  /** Another array only if something changed; rows that did not change are the same objects. */
  readonly value: readonly Row<C>[]
  readonly state: "connecting" | "live" | "offline" | "ended"
  /** Why the hub ended it; null as long as it did not. */
  readonly error: EventHubError | null
  /** Call when `value` or `state` changed, at most once in 16 ms; returns what ends that. */
  subscribe(listener: (value: readonly Row<C>[]) => void): () => void
  /** How far the rows are in the log; empty before the first ones. */
  readonly position: string
  /** Put rows into the order of the query, and cut them at its limit. */
  arrange(rows: readonly Row<C>[]): Row<C>[]
  close(): void
}

export interface Change<C = Columns> {
  /** RESET: the position is no longer valid. Discard what you hold; a POST of every row follows. */
  method: "POST" | "PUT" | "DELETE" | "RESET"
  id?: string
  /** The message; of a row that enters the filter the whole row. */
  row?: Readonly<Partial<C>>
  /** To go on from here; null while the rows after a RESET come. */
  position: string | null
}

export interface ChangesOptions extends Query {
  /** A position, "now" (the default), "earliest", a time, or "-N" for the last N. */
  since?: string | Date
}

export interface LogEvent<C = Columns> {
  /** RESET: the position is no longer valid; events follow from the beginning. */
  method: "POST" | "PUT" | "DELETE" | "RESET"
  id?: string
  seq?: number
  time?: Date
  user?: string | null
  /** After the event; null after a DELETE. */
  row?: Readonly<Partial<C>> | null
  /** The old values of what changed; null for a new row. */
  was?: Readonly<Partial<C>> | null
  position: string | null
}

export interface LogOptions extends Query {
  /** As of changes, but the default is "earliest". */
  since?: string | Date
  /** Where to end; without it the log goes on live. */
  until?: Date | "now"
}

export interface Message extends Record<string, any> {
  id?: string
  _key?: string
  _if_seq?: number
  _upsert?: boolean
}

export interface Receipt {
  readonly id: string
  readonly _seq: number
  readonly duplicate: boolean
  /** Keys of the message that are not columns. */
  readonly ignored?: readonly string[]
}

export interface Consumer {
  /** Each frame; rows and changes come one by one as well. */
  frame(frame: Readonly<Record<string, any>>): void
  /** After each change of `state`; the first ones come before `open` returns. */
  changed(): void
}

export interface Subscription {
  readonly state: Rows["state"]
  readonly error: EventHubError | null
  /** Where it goes on after a lost connection; empty: from where it began. */
  position: string
  end(): void
}

export class EventHub {
  /**
   * @param url of the hub, below which it has `/-/client.js`; paths are relative to it.
   * @param options.token asked for before each connection, and when a login is about to end.
   */
  constructor(url?: string, options?: { token?: string | (() => string | Promise<string>) })
  rows<C = Columns>(path: string, options?: RowsOptions): Rows<C>
  /** Throws `EventHubError` if the hub refuses. */
  changes<C = Columns>(path: string, options?: ChangesOptions): AsyncGenerator<Change<C>, void, void>
  /** Throws `EventHubError` if the hub refuses. */
  log<C = Columns>(path: string, options?: LogOptions): AsyncGenerator<LogEvent<C>, void, void>
  /** These resolve once the write is durable, and reject with `EventHubError` if it is refused. */
  post(path: string, message: Message): Promise<Receipt>
  put(path: string, message: Message & { id: string }): Promise<Receipt>
  delete(path: string, id: string | { id: string; _if_seq?: number; _key?: string }): Promise<Receipt>
  /**
   * Send a message to the clients that listen now; it is not stored, and sent once at most. Resolves when the hub has
   * handed it on, and rejects with `EventHubError`, after 5 s without a connection as `unavailable`.
   */
  send(path: string, message: Record<string, any>): Promise<{ readonly sent: true; readonly ignored?: readonly string[] }>
  /** Connect now what waits to connect again. */
  reconnect(): void
  /** End all rows and changes, and reject what waits. */
  close(): void
  /** The URL of a query, for `open`. */
  url(path: string, query?: Query): URL
  /** A subscription with frames of the protocol, for modules such as `client/ephemeral.js`. */
  open(url: URL, consumer: Consumer, since?: string): Subscription
}
