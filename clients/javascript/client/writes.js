// Writes: `post`, `put` and `delete` of a hub, and `send`.

const PAUSE = 20_000 // ms
const KEY = 540_000 // ms; a hub remembers a `_key` for 10 minutes
const MAX_WRITES = 1000
const LATE = 5000 // ms; a message that is not stored is sent on within them, or never

const takers = new Map() // of outcomes, by `_ref`, which is one for all sockets of the page
let lastRef = 0

/** Take a frame that is of no subscription: perhaps the outcome of a write. */
export function settle(frame) {
  takers.get(frame._ack ?? frame._error?.ref)?.(frame)
}

/**
 * Write once, and return the receipt.
 *
 * @param path the `links` of the path, which are its subscriptions; it gets an `outbox`.
 * @param url of the path.
 * @param message with `_method`; a SEND is sent at most once.
 * @param onSend called when it is sent for the first time.
 * @param open opens a subscription: (url, consumer, since).
 * @param EventHubError what a refused write rejects with.
 * @param pauseOf returns how many ms to wait: (tries, error).
 */
export function write(path, url, message, onSend, open, EventHubError, pauseOf) {
  path.outbox ??= outboxOf(path.links, url, open, EventHubError, pauseOf)
  return path.outbox.write(message, onSend)
}

// The writes of a path without an outcome. One of its subscriptions carries all, in order.
function outboxOf(links, url, open, EventHubError, pauseOf) {
  const writes = new Map() // by `_ref`
  let carrier, own, idle

  function write(message, onSend) {
    if (writes.size >= MAX_WRITES) {
      throw new EventHubError({ code: "too_many", message: "too many writes wait" })
    }
    const isSend = message._method === "SEND"
    const _key = isSend ? undefined : crypto.getRandomValues(new Uint32Array(4)).join("-")
    const _ref = ++lastRef
    const text = JSON.stringify({ _key, ...message, _ref })
    return new Promise((resolve, reject) => {
      const each = { ref: _ref, text, isSend, onSend, tries: 0, resolve, reject }
      if (isSend) setTimeout(() => writes.has(_ref) && drop(_ref), LATE)
      writes.set(_ref, each)
      takers.set(_ref, take)
      if (carrier) transmit(each)
      else note()
    })
  }

  function drop(ref) {
    take({ _error: { code: "unavailable", message: "no connection: it may not have been sent", ref } })
  }

  function transmit(each) {
    if (each.isSend && each.since) return drop(each.ref)
    each.since ??= each.onSend?.() ?? Date.now()
    if (Date.now() - each.since < KEY) carrier.send(each.text)
    else take({ _error: { code: "unknown_outcome", message: "no answer in time", ref: each.ref } })
  }

  function take({ _ack, _error: error, ...receipt }) {
    const ref = _ack ?? error.ref
    const each = writes.get(ref)
    // With `_sub`, its subscription has just ended: it is sent again when there is one.
    const isPassing = error?.retry && !each.isSend && !(error.retry_after > 60)
    if (error?.column === "_sub" || isPassing) {
      const again = () => writes.has(ref) && carrier && transmit(each)
      return setTimeout(again, pauseOf(each.tries++, error))
    }
    forget(ref)
    if (error) each.reject(new EventHubError(error))
    else each.resolve(receipt)
    clearTimeout(idle)
    if (own) idle = setTimeout(() => writes.size || own?.end(), PAUSE)
  }

  function forget(ref) {
    writes.delete(ref)
    takers.delete(ref)
  }

  function fail(error) {
    for (const [ref, { reject }] of writes) {
      forget(ref)
      reject(new EventHubError(error))
    }
  }

  // Called after each change of a subscription.
  function note(link) {
    if (own && link === own && link.state === "ended") {
      own = null
      if (link.error) fail(link.error)
    }
    const before = carrier
    carrier = [...links].find(({ isOpen }) => isOpen)
    if (carrier && carrier !== before) writes.forEach(transmit)
    if (writes.size && ![...links].some(({ state }) => state !== "paused")) own = openOwn()
  }

  function openOwn() {
    const mine = new URL(url)
    mine.search = "id!" // matches nothing
    return open(mine, { frame() {}, changed() {} }, "now")
  }

  return { write, fail, note }
}
