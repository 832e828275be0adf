// See eventhub.d.ts.

const FINAL = /440[0134]/
const PAUSE = 20_000 // ms
const SILENCE = 35_000 // ms; then the hub is asked for an answer
const LINGER = 1000 // ms that a socket without a subscription stays open
const PLACES = 63 // subscriptions of a socket; another number asks for an answer
const SPARE = 50 // rows beyond a limit, in place of those that go

export class EventHubError extends Error {
  constructor(error) {
    super(error.message)
    Object.assign(this, error, { name: "EventHubError" })
  }
}

const CLOSED = { code: "closed", message: "closed" }
const sockets = new Set() // of the page

let loads = 0 // some browsers remember a URL that failed
const again = (path) => () =>
  new Promise((done) => setTimeout(done, pauseOf(loads++)))
    .then(() => import(`${path}?${loads}`))
    .catch(again(path))

// Rows do not wait for it.
const writing = import("./client/writes.js").catch(again("./client/writes.js"))

for (const name of ["online", "offline"]) {
  globalThis.addEventListener?.(name, () => sockets.forEach((socket) => socket.wake()))
}

export class EventHub {
  #base
  #token
  #paths = {} // links, writes

  constructor(url = location.origin, { token } = {}) {
    this.#base = new URL(url.replace(/\/?$/, "/"))
    this.#token = token
  }

  rows(path, options = {}) {
    return liveRows(options, (consumer) => this.open(this.url(path, options), consumer))
  }

  changes = (...args) => this.#follow("changes", ...args)
  log = (...args) => this.#follow("log", ...args)
  post = (...args) => this.#write("POST", ...args)
  put = (...args) => this.#write("PUT", ...args)
  send = (...args) => this.#write("SEND", ...args)
  delete = (path, id, onSend) => this.#write("DELETE", path, id.id ? id : { id }, onSend)
  reconnect = () => sockets.forEach((each) => each.href === this.#base.href && each.wake())

  close() {
    Object.values(this.#paths).forEach(({ links, outbox }) => {
      outbox?.fail(CLOSED)
      links.forEach((link) => link.end())
    })
  }

