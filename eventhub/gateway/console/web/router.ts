// Where the user is: `#/VIEW?ARGUMENTS`. A view keeps its state in the arguments, so that a link shows the same.
import { computed, signal } from "@preact/signals"

const hash = signal(location.hash)
addEventListener("hashchange", () => { hash.value = location.hash })

/** The name of the view in the address; empty at the start. */
export const view = computed(() => split(hash.value)[0])
/** The arguments of the view; another object after each change. */
export const params = computed(() => new URLSearchParams(split(hash.value)[1]))

function split(text: string): [string, string] {
  const at = text.indexOf("?")
  const path = at < 0 ? text : text.slice(0, at)
  return [path.replace(/^#?\/?/, ""), at < 0 ? "" : text.slice(at + 1)]
}

export type Arguments = URLSearchParams | Record<string, string>

/** The address of a view, for `href`. */
export function link(name: string, args: Arguments = {}): string {
  const query = new URLSearchParams(args).toString()
  return `#/${name}${query && `?${query}`}`
}

/** Go to a view; Back returns. */
export function go(name: string, args: Arguments = {}): void {
  location.hash = link(name, args)
}

/** Change arguments of this view in place, without a step for Back; empty ones are removed. */
export function setParams(changes: Record<string, string>): void {
  const next = new URLSearchParams(params.value)
  for (const [name, value] of Object.entries(changes)) {
    if (value) next.set(name, value)
    else next.delete(name)
  }
  history.replaceState(null, "", link(view.value, next))
  hash.value = location.hash
}
