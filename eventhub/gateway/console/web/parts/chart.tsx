import { useEffect, useRef, useState } from "preact/hooks"
import type { Plot } from "./plot"

interface Props {
  title: string
  /** The newest value, as people read it. */
  now: string
  /** What it means. */
  note: string
  /** Seconds since 1970. */
  times: readonly number[]
  lines: readonly { name: string; values: readonly number[] }[]
  /** Where there is more about it. */
  href?: string
}

/** A number that was sampled, and its past. The plot is for eyes; the number and its range are text. */
export function Chart({ title, now, note, times, lines, href }: Props) {
  const place = useRef<HTMLDivElement>(null)
  const plot = useRef<Plot | null>(null)
  const [hovered, hover] = useState<number | null>(null)
  const data = useRef({ times, lines })
  data.current = { times, lines }
  useEffect(() => {
    let isGone = false
    import("./plot").then(({ draw }) => {
      if (!isGone && place.current) plot.current = draw(place.current, data.current.lines.map((each) => each.name), hover)
      plot.current?.show(data.current.times, data.current.lines.map((each) => each.values))
    })
    return () => {
      isGone = true
      plot.current?.destroy()
    }
  }, [])
  useEffect(() => plot.current?.show(times, lines.map((each) => each.values)), [times, lines])
  const values = lines[0]!.values
  const at = hovered === null ? undefined : times[hovered]
  const most = values.length ? Math.max(...values) : 0
  return (
    <section class="card chart">
      <h2>{href ? <a href={href}>{title}</a> : title}</h2>
      <p class="now">{at === undefined ? now : values[hovered!]!.toLocaleString()}</p>
      <p class="soft">{at === undefined ? note : `at ${new Date(at * 1000).toLocaleTimeString()}`}</p>
      <div ref={place} class="plot" role="img" aria-label={`${title} in the last 15 minutes, at most ${most.toLocaleString()}`} />
    </section>
  )
}
