// See eventhub.d.ts.

const FINAL = [4400, 4401, 4403, 4404]
const PAUSE = 20_000 // ms
const SILENCE = 70_000 // ms; `_tick` is every 25 s
const KEY = 540_000 // ms; a hub remembers a `_key` for 10 minutes
const MAX_WRITES = 1000
const SPARE = 50 // rows beyond a limit, in place of those that go

export class EventHubError extends Error {
  constructor(error) {
    super(error.message)
    Object.assign(this, error, { name: "EventHubError" })
  }
}

const CLOSED = { code: "closed", message: "closed" }

export class EventHub {
  #base
  #token
  #outboxes = new Map()

  constructor(url = location.origin, { token } = {}) {
    this.#base = new URL(url.replace(/\/?$/, "/"))
    this.#token = async () => (typeof token === "function" ? token() : token)
    this.#listen("addEventListener")
  }

  rows(path, options = {}) {
    return liveRows(options, (consumer) => this.#open(this.#url(path, options), consumer))
  }

  changes = (...args) => this.#follow("changes", ...args)
  log = (...args) => this.#follow("log", ...args)
  post = (...args) => this.#write("POST", ...args)
  put = (...args) => this.#write("PUT", ...args)
  delete = (path, id, onSend) => this.#write("DELETE", path, id.id ? id : { id }, onSend)
  reconnect = () => this.#each((link) => link.wake())

  close() {
    this.#listen("removeEventListener")
    this.#outboxes.forEach((outbox) => outbox.fail(CLOSED))
    this.#each((link) => link.end())
  }

  #listen(how) {
    for (const name of ["online", "offline"]) globalThis[how]?.(name, this.reconnect)
  }

  #each(call) {
    this.#outboxes.forEach(({ links }) => links.forEach(call))
  }

  #url(path, { where = {}, columns, sort = [], limit } = {}) {
    const url = new URL(path, this.#base)
    const args = url.search ? [url.search.slice(1)] : []
    const add = (key, value) => args.push(`${encodeURIComponent(key)}=${encodeURIComponent(value)}`)
    for (const [key, value] of Object.entries(where)) {
      const values = [value].flat()
      if (value === null) add(`${key}!`, "")
      // An empty condition would widen the answer.
      else if (key[0] === "_" || !values.length || values.some((each) => (each ?? "") === "")) {
        throw new TypeError(`where: ${key}: expected a column and a value`)
      } else values.forEach((each) => add(key, each.toISOString?.() ?? each))
    }
    const names = columns && new Set(["id", ...columns, ...keysOf(sort).map(({ name }) => name)])
    names?.forEach((name) => add("_c", name))
    if (limit >= 0) {
      [sort].flat().forEach((key) => add("_sort", key))
      add("_limit", limit + SPARE)
    }
    url.search = args.join("&")
    return url
  }

  #open(url, consumer, since, epoch) {
    const link = connection(url, this.#token, this.#outbox(url), consumer, since, epoch)
    link.connect()
    return link
  }

  #outbox({ origin, pathname }) {
    const url = new URL(`${origin}${pathname}?id!`) // matches nothing
    const open = () => this.#open(url, { frame() {}, changed() {} }, "now")
    if (!this.#outboxes.has(pathname)) this.#outboxes.set(pathname, outboxOf(open))
    return this.#outboxes.get(pathname)
  }

  async #write(_method, path, message, onSend) {
    return this.#outbox(this.#url(path)).write({ ...message, _method }, onSend)
  }

  async *#follow(kind, path, options = {}) {
    const module = await import("./client/changes.js")
    const open = (...args) => this.#open(...args)
    yield* module.follow(kind, this.#url(path, options), options, open, this.#token, EventHubError)
  }
}

