// What is not stored: messages to the clients that listen now, and who is connected.

/**
 * Follow the messages of a path that are not stored.
 *
 * @param hub an EventHub, or what `persist` made of one.
 * @param query `where` and `columns`, as of rows.
 * @returns `state`, `error`, `ready` and `close` as of rows; `subscribe(listener)` is for each message.
 */
export function sent(hub, path, { where, columns } = {}) {
  const listeners = new Set()
  return follow(hub, hub.url(path, { where, columns }), listeners, ({ _sent = [] }) => {
    for (const { _method, ...message } of _sent) call(listeners, Object.freeze(message))
  })
}

/**
 * Follow who is connected to a path.
 *
 * @param hub an EventHub, or what `persist` made of one.
 * @returns `value`, and the rest as of rows.
 */
export function presence(hub, path) {
  const listeners = new Set()
  const users = new Map() // connections by user
  let value = valueOf([], 0)

  function frame({ _presence }) {
    if (!_presence) return
    const { users: all, join = [], change = [], leave = [], anonymous = value.anonymous } = _presence
    if (all) users.clear()
    for (const { user, connections } of [...(all ?? []), ...join, ...change]) users.set(user, connections)
    for (const { user } of leave) users.delete(user)
    value = valueOf(users, anonymous)
    call(listeners, value)
  }

  const url = hub.url(path)
  url.search += `${url.search && "&"}_presence&id!=&id=0` // no row and no message is both
  const followed = follow(hub, url, listeners, frame, () => call(listeners, value))
  return Object.defineProperty(followed, "value", { get: () => value })
}

function valueOf(counted, anonymous) {
  const users = [...counted].map(([user, connections]) => Object.freeze({ user, connections }))
  const connections = users.reduce((sum, each) => sum + each.connections, anonymous)
  return Object.freeze({ users: Object.freeze(users), anonymous, connections })
}

function call(listeners, value) {
  for (const listener of listeners) queueMicrotask(() => listener(value)) // one may throw
}

// A subscription without a past: what is missed stays missed.
function follow(hub, url, listeners, frame, onState = () => {}) {
  let link = { state: "connecting", error: null }
  let shown = link.state
  let settle
  const ready = new Promise((resolve, reject) => (settle = { resolve, reject }))
  ready.catch(() => {})

  function changed() {
    if (link.state === "live") settle.resolve()
    if (link.state === "ended") settle.reject(link.error ?? closed())
    if (link.state === "offline") link.position = ""
    if (link.state !== shown) onState()
    shown = link.state
  }

  link = hub.open(url, { frame, changed }, "now")
  return {
    ready,
    get state() { return link.state },
    get error() { return link.error },
    subscribe(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    close: () => link.end(),
  }
}

function closed() {
  return Object.assign(new Error("closed"), { name: "EventHubError", code: "closed" })
}
