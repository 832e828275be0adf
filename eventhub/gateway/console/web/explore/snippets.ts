// Code to copy for one endpoint and one filter, as docs/ shows it, filled in.

import type { Column } from "./endpoints"
import { format, optionsOf, type Term } from "./filter"

export interface Snippet {
  title: string
  code: string
}

/** Return code that reads, follows and writes an endpoint. */
export function snippetsOf(origin: string, path: string, columns: Column[], terms: Term[], canWrite: boolean): Snippet[] {
  const query = format(terms)
  const address = `${origin}${path}${query && `?${query}`}`
  const message = exampleOf(columns)
  const options = optionsOf(path, terms)
  const conditions = terms.filter(({ key }) => !key.startsWith("_"))
  return [
    { title: "JavaScript", code: javascript(origin, path, conditions, options, message, canWrite) },
    { title: "Python", code: python(origin, path, conditions, message, canWrite) },
    { title: "curl", code: curl(origin, path, address, message, canWrite) },
    { title: "DuckDB", code: duckdb(origin, path, terms) },
  ]
}

type Options = ReturnType<typeof optionsOf>

function javascript(origin: string, path: string, conditions: Term[], { sort, limit }: Options, message: object, canWrite: boolean): string {
  const options = [
    ...(conditions.length ? [`where: ${whereOf(conditions)}`] : []),
    ...(sort.length ? [`sort: ${JSON.stringify(sort.length > 1 ? sort : sort[0])}`] : []),
    ...(limit === undefined ? [] : [`limit: ${limit}`]),
  ]
  const name = JSON.stringify(path.replace(/^\//, ""))
  return [
    `import { EventHub } from "${origin}/-/client.js"`,
    "",
    `const hub = new EventHub("${origin}")`,
    `const rows = hub.rows(${name}${options.length ? `, { ${options.join(", ")} }` : ""})`,
    "rows.subscribe((value) => console.table(value))",
    ...(canWrite ? [`await hub.post(${name}, ${JSON.stringify(message)})`] : []),
  ].join("\n")
}

function python(origin: string, path: string, conditions: Term[], message: object, canWrite: boolean): string {
  const name = JSON.stringify(path.replace(/^\//, ""))
  const where = conditions.length ? `, where=${whereOf(conditions).replace(/\bnull\b/g, "None")}` : ""
  return [
    "from eventhub_client import Hub",
    "",
    `with Hub("${origin}") as hub:`,
    ...(canWrite ? [`    hub.post(${name}, ${literal(message)})`] : []),
    `    for change in hub.changes(${name}${where}):`,
    "        print(change.method, change.row)",
  ].join("\n")
}

function curl(origin: string, path: string, address: string, message: object, canWrite: boolean): string {
  return [
    `curl ${quoted(address)}`,
    `curl -N -H 'Accept: text/event-stream' ${quoted(address)}`,
    ...(canWrite ? [`curl ${quoted(origin + path)} -H 'Content-Type: application/json' -d ${quoted(JSON.stringify(message))}`] : []),
  ].join("\n")
}

function duckdb(origin: string, path: string, terms: Term[]): string {
  const query = terms.length ? `?${format(terms)}` : ""
  return `INSTALL httpfs;\nFROM read_parquet('${`${origin}${path}.parquet${query}`.replace(/'/g, "''")}');`
}

function whereOf(conditions: Term[]): string {
  const all = new Map<string, string[]>()
  for (const { key, value } of conditions) all.set(key, [...(all.get(key) ?? []), value])
  const members = [...all].map(([key, values]) => {
    if (values.length === 1 && values[0] === "" && key.endsWith("!")) return `${JSON.stringify(key.slice(0, -1))}: null`
    return `${JSON.stringify(key)}: ${JSON.stringify(values.length > 1 ? values : values[0])}`
  })
  return `{ ${members.join(", ")} }`
}

function exampleOf(columns: Column[]): Record<string, unknown> {
  const writable = columns.filter(({ isWritable, name }) => isWritable && name !== "id" && name !== "timestamp")
  return Object.fromEntries(writable.slice(0, 4).map((column) => [column.name, EXAMPLES[column.kind]]))
}

const EXAMPLES: Record<Column["kind"], unknown> = {
  text: "text",
  integer: 1,
  number: 1.5,
  boolean: true,
  json: { key: "value" },
  date: "2026-01-31",
  time: "2026-01-31T12:00:00",
}

function literal(value: unknown): string {
  const json = JSON.stringify(value).replace(/":/g, '": ').replace(/,"/g, ', "')
  return json.replace(/: true/g, ": True").replace(/: false/g, ": False")
}

function quoted(text: string): string {
  return `'${text.replace(/'/g, "'\\''")}'`
}
