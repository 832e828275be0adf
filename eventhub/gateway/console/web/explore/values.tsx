// How a value of a row is shown: in a cell, and whole.

import type { Column } from "./endpoints"

const TIME = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" })
const SHORT: Intl.DateTimeFormatOptions = { month: "short", day: "numeric", hour: "numeric", minute: "2-digit", second: "2-digit" }
const THIS_YEAR = new Intl.DateTimeFormat(undefined, SHORT)
const ANY_YEAR = new Intl.DateTimeFormat(undefined, { ...SHORT, year: "numeric" })
/** What stands for no value. */
export const NONE = "–"

/** Return a value as one line of text; empty if there is none. */
export function textOf(value: unknown): string {
  if (value === null || value === undefined) return ""
  return typeof value === "object" ? JSON.stringify(value) : String(value)
}

/** Return the moment that a time of the hub names, which is in UTC if it has no zone. */
export function momentOf(text: string): Date {
  return new Date(/(Z|[+-]\d\d:?\d\d)$/i.test(text) || !text.includes("T") ? text : `${text}Z`)
}

/** Return a moment in the words of the reader's country, in the time of this browser. */
export function timeOf(moment: Date | string): string {
  const date = typeof moment === "string" ? momentOf(moment) : moment
  return Number.isNaN(date.getTime()) ? String(moment) : TIME.format(date)
}

/** Return a moment as `timeOf` does, shorter: without a year that is this one. */
function shortTimeOf(text: string): string {
  const date = momentOf(text)
  if (Number.isNaN(date.getTime())) return text
  return (date.getFullYear() === new Date().getFullYear() ? THIS_YEAR : ANY_YEAR).format(date)
}

/** One value in a cell of a table. */
export function Value({ value, kind }: { value: unknown; kind: Column["kind"] }) {
  if (value === null || value === undefined) return <span class="none">{NONE}</span>
  if (kind === "time" && typeof value === "string") return <time title={value}>{shortTimeOf(value)}</time>
  if (kind === "boolean") return <span class={`truth ${value}`}>{String(value)}</span>
  return <>{textOf(value)}</>
}
