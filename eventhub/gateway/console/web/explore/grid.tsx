// A table of any number of rows, of which only those in view are in the document.

import type { ComponentChildren } from "preact"
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks"
import type { Column } from "./endpoints"
import { textOf, Value } from "./values"

export type Row = Readonly<Record<string, any>>

interface Properties {
  label: string
  rows: readonly Row[]
  columns: Pick<Column, "name" | "kind">[]
  /** The last row first. */
  isReversed?: boolean
  /** What changed is marked for a moment, if rows have an `id`. */
  marksChanges?: boolean
  /** Where the first cell of a row leads to. */
  hrefOf?: (row: Row) => string
  /** In which order the rows are, if they are sorted. */
  sort?: string
  onSort?: (column: string) => void
}

const HEIGHT = 36 // px of a row, as in the style sheet
const OVERSCAN = 6
const FLASH = 1500 // ms
const SAMPLE = 60
const PIXELS = 8 // of a character
const STEPS: Record<string, number> = { ArrowDown: 1, ArrowUp: -1 }
const RIGHT = new Set(["integer", "number"])

/** Rows in a box that scrolls; arrow keys go from row to row. */
export function Grid({ label, rows, columns, isReversed, marksChanges, hrefOf, sort, onSort }: Properties) {
  const box = useRef<HTMLDivElement>(null)
  const [view, setView] = useState({ top: 0, height: 600 })
  const widths = useWidths(rows, columns)
  const flashOf = useFlashes(marksChanges ?? false)
  const at = (place: number): Row => rows[isReversed ? rows.length - 1 - place : place]!
  const first = Math.max(0, Math.min(Math.floor(view.top / HEIGHT) - OVERSCAN, rows.length - 1))
  const end = Math.min(rows.length, Math.ceil((view.top + view.height) / HEIGHT) + OVERSCAN)
  useStill(box, rows.length, isReversed ?? false)

  useLayoutEffect(() => {
    const element = box.current!
    const measure = () => setView({ top: element.scrollTop, height: element.clientHeight })
    const observer = new ResizeObserver(measure)
    observer.observe(element)
    element.addEventListener("scroll", measure, { passive: true })
    return () => {
      observer.disconnect()
      element.removeEventListener("scroll", measure)
    }
  }, [])

  function move(event: KeyboardEvent) {
    const step = STEPS[event.key]
    const link = (event.target as Element).closest?.("tr")
    if (!step || !hrefOf || !box.current) return
    const place = link ? Number(link.getAttribute("aria-rowindex")) - 2 + step : first
    if (place < 0 || place >= rows.length) return
    event.preventDefault()
    const top = place * HEIGHT
    if (top < box.current.scrollTop) box.current.scrollTop = top
    else if (top + 2 * HEIGHT > box.current.scrollTop + box.current.clientHeight) box.current.scrollTop = top + 2 * HEIGHT - box.current.clientHeight
    const focus = () => box.current?.querySelector<HTMLElement>(`tr[aria-rowindex="${place + 2}"] a`)?.focus({ preventScroll: true })
    requestAnimationFrame(() => requestAnimationFrame(focus))
  }

  const body: ComponentChildren[] = []
  for (let place = first; place < end; place++) {
    const row = at(place)
    const flash = flashOf(row)
    body.push(
      <tr key={hrefOf ? row.id : place} aria-rowindex={place + 2} class={flash?.isNew ? "entered" : undefined}>
        {columns.map(({ name, kind }, index) => (
          <td key={flash?.columns.has(name) ? `${name} ${flash.since}` : name} class={classOf(kind, flash?.columns.has(name))} title={textOf(row[name])}>
            {index === 0 && hrefOf ? <a href={hrefOf(row)}>{textOf(row[name])}</a> : <Value value={row[name]} kind={kind} />}
          </td>
        ))}
      </tr>,
    )
  }
  return (
    <div class="grid" ref={box} role="region" aria-label={label} tabIndex={0} onKeyDown={move}>
      <table aria-rowcount={rows.length + 1} style={{ minWidth: `${widths.reduce((sum, each) => sum + each, 0)}px` }}>
        <colgroup>
          {columns.map(({ name }, place) => (
            <col key={name} style={{ width: `${widths[place]}px` }} />
          ))}
        </colgroup>
        <thead>
          <tr aria-rowindex={1}>
            {columns.map(({ name, kind }) => (
              <Head key={name} name={name} kind={kind} sort={sort} onSort={kind === "json" ? undefined : onSort} />
            ))}
          </tr>
        </thead>
        <tbody>
          <tr class="space" aria-hidden="true" style={{ height: `${first * HEIGHT}px` }} />
          {body}
          <tr class="space" aria-hidden="true" style={{ height: `${Math.max(0, rows.length - end) * HEIGHT}px` }} />
        </tbody>
      </table>
    </div>
  )
}

