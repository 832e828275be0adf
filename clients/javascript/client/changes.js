// Changes and the log of a path, as they happen: `changes` and `log` of a hub.

const MAX_WAITING = 10_000 // frames; if more wait, the subscription ends, and later goes on from there

/**
 * Follow a path from a position.
 *
 * @param hub an EventHub.
 * @param kind "changes", or "log" for events with the row before and after.
 * @param options of the query, `since`, and for a log `until`.
 * @param token the hub's: a text, or what returns one.
 * @param EventHubError what is thrown if the hub refuses.
 */
export async function* follow(hub, kind, path, options, token, EventHubError) {
  const isLog = kind === "log"
  const since = options.since?.toISOString?.() ?? options.since ?? (isLog ? "earliest" : "now")
  const until = options.until ?? Infinity
  const url = hub.url(path, options)
  const epoch = await epochOf(url, since, token, EventHubError)
  if (isLog) url.search += `${url.search && "&"}_replay=log`
  const queue = []
  let wake = () => {}
  const consumer = {
    frame(frame) {
      if (frame._resume?.recovered === false) queue.push({ method: "RESET", position: null })
      if (frame._seq) queue.push((isLog ? eventOf : changeOf)(frame, link.position || null))
      if (frame._ready && (until === "now" || until <= Date.now())) queue.push(null)
      if (queue.length >= MAX_WAITING && link.position) pause()
      wake()
    },
    changed: () => wake(),
  }
  function pause() {
    link.leave()
    link.become("paused")
  }
  const link = hub.open(url, consumer, since, epoch)
  try {
    for (;;) {
      while (queue.length) {
        const next = queue.shift()
        if (!next || next.time > until) return
        yield next
      }
      if (link.error) throw link.error
      if (link.state === "ended") return
      if (link.state === "paused") link.connect()
      await new Promise((resolve) => (wake = resolve))
    }
  } finally {
    link.end()
  }
}

function changeOf({ _method: method, _seq, ...row }, position) {
  return { method, id: row.id, row, position }
}

function eventOf({ _method: method, _time, _user: user, _seq: seq, id, row, was }, position) {
  return { method, id, seq, time: new Date(_time), user, row, was, position }
}

// With the epoch, a subscription that is cut off in the past can go on.
async function epochOf(url, since, token, EventHubError) {
  if (since === "now") return ""
  if (/^\w+\.\d+$/.test(since)) return since.split(".")[0]
  const text = await (typeof token === "function" ? token() : token)
  const headers = text ? { Authorization: `Bearer ${text}` } : {}
  const answer = await fetch(`${url}${url.search ? "&" : "?"}_limit=0`, { headers, credentials: "include" })
  if (!answer.ok) throw new EventHubError((await answer.json())._error)
  return answer.headers.get("EventHub-Position").split(".")[0]
}
