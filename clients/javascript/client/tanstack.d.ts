import type { CollectionConfig } from "@tanstack/db"
import type { Columns, EventHub, Query, Row } from "../eventhub.js"

export interface EventHubCollectionConfig<C = Columns> extends Query, Partial<Omit<CollectionConfig<Row<C>, string>, "sync">> {
  hub: Pick<EventHub, "rows" | "post" | "put" | "delete">
  path: string
}

/** Options for `createCollection`: rows of a path as a collection, whose changes are written to the hub. */
export function eventHubCollectionOptions<C = Columns>(config: EventHubCollectionConfig<C>): CollectionConfig<Row<C>, string>