// A WebSocket that comes back from its position.
function connection(url, tokenOf, outbox, consumer, since = "", epoch = "") {
  const send = (text) => socket.send(text)
  const link = { state: "connecting", error: null, position: "", connect, send, wake, reload, pause, end }
  let socket, attempt, timer, problem
  let tries = 0

  async function connect() {
    const mine = (attempt = {})
    outbox.add(link)
    become("connecting")
    watch(PAUSE)
    const protocols = ["eventhub.v2.json"]
    const token = await tokenOf().catch(() => mine === attempt && lost())
    if (mine !== attempt) return
    const encoded = btoa(token).replace(/=/g, "").replace(/\+/g, "-").replace(/\//g, "_")
    if (token) protocols.push(`base64url.bearer.eventhub.${encoded}`)
    const from = link.position || since
    const address = new URL(url)
    address.protocol = url.protocol.replace("http", "ws")
    if (from) address.search += `${url.search && "&"}_since=${encodeURIComponent(from)}`
    else epoch = ""
    problem = null
    socket = new WebSocket(address, protocols)
    socket.onopen = () => {
      watch(SILENCE)
      if (!from) consumer.frame({ _resume: { recovered: false } })
      outbox.open(link)
    }
    socket.onmessage = ({ data }) => receive(JSON.parse(data))
    socket.onclose = ({ code }) => lost(code)
  }

  function receive(frame) {
    watch(SILENCE)
    const { _error, _ready, _resume, _rows = [], _changes = [] } = frame
    if ("_ack" in frame || _error?.ref) return outbox.settle(frame)
    if (_error) problem = _error
    if (frame._auth === "expiring") renew(socket)
    if (_resume?.recovered === false) link.position = epoch = ""
    const position = _ready?.position ?? frame._tick
    if (position) epoch = position.split(".")[0]
    link.position = position ?? link.position
    for (const row of _rows) consumer.frame({ ...row, _method: "POST" })
    for (const change of _changes) {
      if (epoch) link.position = `${epoch}.${change._seq}`
      consumer.frame(change)
    }
    consumer.frame(frame)
    if (!_ready) return
    tries = 0
    become("live")
  }

  async function renew(from) {
    const token = await tokenOf().catch(() => {})
    if (token && from === socket) send(JSON.stringify({ _auth: token }))
  }

  function lost(code) {
    drop()
    if (FINAL.includes(code)) return end(problem ?? { code: "closed", message: `closed with ${code}` })
    if (code === 4411) link.position = since = "" // other rows from now on
    timer = setTimeout(connect, pauseOf(tries++, problem))
    become("offline")
  }

  function drop() {
    clearTimeout(timer)
    attempt = null
    if (socket) socket.onopen = socket.onmessage = socket.onclose = null
    socket?.close()
    socket = null
    outbox.lose(link)
  }

  function wake() {
    tries = 0
    if (link.state === "offline") connect()
    if (link.state === "live") lost() // nothing says whether it still works
  }

  function reload() {
    if (link.state !== "ended") lost(4411)
  }

  function pause() {
    drop()
    become("paused")
    outbox.ensure()
  }

  function end(error) {
    if (link.state === "ended") return
    drop()
    link.error = error ? new EventHubError(error) : null
    become("ended")
    outbox.remove(link)
  }

  function watch(ms) {
    clearTimeout(timer)
    timer = setTimeout(lost, ms)
  }

  function become(state) {
    link.state = state
    consumer.changed()
  }

  return link
}

// The writes of a path without an outcome: one socket carries all, in order.
function outboxOf(openOwn) {
  const links = new Set()
  const opened = new Set()
  const writes = new Map()
  let own, carrier, idle
  let count = 0

  function write(message, onSend) {
    if (writes.size >= MAX_WRITES) {
      throw new EventHubError({ code: "too_many", message: "too many writes wait" })
    }
    const _key = crypto.getRandomValues(new Uint32Array(4)).join("-")
    const _ref = ++count
    const text = JSON.stringify({ _key, ...message, _ref })
    return new Promise((resolve, reject) => {
      writes.set(_ref, { ref: _ref, text, onSend, tries: 0, resolve, reject })
      if (carrier) transmit(writes.get(_ref))
      else ensure()
    })
  }

  function transmit(each) {
    each.since ??= each.onSend?.() ?? Date.now()
    if (Date.now() - each.since < KEY) carrier.send(each.text)
    else settle({ _error: { code: "unknown_outcome", message: "no answer in time", ref: each.ref } })
  }

  function settle({ _ack, _error: error, ...receipt }) {
    const ref = _ack ?? error.ref
    const each = writes.get(ref)
    if (!each) return
    if (error?.retry && !(error.retry_after > 60)) {
      const again = () => writes.has(ref) && carrier && transmit(each)
      return setTimeout(again, pauseOf(each.tries++, error))
    }
    writes.delete(ref)
    if (error) each.reject(new EventHubError(error))
    else each.resolve(receipt)
    clearTimeout(idle)
    if (own) idle = setTimeout(() => writes.size || own?.end(), PAUSE)
  }

  function carryBy(link) {
    carrier = link
    if (link) [...writes.values()].forEach(transmit)
  }

  function ensure() {
    if (writes.size && ![...links].some(({ state }) => state !== "paused")) own = openOwn()
  }

  function fail(error) {
    writes.forEach(({ reject }) => reject(new EventHubError(error)))
    writes.clear()
  }

  return {
    links,
    write,
    settle,
    fail,
    ensure,
    add: (link) => links.add(link),
    open(link) {
      opened.add(link)
      if (!carrier) carryBy(link)
    },
    lose(link) {
      opened.delete(link)
      if (carrier === link) carryBy([...opened][0])
    },
    remove(link) {
      links.delete(link)
      if (link === own && link.error) fail(link.error)
      if (link === own) own = null
      ensure()
    },
  }
}

function liveRows({ sort = [], limit = Infinity, columns, onFrame }, open) {
  const keys = keysOf(sort)
  const listeners = new Set()
  let blank = columns && blankOf(columns)
  let rows = new Map() // by id
  let staged // will replace them at once
  let count, newest, isShort, isMixed
  let value = Object.freeze([])
  let shown = { value, state: "connecting" }
  let isStale, timer, settle
  let calledAt = 0
  const ready = new Promise((resolve, reject) => (settle = { resolve, reject }))
  ready.catch(() => {})
  let link = { state: "connecting", error: null }

  function frame(each) {
    const { _method, _resume, _ready, ...row } = each
    if (!_method) onFrame?.(each)
    if (_resume?.recovered === false) [staged, count, newest, isShort] = [new Map(), 0, 0]
    const into = staged ?? rows
    const old = into.get(row.id)
    if (_method === "POST") insert(into, row)
    if (_method === "PUT") {
      if (old) into.set(row.id, Object.freeze({ ...old, ...row }))
      else if (keys.some(({ name }) => name in row)) isShort = true
    }
    if (_method === "DELETE") into.delete(row.id)
    if (_ready && staged) replace()
    isStale ||= !staged && !!(_method || _ready)
    if (isStale) changed()
  }

  function insert(into, row) {
    if (staged) blank ??= blankOf(Object.keys(row))
    row = Object.freeze({ ...blank, ...row })
    into.set(row.id, row)
    isMixed ||= row._created < newest
    newest = Math.max(newest, row._created)
    // After this mark the hub has more.
    if (staged && ++count === limit + SPARE) into.set("", { ...row, id: "" })
  }

  function replace() {
    for (const [id, row] of staged) {
      if (JSON.stringify(rows.get(id)) === JSON.stringify(row)) staged.set(id, rows.get(id))
    }
    rows = staged
    staged = null
  }

  const arrange = (all) => sorted(all, keys).slice(0, limit)

  function current() {
    if (!isStale) return value
    isStale = false
    // Rows that are equal, or not sorted, are in order of creation.
    if (isMixed) rows = byId([...rows.values()].sort((a, b) => a._created - b._created))
    isMixed = false
    let all = sorted([...rows.values()], keys)
    let mark = rows.get("")
    if (mark) {
      all = all.slice(0, all.indexOf(mark))
      if (all.length < limit || isShort) link.reload()
      if (all.length > limit + 2 * SPARE) {
        all.length = limit + SPARE
        mark = { ...all.at(-1), id: "" }
      }
      rows = byId([...all, mark])
    }
    const now = all.slice(0, limit)
    if (now.length !== value.length || now.some((row, place) => row !== value[place])) value = Object.freeze(now)
    return value
  }

  function changed() {
    if (link.state === "live") settle.resolve(current())
    if (link.state === "ended") settle.reject(link.error ?? new EventHubError(CLOSED))
    timer ??= setTimeout(call, calledAt + 16 - Date.now())
  }

  function call() {
    timer = null
    calledAt = Date.now()
    if (shown.value === current() && shown.state === link.state) return
    shown = { value, state: link.state }
    for (const listener of listeners) queueMicrotask(() => listener(value)) // one may throw
  }

  link = open({ frame, changed })
  return {
    ready,
    arrange,
    get value() { return current() },
    get state() { return link.state },
    get error() { return link.error },
    get position() { return link.position },
    subscribe(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    close: () => link.end(),
  }
}

const byId = (rows) => new Map(rows.map((row) => [row.id, row]))

function keysOf(sort) {
  return [sort].flat().map((text) => {
    const [, minus, name, star] = /^(-?)(.*?)(\*?)$/.exec(text)
    return { name, star, sign: minus ? -1 : 1 }
  })
}

function sorted(rows, keys) {
  const keyed = rows.map((row) => [row, ...keys.map(({ name, star }) => sortable(row[name] ?? null, star))])
  keyed.sort((a, b) => {
    const place = 1 + keys.findIndex((_, key) => a[key + 1] !== b[key + 1])
    return place && (a[place] === null || (b[place] !== null && a[place] < b[place]) ? -1 : 1) * keys[place - 1].sign
  })
  return keyed.map(([row]) => row)
}

// Text in the order of code points, not of UTF-16; a time without `Z`.
function sortable(value, star) {
  if (typeof value !== "string") return value
  const text = star ? value.normalize().toLowerCase() : value.replace(/^(\d+-\d\d-\d\dT[\d:.]+)Z$/, "$1")
  const moved = (unit) => String.fromCharCode(unit.charCodeAt() + (unit < "\ue000" ? 0x2000 : -0x800))
  return text.replace(/[\ud800-\uffff]/g, moved)
}

function blankOf(columns) {
  return Object.fromEntries(columns.map((name) => [name, null]))
}

function pauseOf(tries, error) {
  const pause = Math.min(500 * 2 ** tries, PAUSE) * (0.5 + Math.random())
  return Math.max(pause, 1000 * (error?.retry_after ?? 0))
}
