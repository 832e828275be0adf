// The events of a table as the steps of a slider.

export interface Step {
  seq: number
  /** Milliseconds since 1970. */
  time: number
  method: string
  id: string
  user: string | null
}

/** Count the events in equal parts of the time between the first and the last step. */
export function histogram(steps: Step[], bins: number): number[] {
  const counts = new Array<number>(bins).fill(0)
  for (const { time } of steps) {
    const bin = Math.min(bins - 1, Math.floor(share(steps, time) * bins))
    counts[bin] = counts[bin]! + 1
  }
  return counts
}

/** Return where a time lies between the first (0) and the last step (1). */
export function share(steps: Step[], time: number): number {
  const [first, last] = [steps[0]?.time ?? 0, steps.at(-1)?.time ?? 0]
  if (last === first) return 1
  return Math.min(1, Math.max(0, (time - first) / (last - first)))
}

/** Return the place of the last step at or before a sequence; 0 if all are after it. */
export function placeOf(steps: Step[], seq: number): number {
  let [low, high] = [0, steps.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (steps[middle]!.seq <= seq) low = middle + 1
    else high = middle
  }
  return Math.max(0, low - 1)
}

/** Return the place of the last step at or before a moment; 0 if all are after it. */
export function placeAt(steps: Step[], time: number): number {
  const after = steps.findIndex((step) => step.time > time)
  return Math.max(0, (after < 0 ? steps.length : after) - 1)
}
