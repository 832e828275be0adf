// One SQL statement: its parameters, its answer, and what there is to ask about.

import { request, send } from "../api"
import type { Column, Kind } from "./endpoints"
import type { Row } from "./grid"

export type Tables = Record<string, string[]>

export interface Answer {
  sql: string
  values: Record<string, string>
  rows: Row[]
  columns: Pick<Column, "name" | "kind">[]
  /** There are more rows than the answer may have. */
  isCut: boolean
  milliseconds: number
}

/** The page shows as many rows; a file has all of them. */
const MOST_ROWS = 50_000
const CATALOG = `SELECT table_name AS "table", column_name AS "column" FROM information_schema.columns
WHERE table_schema = 'main' AND table_name <> '_checkpoint' ORDER BY starts_with(table_name, '_'), table_name, ordinal_position`

/** Return the names of the parameters in a statement, `$name`, in their order. */
export function parametersOf(sql: string): string[] {
  const code = sql.replace(/--.*|\/\*[^]*?\*\/|'(?:[^']|'')*'|"(?:[^"]|"")*"/g, " ")
  return [...new Set([...code.matchAll(/\$([A-Za-z_]\w*)/g)].map(([, name]) => name!))]
}

/** Above every limit that a SQLHandler can have: the hub itself ends a statement at its own. */
const MOST_SECONDS = 3700

/** Run a statement, and return its first rows. */
export async function answerOf(path: string, sql: string, values: Record<string, string>, signal: AbortSignal): Promise<Answer> {
  const started = performance.now()
  const answer = await request(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", Accept: "application/json" },
    body: JSON.stringify({ sql, params: values, rows: MOST_ROWS }),
    signal,
  }, MOST_SECONDS)
  const rows: Row[] = await answer.json()
  const columns = Object.keys(rows[0] ?? {}).map((name) => ({ name, kind: kindOf(rows, name) }))
  const isCut = answer.headers.get("EventHub-Truncated") === "true"
  return { sql, values, rows, columns, isCut, milliseconds: Math.round(performance.now() - started) }
}

/** The URL of all rows as a file. */
export function fileUrl(path: string, suffix: string, { sql, values }: Answer): string {
  return `${path}.${suffix}?${new URLSearchParams({ sql, ...values })}`
}

/** Read the tables and their columns, for completion. */
export async function tablesOf(path: string, signal: AbortSignal): Promise<Tables> {
  signal.throwIfAborted()
  const found = await send<{ table: string; column: string }[]>("POST", path, { sql: CATALOG })
  const tables: Tables = {}
  for (const { table, column } of found) (tables[table] ??= []).push(column)
  return tables
}

const DATE = /^\d{4}-\d\d-\d\d$/
const TIME = /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d/

/** Tell the kind of a column by its values: an answer in JSON does not name its types. */
function kindOf(rows: Row[], name: string): Kind {
  const values = rows.slice(0, 100).map((row) => row[name]).filter((value) => value !== null && value !== undefined)
  const are = (test: (value: any) => boolean) => values.length > 0 && values.every(test)
  if (are((value) => typeof value === "number")) return "number"
  if (are((value) => typeof value === "boolean")) return "boolean"
  if (are((value) => typeof value === "object")) return "json"
  if (are((value) => typeof value === "string" && DATE.test(value))) return "date"
  if (are((value) => typeof value === "string" && TIME.test(value))) return "time"
  return "text"
}
