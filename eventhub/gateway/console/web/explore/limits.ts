import type { Limits } from "./endpoints"

/** Say in words what one statement may cost. */
export function limitsOf({ rows, seconds, memory }: Limits): string {
  const unit = memory.replace(/^(\d+)\s*/, "$1 ")
  return `At most ${rows.toLocaleString()} rows, ${seconds.toLocaleString()} seconds and ${unit} of memory`
}
