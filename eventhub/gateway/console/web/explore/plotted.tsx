// The rows of an answer as a plot, whose columns and marks the user chooses.

import { useEffect, useRef, useState } from "preact/hooks"
import { params, setParams } from "../router"
import type { Column } from "./endpoints"
import type { Row } from "./grid"

const MARKS = ["line", "bar", "dot", "area"] as const
export type Mark = (typeof MARKS)[number]

type Axis = Pick<Column, "name" | "kind">

export function Plotted({ rows, columns }: { rows: Row[]; columns: Axis[] }) {
  const place = useRef<HTMLDivElement>(null)
  const [error, setError] = useState<string | null>(null)
  const [width, setWidth] = useState(0)
  const asked = (name: string) => columns.find((each) => each.name === params.value.get(name))
  const numbers = columns.filter(({ kind }) => kind === "number")
  const x = asked("x") ?? columns.find(({ kind }) => kind === "time" || kind === "date") ?? columns.find(({ kind }) => kind !== "number") ?? columns[0]!
  const y = asked("y") ?? numbers.find((each) => each !== x) ?? numbers[0]
  const colour = asked("colour")
  const mark = MARKS.find((each) => each === params.value.get("mark")) ?? (x.kind === "text" || x.kind === "boolean" ? "bar" : "line")

  useEffect(() => {
    const observer = new ResizeObserver(([entry]) => setWidth(Math.round(entry!.contentRect.width)))
    observer.observe(place.current!)
    return () => observer.disconnect()
  }, [])
  useEffect(() => {
    if (!y || !width) return
    let isGone = false
    import("./plot").then(
      ({ draw }) => {
        if (isGone) return
        place.current!.replaceChildren(draw(rows, { x, y, colour, mark, width }))
        setError(null)
      },
    ).catch((failed: Error) => isGone || setError(failed.message))
    return () => { isGone = true }
  }, [rows, x, y?.name, colour?.name, mark, width])

  const choice = (label: string, name: string, value: string, all: string[]) => (
    <label class="choice">
      <span>{label}</span>
      <select value={value} onChange={(event) => setParams({ [name]: event.currentTarget.value })}>
        {all.map((each) => <option key={each} value={each}>{each || "none"}</option>)}
      </select>
    </label>
  )
  return (
    <div class="card plotted">
      <div class="choices-row">
        {choice("Mark", "mark", mark, [...MARKS])}
        {choice("x", "x", x.name, columns.map(({ name }) => name))}
        {choice("y", "y", y?.name ?? "", (y ? [] : [""]).concat(numbers.map(({ name }) => name)))}
        {choice("Colour", "colour", colour?.name ?? "", ["", ...columns.map(({ name }) => name)])}
      </div>
      {!y && <p class="soft">There is no column of numbers to plot.</p>}
      {error && <p class="wrong" role="alert">{error}</p>}
      <div class="plot-place" ref={place} role="img" aria-label={y ? `${mark} of ${y.name} by ${x.name}` : "No plot"} />
    </div>
  )
}
