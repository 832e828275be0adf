// Observable Plot, loaded when a plot is shown first.

import { areaY, axisX, barY, dot, gridY, lineY, plot, ruleY } from "@observablehq/plot"
import type { Column } from "./endpoints"
import type { Row } from "./grid"
import type { Mark } from "./plotted"
import { momentOf } from "./values"

type Axis = Pick<Column, "name" | "kind">

interface Options {
  x: Axis
  y: Axis
  colour?: Axis
  mark: Mark
  width: number
}

const MANY = 8 // labels of an ordinal axis, beyond which they are turned

/** Return a plot as an element. */
export function draw(rows: Row[], { x, y, colour, mark, width }: Options): Element {
  const at = (row: Row) => (x.kind === "time" || x.kind === "date" ? momentOf(row[x.name]) : row[x.name])
  // Stacks have one order from left to right.
  const channels = { x: at, y: y.name, ...(colour && (mark === "bar" || mark === "area") ? { order: "z" as const } : {}), [mark === "line" || mark === "dot" ? "stroke" : "fill"]: colour?.name ?? "var(--accent)" }
  const marks = { line: lineY, bar: barY, dot, area: areaY }
  const isOrdinal = mark === "bar" || x.kind === "text" || x.kind === "boolean"
  const labels = isOrdinal ? new Set(rows.map((row) => String(row[x.name]))).size : 0
  const element = plot({
    className: "drawn",
    width,
    height: Math.min(420, Math.max(260, width / 2)),
    marginLeft: 56,
    marginBottom: labels > MANY ? 90 : 44,
    x: { label: x.name },
    y: { label: y.name, nice: true },
    color: { legend: colour !== undefined },
    marks: [gridY({ stroke: "var(--line)", strokeOpacity: 1 }), axisX({ label: x.name, tickRotate: labels > MANY ? -40 : 0 }), marks[mark](rows as Row[], channels), ...(mark === "bar" || mark === "area" ? [ruleY([0], { stroke: "var(--field)" })] : [])],
  })
  // Its styles are in the console's style sheet: the policy forbids elements that hold some.
  for (const style of element.querySelectorAll("style")) style.remove()
  // The plot is one image to assistive technology, whose label says what it shows.
  for (const part of element.querySelectorAll("g[aria-label]")) part.removeAttribute("aria-label")
  return element
}