  url(path, { where = {}, columns, sort = [], limit } = {}) {
    const url = new URL(this.#base + path.replace(/^\//, ""))
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

  open = (url, ...args) => {
    const link = subscription(this.#base, this.#token, url, this.#path(url), ...args)
    link.connect()
    return link
  }

  #path({ pathname }) {
    return (this.#paths[pathname] ??= { links: new Set() })
  }

  async #write(_method, path, message, onSend) {
    const url = this.url(path)
    const sent = JSON.parse(JSON.stringify({ ...message, _method })) // as it is now
    const { write } = await writing
    return write(this.#path(url), url, sent, onSend, this.open, EventHubError, pauseOf)
  }

  async *#follow(kind, path, options = {}) {
    const { follow } = await import("./client/changes.js").catch(again("./client/changes.js"))
    yield* follow(this, kind, path, options, this.#token, EventHubError)
  }
}

const textOf = async (token) => (token?.call ? token() : token)

// A WebSocket that comes back, and its subscriptions.
function socketOf({ href }, token) {
  const links = new Map() // by number; null until the hub has confirmed the end
  const send = (text) => socket?.send(text)
  const end = (number) => send(`{"_unsubscribe":${number}}`)
  const mine = { href, token, links, add, remove, send, wake }
  let socket, timer, idle, problem, isOpen
  let tries = 0
  sockets.add(mine)

  function add(link) {
    let number = 1
    while (links.has(number)) number += 1
    links.set(number, link)
    if (isOpen) link.begin(number)
    else if (!socket) connect()
    return number
  }

  function remove(number) {
    links.delete(number)
    if (isOpen) {
      links.set(number, null)
      end(number)
    }
    clearTimeout(idle)
    idle = setTimeout(() => [...links.values()].some(Boolean) || close(), LINGER)
  }

  async function connect() {
    const begun = (socket = {})
    watch(lost, PAUSE)
    const protocols = ["eventhub.v2.json"]
    const text = await textOf(token).catch(() => begun === socket && lost())
    if (begun !== socket) return
    const encoded = btoa(text).replace(/=/g, "").replace(/\+/g, "-").replace(/\//g, "_")
    if (text) protocols.push(`base64url.bearer.eventhub.${encoded}`)
    problem = null
    socket = new WebSocket(`${href}-/socket`.replace("http", "ws"), protocols)
    socket.onopen = () => {
      isOpen = true
      watch()
      links.forEach((link, number) => link.begin(number))
    }
    socket.onmessage = ({ data }) => receive(JSON.parse(data))
    socket.onclose = ({ code }) => lost(code)
  }

  function receive(frame) {
    watch()
    const { _sub, _error, _tick } = frame
    const link = links.get(_sub)
    for (const number in _tick) links.get(+number)?.tick(_tick[number])
    if (frame._auth === "expiring") renew(socket)
    if (frame._ready) tries = 0
    if (frame._end) links.delete(_sub)
    if (link) link[_error ? "refuse" : "receive"](_error ?? frame)
    else if (!_sub && _error && !_error.ref) problem = _error
    else writing.then(({ settle }) => settle(frame))
  }

  async function renew(from) {
    const text = await textOf(token).catch(() => {})
    if (text && from === socket) send(JSON.stringify({ _auth: text }))
  }

  function lost(code) {
    drop()
    if (FINAL.test(code)) {
      close()
      links.forEach((link) => link.end(problem ?? CLOSED))
    } else {
      timer = setTimeout(connect, pauseOf(tries++, problem))
      links.forEach((link) => link.lose())
    }
  }

  function close() {
    drop()
    sockets.delete(mine)
  }

  function drop() {
    clearTimeout(timer)
    if (socket) socket.onopen = socket.onmessage = socket.onclose = null
    socket?.close?.()
    socket = isOpen = null
    links.forEach((link, number) => link ?? links.delete(number))
  }

  function wake() {
    tries = 0
    if (isOpen) lost() // nothing says whether it still works
    else if (!socket) connect()
  }

  function watch(late = ask, ms = SILENCE) {
    clearTimeout(timer)
    timer = setTimeout(late, ms)
  }

  function ask() {
    end(PLACES + 1)
    watch(lost, PAUSE)
  }

  return mine
}

// A subscription, which is begun again from its position.
function subscription(base, token, url, path, consumer, since = "", epoch = "") {
  let socket, number, timer
  let tries = 0

  const link = {
    state: "connecting",
    error: null,
    position: "",

    connect() {
      link.become("connecting")
      const fits = (each) => each.href === base.href && each.token === token && each.links.size < PLACES
      socket = [...sockets].find(fits) ?? socketOf(base, token)
      number = socket.add(link)
    },

    begin(_subscribe) {
      const from = link.position || since
      link.become("connecting")
      if (!from) {
        epoch = ""
        consumer.frame({ _resume: { recovered: false } })
      }
      const path = url.pathname.slice(base.pathname.length - 1)
      socket.send(JSON.stringify({ _subscribe, path, query: url.search.slice(1), since: from || null }))
    },

    receive(frame) {
      const { _ready, _resume, _rows = [], _changes = [] } = frame
      if (_resume?.recovered === false) link.position = epoch = ""
      if (_ready) link.tick(_ready.position)
      for (const row of _rows) consumer.frame({ ...row, _method: "POST" })
      for (const change of _changes) {
        if (epoch) link.position = `${epoch}.${change._seq}`
        consumer.frame(change)
      }
      consumer.frame(frame)
      if (socket && !link.isOpen) {
        link.isOpen = true
        link.become(link.state)
      }
      if (!_ready) return
      tries = 0
      link.become("live")
    },

    tick(position) {
      link.position = position
      epoch = position.split(".")[0]
    },

    send(text) {
      socket.send(`{"_sub":${number},${text.slice(1)}`)
    },

    refuse(error) {
      if (!error.retry) link.end(error)
      else if (error.code === "changed") link.reload() // other rows from now on
      else link.again(error)
    },

    reload() {
      if (link.state === "ended") return
      link.position = since = epoch = ""
      link.again()
    },

    again(error) {
      link.leave()
      timer = setTimeout(link.connect, pauseOf(tries++, error))
      link.become("offline")
    },

    leave() {
      clearTimeout(timer)
      link.isOpen = false
      socket?.remove(number)
      socket = null
    },

    lose() {
      link.isOpen = false
      link.become("offline")
    },

    end(error) {
      if (link.state === "ended") return
      link.leave()
      link.error = error ? new EventHubError(error) : null
      link.become("ended")
    },

    become(state) {
      link.state = state
      path.links[state === "ended" ? "delete" : "add"](link)
      path.outbox?.note(link)
      consumer.changed()
    },
  }
  return link
}

function liveRows({ sort = [], limit = Infinity, columns }, open) {
  const keys = keysOf(sort)
  const listeners = new Set()
  let blank = columns && blankOf(columns)
  let rows = new Map() // by id
  let staged // will replace them at once
  let count, isShort
  let value = Object.freeze([])
  let shown = { value, state: "connecting" }
  let isStale, timer, settle
  let calledAt = 0
  const ready = new Promise((resolve, reject) => (settle = { resolve, reject }))
  ready.catch(() => {})
  let link = { state: "connecting", error: null }

  function frame(each) {
    const { _method, _resume, _ready, ...row } = each
    if (_resume?.recovered === false) [staged, count, isShort] = [new Map(), 0]
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
    row = Object.freeze({ ...blank, _created: row._seq, ...row })
    into.set(row.id, row)
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
    let all = sorted([...rows.values()].sort((a, b) => a._created - b._created), keys)
    let mark = rows.get("")
    if (mark) {
      all = all.slice(0, all.indexOf(mark))
      if (all.length < limit || isShort) link.reload()
      if (all.length > limit + 2 * SPARE) {
        all.length = limit + SPARE
        mark = { ...all.at(-1), id: "" }
      }
      rows = new Map([...all, mark].map((row) => [row.id, row]))
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
