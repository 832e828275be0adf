import type { Columns, EventHub, EventHubError, Row, Rows, RowsOptions } from "../eventhub.js"

export interface LiveRows<C = Columns> {
  readonly rows: readonly Row<C>[]
  readonly state: Rows["state"]
  /** Why the hub refuses; null as long as it does not. */
  readonly error: EventHubError | null
}

/**
 * The rows of a path, which the component shows live. On a server, and before the first rows, there are none.
 * Components with equal arguments share one subscription.
 */
export function useRows<C = Columns>(
  hub: Pick<EventHub, "rows"> | null,
  path: string,
  options?: RowsOptions,
): LiveRows<C>
