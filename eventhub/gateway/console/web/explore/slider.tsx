// A slider through the events of a table, over a picture of when there were how many.

import { useMemo } from "preact/hooks"
import { counted } from "./hub"
import { histogram, placeAt, share, type Step } from "./steps"
import { timeOf } from "./values"

const BINS = 120
const SCALE = 1000
const PAGE = 0.1 // of the events, for Page Up and Page Down

/** The time between the first and the last event; arrow keys go from event to event. */
export function Slider({ steps, place, onMove }: { steps: Step[]; place: number; onMove: (place: number) => void }) {
  const counts = useMemo(() => histogram(steps, BINS), [steps])
  const highest = Math.max(...counts)
  const [first, last] = [steps[0]!, steps.at(-1)!]
  const now = share(steps, steps[place]!.time)
  const page = Math.max(1, Math.round(steps.length * PAGE))
  const keys: Record<string, number> = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageUp: page, PageDown: -page, Home: -steps.length, End: steps.length }

  function press(event: KeyboardEvent) {
    const by = keys[event.key]
    if (by === undefined || event.ctrlKey || event.metaKey || event.altKey) return
    event.preventDefault()
    onMove(Math.min(steps.length - 1, Math.max(0, place + by)))
  }

  return (
    <div class="slider">
      <svg viewBox={`0 0 ${BINS} 30`} preserveAspectRatio="none" aria-hidden="true">
        {counts.map((count, bin) => {
          const height = count && 2 + (28 * Math.sqrt(count)) / Math.sqrt(highest)
          return <rect key={bin} x={bin + 0.1} y={30 - height} width={0.8} height={height} class={(bin + 0.5) / BINS <= now ? "past" : "future"} />
        })}
      </svg>
      <input
        type="range"
        min={0}
        max={SCALE}
        step="any"
        value={now * SCALE}
        aria-label="Moment"
        aria-valuetext={`${timeOf(new Date(steps[place]!.time))}, event ${place + 1} of ${steps.length}`}
        onInput={(event) => onMove(placeAt(steps, first.time + (Number(event.currentTarget.value) / SCALE) * (last.time - first.time)))}
        onKeyDown={press}
      />
      <div class="ends soft">
        <span>{timeOf(new Date(first.time))}</span>
        <span>{counted(steps.length, "event")}</span>
        <span>{timeOf(new Date(last.time))}</span>
      </div>
    </div>
  )
}
