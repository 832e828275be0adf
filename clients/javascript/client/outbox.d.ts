import type { Columns, EventHub, EventHubError, Message, Receipt, Row, Rows, RowsOptions } from "../eventhub.js"

/** A write that is not stored yet. */
export interface Write {
  readonly key: string
  readonly path: string
  readonly method: "POST" | "PUT" | "DELETE"
  readonly message: Message
  readonly at: Date
  /** Of a row also "stored": the event has not come back yet. */
  readonly state: "waiting" | "refused" | "stored"
  readonly error: Pick<EventHubError, "code" | "message" | "column" | "retry"> | null
}

/** A row that shows a write has it as `_write`. */
export type OptimisticRow<C = Columns> = Row<C> & { readonly _write?: Write }

export interface PersistentHub extends Pick<EventHub, "changes" | "log" | "send" | "open" | "url" | "reconnect" | "close"> {
  rows<C = Columns>(path: string, options?: RowsOptions): Rows<C>
  post(path: string, message: Message): Promise<Receipt>
  put(path: string, message: Message & { id: string }): Promise<Receipt>
  delete(path: string, id: string | { id: string; _if_seq?: number; _key?: string }): Promise<Receipt>
  readonly writes: readonly Write[]
  /** Call after each change of `writes`; returns what ends that. */
  subscribe(listener: (writes: readonly Write[]) => void): () => void
  /** Send a refused write again. */
  retry(key: string): void
  /** Forget a refused write. */
  discard(key: string): void
}

/** @param options.name of the database, if pages of one origin write to several hubs. */
export function persist(hub: EventHub, options?: { name?: string }): PersistentHub
