// Lines over time, drawn by uPlot in the colours of the page; loaded only by views that have one.
import uPlot from "uplot"

export interface Plot {
  show: (times: readonly number[], lines: readonly (readonly number[])[]) => void
  destroy: () => void
}

const HEIGHT = 110
const LEAST_SECONDS = 120
const MINUTES = [60, 120, 300, 600] // seconds between labels, which have no seconds

/**
 * Draw into an element as wide as it is; it is drawn again when the theme or its width changes.
 * `onHover` gets the number of the sample below the pointer, or null.
 */
export function draw(place: HTMLElement, names: readonly string[], onHover: (at: number | null) => void): Plot {
  const token = (name: string) => () => {
    const probe = document.createElement("span") // a token may be light-dark(), which a canvas does not know
    probe.style.color = `var(--${name})`
    place.append(probe)
    const found = getComputedStyle(probe).color
    probe.remove()
    return found
  }
  const axis = { stroke: token("quiet"), grid: { stroke: token("line"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" }
  const plot = new uPlot(
    {
      width: place.clientWidth,
      height: HEIGHT,
      padding: [6, 2, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
      hooks: { setCursor: [(self) => onHover(self.cursor.idx ?? null)] },
      scales: {
        x: { range: (_, first, last) => [Math.min(first, last - LEAST_SECONDS), last] },
        y: { range: (_, __, most) => [0, Math.max(most * 1.15, 1)] },
      },
      axes: [
        { ...axis, size: 24, space: 70, incrs: MINUTES, values: (_, ticks) => ticks.map((each) => new Date(each * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })) },
        { ...axis, size: 38, space: 36 },
      ],
      series: [
        {},
        ...names.map((label, number) => ({ label, stroke: token(number ? "wait" : "accent"), fill: number ? undefined : token("tint"), width: 1.75, points: { show: false } })),
      ],
    },
    [[], ...names.map(() => [])],
    place,
  )
  const resized = new ResizeObserver(() => plot.setSize({ width: place.clientWidth, height: HEIGHT }))
  resized.observe(place)
  const again = () => plot.redraw(false)
  const dark = matchMedia("(prefers-color-scheme: dark)")
  dark.addEventListener("change", again)
  const themed = new MutationObserver(again)
  themed.observe(document.documentElement, { attributeFilter: ["data-theme"] })
  return {
    show: (times, lines) => plot.setData([[...times], ...lines.map((each) => [...each])]),
    destroy: () => {
      resized.disconnect()
      themed.disconnect()
      dark.removeEventListener("change", again)
      plot.destroy()
    },
  }
}
