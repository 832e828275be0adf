// What differs: two versions of a row by columns, and two texts by words.

export interface Difference {
  column: string
  from: unknown
  to: unknown
}

export interface Part {
  text: string
  /** In both texts, only in the old one, only in the new one. */
  side: "both" | "old" | "new"
}

/** Beyond so many words of both texts, a comparison word by word costs more than it shows. */
const MOST_WORDS = 400

/** Return the columns in which two versions differ; null stands for a row that does not exist. */
export function differences(before: object | null, after: object | null): Difference[] {
  const old: Record<string, unknown> = { ...before }
  const now: Record<string, unknown> = { ...after }
  return [...new Set([...Object.keys(old), ...Object.keys(now)])]
    .filter((column) => JSON.stringify(old[column] ?? null) !== JSON.stringify(now[column] ?? null))
    .map((column) => ({ column, from: old[column] ?? null, to: now[column] ?? null }))
}

/** Return the words of two texts in one order: the longest common sequence, and what was replaced. */
export function words(from: string, to: string): Part[] {
  const old = from.match(/\s+|[\p{L}\p{N}_]+|[^\s\p{L}\p{N}_]/gu) ?? []
  const now = to.match(/\s+|[\p{L}\p{N}_]+|[^\s\p{L}\p{N}_]/gu) ?? []
  if (old.length + now.length > MOST_WORDS) return joined([{ text: from, side: "old" }, { text: to, side: "new" }])
  const width = now.length + 1
  const lengths = new Uint16Array((old.length + 1) * width)
  const at = (i: number, j: number) => lengths[i * width + j]!
  for (let i = old.length - 1; i >= 0; i--) {
    for (let j = now.length - 1; j >= 0; j--) {
      const [below, right, both] = [at(i + 1, j), at(i, j + 1), at(i + 1, j + 1)]
      lengths[i * width + j] = old[i] === now[j] ? both + 1 : Math.max(below, right)
    }
  }
  const parts: Part[] = []
  let [i, j] = [0, 0]
  while (i < old.length || j < now.length) {
    if (i < old.length && j < now.length && old[i] === now[j]) {
      parts.push({ text: old[i++]!, side: "both" })
      j++
    } else if (j === now.length || (i < old.length && at(i + 1, j) >= at(i, j + 1))) parts.push({ text: old[i++]!, side: "old" })
    else parts.push({ text: now[j++]!, side: "new" })
  }
  return joined(parts)
}

function joined(parts: Part[]): Part[] {
  const found: Part[] = []
  for (const part of parts) {
    const last = found.at(-1)
    if (last?.side === part.side) last.text += part.text
    else if (part.text) found.push({ ...part })
  }
  return found
}
