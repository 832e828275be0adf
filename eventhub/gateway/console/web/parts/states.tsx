import type { ComponentChildren } from "preact"
import { Button } from "./button"

/** Nothing to show, and what would change that. */
export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="state">
      <p class="state-title">{title}</p>
      {children && <div class="soft">{children}</div>}
    </div>
  )
}

/** What went wrong, in the words of the hub. */
export function Problem({ error, retry }: { error: Error; retry?: () => void }) {
  return (
    <div class="problem" role="alert">
      <p>{error.message}</p>
      {retry && <Button onClick={retry}>Try again</Button>}
    </div>
  )
}

export function Loading() {
  return <p class="state soft" role="status">Loading…</p>
}

/** One word on how something is; the colour repeats the word. */
export function Badge({ tone, children }: { tone: "good" | "wait" | "bad" | "plain"; children: ComponentChildren }) {
  return <span class={`badge ${tone}`}>{children}</span>
}