function Head({ name, kind, sort, onSort }: { name: string; kind: Column["kind"]; sort?: string; onSort?: (column: string) => void }) {
  const isSorted = sort?.replace(/^-|\*$/g, "") === name
  const order = !isSorted ? undefined : sort!.startsWith("-") ? "descending" : "ascending"
  const mark = order && <span aria-hidden="true">{order === "ascending" ? " ↑" : " ↓"}</span>
  return (
    <th scope="col" class={classOf(kind)} aria-sort={order}>
      {onSort ? <button type="button" onClick={() => onSort(name)}>{name}{mark}</button> : name}
    </th>
  )
}

function classOf(kind: Column["kind"], isChanged = false): string | undefined {
  const classes = [RIGHT.has(kind) && "right", isChanged && "changed"].filter(Boolean)
  return classes.join(" ") || undefined
}

/** The widths of columns in pixels, by what the first rows hold. */
function useWidths(rows: readonly Row[], columns: Pick<Column, "name" | "kind">[]): number[] {
  const kept = useRef({ key: "", widths: [] as number[] })
  const key = JSON.stringify([columns.map(({ name }) => name), Math.min(rows.length, 1)])
  if (kept.current.key !== key) {
    const length = (row: Row, { name, kind }: Pick<Column, "name" | "kind">) => (kind === "time" ? 19 : textOf(row[name]).length)
    const sample = [...rows.slice(0, SAMPLE / 2), ...rows.slice(-SAMPLE / 2)]
    const longest = (column: Pick<Column, "name" | "kind">) => Math.max(column.name.length + 3, ...sample.map((row) => length(row, column)))
    kept.current = { key, widths: columns.map((column) => Math.round(Math.min(Math.max(longest(column), 6), 44) * PIXELS + 40)) }
  }
  return kept.current.widths
}

interface Flash {
  columns: Set<string>
  isNew: boolean
  since: number
}

/** What changed in a row since it was last rendered, for a moment. */
function useFlashes(isOn: boolean): (row: Row) => Flash | undefined {
  const seen = useRef(new Map<string, Row>())
  const flashes = useRef(new Map<string, Flash>())
  const newest = useRef(0)
  const highest = useRef(0)
  const [, redraw] = useState(0)
  useEffect(() => {
    newest.current = highest.current
    if (!flashes.current.size) return
    const timer = setTimeout(() => redraw((turn) => turn + 1), FLASH)
    return () => clearTimeout(timer)
  })
  return (row) => {
    if (!isOn || row.id === undefined) return
    const before = seen.current.get(row.id)
    if (seen.current.size > 5000) seen.current.clear()
    seen.current.set(row.id, row)
    highest.current = Math.max(highest.current, row._seq ?? 0)
    const now = performance.now()
    if (before && before !== row) {
      const columns = Object.keys(row).filter((name) => name[0] !== "_" && JSON.stringify(row[name]) !== JSON.stringify(before[name]))
      if (columns.length) flashes.current.set(row.id, { columns: new Set(columns), isNew: false, since: now })
    } else if (!before && newest.current && row._seq > newest.current) {
      flashes.current.set(row.id, { columns: new Set(), isNew: true, since: now })
    }
    const flash = flashes.current.get(row.id)
    if (flash && now - flash.since > FLASH) flashes.current.delete(row.id)
    return flashes.current.get(row.id)
  }
}

/** Keep what is in view where it is when rows come above it. */
function useStill(box: { current: HTMLDivElement | null }, count: number, isReversed: boolean) {
  const before = useRef(count)
  useLayoutEffect(() => {
    const added = count - before.current
    before.current = count
    if (isReversed && added > 0 && box.current && box.current.scrollTop > HEIGHT) box.current.scrollTop += added * HEIGHT
  }, [count])
}
