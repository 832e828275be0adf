// The endpoints that /openapi.json describes to this caller, as the views need them.

export type Kind = "text" | "integer" | "number" | "boolean" | "json" | "date" | "time"

export interface Column {
  name: string
  kind: Kind
  /** Those of a filter, without the `=` that ends the key: "", "!", ">~" … */
  operators: string[]
  isSortable: boolean
  isWritable: boolean
}

export interface Endpoint {
  /** The key of its entry in the configuration. */
  name: string
  path: string
  columns: Column[]
  /** What this caller may send: POST, PUT, PATCH, DELETE, SEND. */
  methods: string[]
  needsLogin: boolean
}

export interface Limits {
  rows: number
  seconds: number
  memory: string
}

export interface SqlHandler {
  name: string
  path: string
  limits: Limits | null
}

type Json = any

/** Return the endpoints of tables, by path. A path with a variable part has no address to read. */
export function endpointsOf(document: Json): Endpoint[] {
  const found: Endpoint[] = []
  for (const [path, operations] of Object.entries<Json>(document.paths ?? {})) {
    const key = /^(.*)\.rows$/.exec(operations.get?.operationId ?? "")?.[1]
    if (key === undefined || path.includes("{")) continue
    const { schemas = {}, parameters = {} } = document.components ?? {}
    const message = schemas[`${key}.Message`]
    found.push({
      name: operations.get.tags?.[0] ?? path,
      path,
      columns: columnsOf(schemas[`${key}.Row`], parameters[`${key}.filter`], parameters[`${key}._sort`], message),
      methods: methodsOf(operations, message),
      needsLogin: !(operations.get.security ?? []).some((each: Json) => Object.keys(each).length === 0),
    })
  }
  return found.sort((a, b) => (a.path < b.path ? -1 : 1))
}

/** Return the paths that answer SQL. */
export function sqlHandlersOf(document: Json): SqlHandler[] {
  const found: SqlHandler[] = []
  for (const [path, { get, post }] of Object.entries<Json>(document.paths ?? {})) {
    if (!post || !(get?.parameters ?? []).some((each: Json) => each.name === "sql")) continue
    found.push({ name: get.tags?.[0] ?? path, path, limits: get["x-limits"] ?? null })
  }
  return found
}

function columnsOf(row: Json, filter: Json, sort: Json, message: Json): Column[] {
  const keys = Object.keys(filter?.schema?.properties ?? {})
  const sortable = new Set<string>(sort?.schema?.items?.enum ?? [])
  return Object.entries<Json>(row?.properties ?? {}).map(([name, schema]) => ({
    name,
    kind: kindOf(schema),
    operators: keys.filter((key) => key.startsWith(name) && /^[!<>~*]*$/.test(key.slice(name.length))).map((key) => key.slice(name.length)),
    isSortable: sortable.has(name),
    isWritable: name in (message?.properties ?? {}),
  }))
}

/** Return the kind of values that a JSON schema describes. */
export function kindOf(schema: Json): Kind {
  const types = [schema.type ?? []].flat()
  if (types.includes("integer")) return "integer"
  if (types.includes("number") && !types.includes("boolean")) return "number"
  if (types.includes("boolean")) return "boolean"
  if (!types.length) return "json"
  if (schema.format === "date") return "date"
  if (schema.format === "date-time" || /ISO 8601/.test(schema.description ?? "")) return "time"
  return "text"
}

function methodsOf(operations: Json, message: Json): string[] {
  const found = ["post", "put", "patch", "delete"].filter((name) => name in operations).map((name) => name.toUpperCase())
  const sent = JSON.stringify(message?.properties?._method ?? "").includes("SEND")
  return sent ? [...found, "SEND"] : found
}
