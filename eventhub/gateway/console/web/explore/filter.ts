// Filters as people type them: the arguments of a URL, without the escapes that only a URL needs.

import type { Column } from "./endpoints"

export interface Term {
  key: string
  value: string
}

export interface Suggestion {
  /** What replaces the text between `from` and `to`. */
  text: string
  detail: string
  from: number
  to: number
}

const CONTROLS: Record<string, string> = {
  _sort: "order of the rows",
  _limit: "only the first rows",
  _c: "only this column",
}
const OPERATORS: Record<string, string> = {
  "": "equals",
  "!": "differs from",
  ">": "above",
  "<": "below",
  ">~": "at least",
  "<~": "at most",
  "~": "contains",
  "!~": "does not contain",
  "*": "contains, in any case",
  "!*": "does not contain, in any case",
}
const MOST = 12

/** Split a filter into its terms; escapes are read as in a URL. */
export function parse(text: string): Term[] {
  return text
    .replace(/^\?/, "")
    .split("&")
    .filter((each) => each.trim() !== "")
    .map((each) => {
      const end = each.indexOf("=")
      return end < 0 ? { key: decoded(each), value: "" } : { key: decoded(each.slice(0, end)), value: decoded(each.slice(end + 1)) }
    })
}

/** Return the query string of some terms. */
export function format(terms: Term[]): string {
  return terms.map(({ key, value }) => encodeURIComponent(key) + (value === "" ? "" : `=${encodeURIComponent(value)}`)).join("&")
}

/** Return a filter as people write it, with as few escapes as it needs to be read again. */
export function written(terms: Term[]): string {
  return terms.map(({ key, value }) => (value === "" ? escaped(key) : `${escaped(key)}=${escaped(value)}`)).join("&")
}

/** Return the terms with those of one key replaced; null removes them. */
export function withTerm(terms: Term[], key: string, value: string | null): Term[] {
  const others = terms.filter((each) => each.key !== key)
  return value === null ? others : [...others, { key, value }]
}

/** Separate what the rows of the JavaScript client take as options from the path with its conditions. */
export function optionsOf(path: string, terms: Term[]) {
  const isOption = ({ key }: Term) => key === "_sort" || key === "_limit"
  const conditions = terms.filter((each) => !isOption(each))
  const sort = terms.filter(({ key }) => key === "_sort").map(({ value }) => value)
  const limit = Number(terms.find(({ key }) => key === "_limit")?.value ?? Number.NaN)
  const query = format(conditions)
  return { path: query ? `${path}?${query}` : path, sort, limit: limit >= 0 ? limit : undefined }
}

/**
 * Return what may be typed at the caret: a column, then an operator, then a value.
 *
 * @param valuesOf the values of a column that are known, the most frequent first.
 */
export function complete(text: string, caret: number, columns: Column[], valuesOf: (name: string) => string[]): Suggestion[] {
  const from = text.lastIndexOf("&", caret - 1) + 1
  const next = text.indexOf("&", caret)
  const to = next < 0 ? text.length : next
  const typed = text.slice(from, caret)
  const end = typed.indexOf("=")
  const build = (pairs: [string, string][]) => pairs.slice(0, MOST).map(([text, detail]) => ({ text, detail, from, to }))
  if (end >= 0) return build(values(decoded(typed.slice(0, end)), decoded(typed.slice(end + 1)), columns, valuesOf))
  const column = columns.find(({ name }) => name === decoded(typed))
  return build([...(column ? operators(column) : []), ...names(decoded(typed), columns)])
}

function names(typed: string, columns: Column[]): [string, string][] {
  const sought = typed.toLowerCase()
  const all: [string, string][] = [...columns.map(({ name, kind }): [string, string] => [name, kind]), ...Object.entries(CONTROLS)]
  const place = (name: string) => name.toLowerCase().indexOf(sought)
  const starts = all.filter(([name]) => place(name) === 0 && name !== typed)
  const others = all.filter(([name]) => place(name) > 0)
  return [...starts, ...others].map(([name, detail]) => [name in CONTROLS ? `${name}=` : escaped(name), detail])
}

function operators({ name, operators }: Column): [string, string][] {
  const found = operators.map((each): [string, string] => [`${escaped(name)}${each}=`, OPERATORS[each] ?? each])
  return [...found, [escaped(name), "has a value"], [`${escaped(name)}!`, "has no value"]]
}

function values(key: string, typed: string, columns: Column[], valuesOf: (name: string) => string[]): [string, string][] {
  const build = (all: string[], detail: string) => {
    const sought = typed.toLowerCase()
    const fitting = all.filter((each) => each !== typed && each.toLowerCase().includes(sought))
    return fitting.map((each): [string, string] => [`${escaped(key)}=${escaped(each)}`, detail])
  }
  if (key === "_sort") {
    const sortable = columns.filter(({ isSortable }) => isSortable)
    return build(sortable.flatMap(({ name }) => [`-${name}`, name]), "").map(([text]) => [text, text.startsWith("_sort=-") ? "descending" : "ascending"])
  }
  if (key === "_c") return build(columns.map(({ name }) => name), "only this column")
  if (key === "_limit") return build(["100", "1000", "10000"], "rows")
  const column = columns.find(({ name }) => name === key.replace(/[!<>~*]+$/, ""))
  if (!column) return []
  if (column.kind === "boolean") return build(["true", "false"], "")
  return build(valuesOf(column.name), "")
}

function decoded(text: string): string {
  const spaced = text.replace(/\+/g, " ")
  try {
    return decodeURIComponent(spaced)
  } catch {
    return spaced // a percent sign that escapes nothing, as somebody is still typing
  }
}

function escaped(text: string): string {
  return text.replace(/[%&+#\u0000- \u007f]|^\?/g, (each) => (each === " " ? "+" : encodeURIComponent(each)))
}
