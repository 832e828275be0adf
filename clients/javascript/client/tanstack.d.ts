import type { CollectionConfig } from "@tanstack/db"
import type { EventHub, Query, Row } from "../eventhub.js"

export interface EventHubCollectionConfig extends Query, Partial<Omit<CollectionConfig<Row, string>, "sync">> {
  hub: Pick<EventHub, "rows" | "post" | "put" | "delete">
  path: string
}

/** Options for `createCollection`: rows of a path as a collection, whose changes are written to the hub. */
export function eventHubCollectionOptions(config: EventHubCollectionConfig): CollectionConfig<Row, string>
