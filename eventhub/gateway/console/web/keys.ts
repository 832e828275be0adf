// Keys: `useKeys` gives a view its own; all of them are listed by `?`.
import { signal } from "@preact/signals"
import { useEffect } from "preact/hooks"

export interface Key {
  /** As in `KeyboardEvent.key`; two with a space between are pressed one after the other. */
  key: string
  /** What it does, for the list. */
  does: string
  run: () => void
}

/** All keys that work now, by who has them; the frame's come first. */
export const keys = signal<ReadonlyMap<string, readonly Key[]>>(new Map())

/** Give keys to a component as long as it is shown; `owner` is the heading in the list. */
export function useKeys(owner: string, own: readonly Key[]): void {
  useEffect(() => {
    keys.value = new Map([...keys.value, [owner, own]])
    return () => {
      const next = new Map(keys.value)
      if (next.get(owner) === own) next.delete(owner)
      keys.value = next
    }
  }, [owner, own])
}

const FIRST_SECONDS = 1.5
let first = { key: "", at: 0 }

const isTyping = (target: EventTarget | null) =>
  target instanceof HTMLElement && (target.isContentEditable || target.matches("input, textarea, select"))

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || event.isComposing) return
  if (event.key === "Escape" && isTyping(event.target)) return (event.target as HTMLElement).blur()
  if (isTyping(event.target) || document.querySelector("dialog[open]")) return
  const isSecond = first.key !== "" && event.timeStamp - first.at < FIRST_SECONDS * 1000
  const pressed = isSecond ? `${first.key} ${event.key}` : event.key
  const all = [...keys.value.values()].flat()
  const found = all.find((each) => each.key === pressed)
  const isFirst = !isSecond && all.some((each) => each.key.startsWith(`${event.key} `))
  first = isFirst ? { key: event.key, at: event.timeStamp } : { key: "", at: 0 }
  if (found) {
    event.preventDefault()
    found.run()
  }
})
