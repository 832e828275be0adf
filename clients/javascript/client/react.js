// Live rows as a React hook.

import { useMemo, useSyncExternalStore } from "react"

const LINGER = 200 // ms that rows stay open without a component, as between two effects of StrictMode
const NONE = Object.freeze({ rows: Object.freeze([]), state: "connecting", error: null })
const opened = new WeakMap() // by hub: what is open, by path and options

/**
 * The rows of a path, as `hub.rows` has them. Components with the same arguments share one subscription.
 *
 * @param hub an EventHub, or what `persist` made of one; on a server it may be null.
 * @returns the same `{ rows, state, error }` until something changed.
 */
export function useRows(hub, path, options = {}) {
  const key = JSON.stringify([path, options], (_, value) => (typeof value === "bigint" ? `${value}n` : value))
  // The key has the options: others with the same key are equal.
  const store = useMemo(() => storeOf(hub, key, path, options), [hub, key])
  return useSyncExternalStore(store.subscribe, store.snapshot, () => NONE)
}

function storeOf(hub, key, path, options) {
  return {
    snapshot: () => (hub && opened.get(hub)?.get(key)?.snapshot) ?? NONE,
    subscribe(listener) {
      if (!hub) return () => {}
      if (!opened.has(hub)) opened.set(hub, new Map())
      const all = opened.get(hub)
      if (!all.has(key)) all.set(key, open(hub, path, options))
      const shared = all.get(key)
      clearTimeout(shared.timer)
      shared.listeners.add(listener)
      return () => {
        shared.listeners.delete(listener)
        if (shared.listeners.size) return
        shared.timer = setTimeout(() => {
          all.delete(key)
          shared.rows.close()
        }, LINGER)
      }
    },
  }
}

function open(hub, path, options) {
  const rows = hub.rows(path, options)
  const listeners = new Set()
  const shared = { rows, listeners, snapshot: NONE, timer: null }
  function changed() {
    shared.snapshot = Object.freeze({ rows: rows.value, state: rows.state, error: rows.error })
    listeners.forEach((listener) => listener())
  }
  rows.subscribe(changed)
  return shared
}
