// What the views of rows share: the endpoints, one of which is chosen, and the client.

import { EventHub } from "/-/client.js"
import type { ComponentChildren } from "preact"
import { useMemo } from "preact/hooks"
import { useGet } from "../api"
import { Empty, Loading, Problem } from "../parts/states"
import { params, setParams } from "../router"
import { type Column, type Endpoint, endpointsOf, type SqlHandler, sqlHandlersOf } from "./endpoints"

/** One client for all views. */
export const hub = new EventHub()

/** Read which endpoints this user may use. */
export function useEndpoints() {
  const { value, error, reload } = useGet<object>("/openapi.json")
  return useMemo(() => {
    const endpoints: Endpoint[] | undefined = value && endpointsOf(value)
    const handlers: SqlHandler[] | undefined = value && sqlHandlersOf(value)
    return { endpoints, handlers, error, reload }
  }, [value, error])
}

/** Show something of the endpoint that the address names, or of the first one. */
export function WithEndpoint({ children }: { children: (endpoint: Endpoint, all: Endpoint[]) => ComponentChildren }) {
  const { endpoints, error, reload } = useEndpoints()
  const path = params.value.get("path")
  if (!endpoints) return error ? <Problem error={error} retry={reload} /> : <Loading />
  const endpoint = path === null ? endpoints[0] : endpoints.find((each) => each.path === path)
  if (endpoint) return <>{children(endpoint, endpoints)}</>
  if (path === null) return <Empty title="There is no endpoint that you may use">Log in as another user, or add a MessageHandler to the configuration.</Empty>
  return (
    <>
      <Picker endpoints={endpoints} chosen={path} />
      <Empty title={`There is no endpoint ${path} that you may use`}>Choose another one.</Empty>
    </>
  )
}

/** Choose an endpoint; what the address says of another one is dropped. */
export function Picker({ endpoints, chosen }: { endpoints: Endpoint[]; chosen: string }) {
  const choose = (path: string) => setParams({ ...Object.fromEntries([...params.value.keys()].map((name) => [name, ""])), path })
  const paths = endpoints.map(({ path }) => path)
  return (
    <label class="picker">
      <span class="unseen">Endpoint</span>
      <select value={chosen} onChange={(event) => choose(event.currentTarget.value)}>
        {(paths.includes(chosen) ? paths : [chosen, ...paths]).map((path) => <option key={path} value={path}>{path}</option>)}
      </select>
    </label>
  )
}

/** The columns in the order in which people look for them: what the row is about comes after its id. */
export function arranged(columns: Column[], chosen: string[] = []): Column[] {
  const included = chosen.filter((name) => !name.startsWith("-"))
  const excluded = new Set(chosen.filter((name) => name.startsWith("-")).map((name) => name.slice(1)))
  const known = new Map(columns.map((column) => [column.name, column]))
  const shown = included.length ? included.flatMap((name) => known.get(name) ?? []) : columns
  const rank = ({ name }: Column) => (name === "id" ? 0 : name === "user" ? 2 : name === "timestamp" ? 3 : 1)
  const id = known.get("id")
  const all = included.length ? [...(id && !included.includes("id") ? [id] : []), ...shown] : [...shown].sort((a, b) => rank(a) - rank(b))
  return all.filter(({ name }) => !excluded.has(name))
}

/** Tell a number of things in words: `1 row`, `2,000 rows`. */
export function counted(count: number, one: string, many = `${one}s`): string {
  return `${count.toLocaleString()} ${count === 1 ? one : many}`
}
