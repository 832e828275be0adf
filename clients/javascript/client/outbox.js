// A hub whose writes outlive the page: they are in IndexedDB until their outcome is known, and in its rows at once.

const KEY = 540_000 // ms; a hub remembers a `_key` for 10 minutes
const MAX_WRITES = 1000
const LATE = 10_000 // ms in which rows show what is stored; otherwise their filter leaves it out

/**
 * @param hub an EventHub; do not write with it directly.
 * @param options.name of the database, if pages of one origin write to several hubs.
 * @returns an object with the methods of `hub`, and `writes`, `subscribe`, `retry`, `discard`.
 */
export function persist(hub, { name = "eventhub" } = {}) {
  const owner = randomText()
  const database = openDatabase(name)
  const records = new Map() // by key, in the order of the calls: waiting, refused, or stored a moment ago
  const listeners = new Set()
  let writes = Object.freeze([])
  let isClosed = false
  let release
  const isOwned = hold(`${name} ${owner}`, new Promise((resolve) => (release = resolve)))
  const claimed = isOwned.then(claim)
  const onVisible = () => document.hidden || claim()
  globalThis.document?.addEventListener("visibilitychange", onVisible)

  // Take over what pages that are gone have left.
  async function claim() {
    const open = await livePages(name)
    const found = []
    await database.all((record, put) => {
      if (records.has(record.key) || open?.has(`${name} ${record.owner}`)) return
      put({ ...record, owner })
      found.push({ ...record, owner, isOld: "sentAt" in record })
    })
    found.sort((one, other) => one.at - other.at || one.count - other.count)
    for (const record of found) {
      records.set(record.key, record)
      if (record.state !== "waiting") continue
      const isUnsafe = record.method !== "POST" && !("_if_seq" in record.message)
      if (isUnsafe && Date.now() - record.sentAt > KEY) {
        refuse(record, { code: "unknown_outcome", message: "it may be stored already", retry: true })
      } else send(record).catch(() => {})
    }
    if (found.length) changed()
  }

  let count = 0
  async function write(method, path, message) {
    const waiting = [...records.values()].filter(({ state }) => state !== "stored").length
    if (waiting >= MAX_WRITES) throw errorOf({ code: "too_many", message: "too many writes wait" })
    const { _key = randomText(), ...rest } = message
    const sent = method === "POST" ? { id: randomText(), ...rest } : rest
    const record = { key: _key, owner, path, method, message: sent, at: Date.now(), count: count++, state: "waiting" }
    records.set(_key, record)
    changed()
    await claimed
    await database.put(record)
    return send(record)
  }

  async function send(record) {
    const { key, path, method, message } = record
    const onSend = () => {
      update(record, { sentAt: record.sentAt ?? Date.now() })
    }
    try {
      const receipt = await hub[method.toLowerCase()](path, { ...message, _key: key }, onSend)
      store(record, receipt._seq)
      return receipt
    } catch (error) {
      // The page is closing: the next one sends it.
      if (isClosed || error.code === "closed") throw error
      const isDone = { POST: "exists", DELETE: "not_found" }[method] === error.code && record.isOld
      if (isDone) return store(record, 0)
      await refuse(record, error)
      throw error
    }
  }

  function store(record, seq) {
    Object.assign(record, { state: "stored", seq })
    database.remove(record.key)
    setTimeout(() => records.delete(record.key) && changed(), LATE)
    changed()
  }

  function refuse(record, { code, message, column, retry }) {
    const kept = update(record, { state: "refused", error: { code, message, column, retry } })
    changed()
    return kept
  }

  function update(record, change) {
    Object.assign(record, change)
    return records.has(record.key) ? database.put(record) : null
  }

  function retry(key) {
    const record = records.get(key)
    if (record?.state !== "refused") return
    update(record, { state: "waiting", error: undefined, isOld: record.isOld || record.error.retry })
    changed()
    send(record).catch(() => {})
  }

  function discard(key) {
    if (records.get(key)?.state !== "refused") return
    records.delete(key)
    database.remove(key)
    changed()
  }

  function changed() {
    const shown = [...records.values()].filter(({ state }) => state !== "stored")
    writes = Object.freeze(shown.map(publicOf))
    for (const listener of [...listeners]) queueMicrotask(() => listener(writes))
  }

  function subscribe(listener) {
    listeners.add(listener)
    return () => listeners.delete(listener)
  }

  function close() {
    isClosed = true
    globalThis.document?.removeEventListener("visibilitychange", onVisible)
    release()
    hub.close()
  }

  return {
    rows: (path, options) => optimisticRows(hub.rows(path, options), path, options, records, subscribe),
    changes: hub.changes,
    log: hub.log,
    send: hub.send,
    open: hub.open,
    url: (...args) => hub.url(...args),
    reconnect: hub.reconnect,
    post: (path, message) => write("POST", path, message),
    put: (path, message) => write("PUT", path, message),
    delete: (path, id) => write("DELETE", path, id.id ? id : { id }),
    get writes() { return writes },
    subscribe,
    retry,
    discard,
    close,
  }
}

function publicOf({ key, path, method, message, at, state, error = null }) {
  return Object.freeze({ key, path, method, message, at: new Date(at), state, error })
}

// --- Rows with the writes that they do not have yet

function optimisticRows(base, path, { where = {}, columns } = {}, records, subscribeToWrites) {
  const listeners = new Set()
  const made = new Map() // by key: what a row was made of, and the row
  let value = base.value
  let shownState = base.state
  let isQueued = false
  const stops = [base.subscribe(changed), subscribeToWrites(changed)]

  function compute() {
    const rows = new Map(base.value.map((row) => [row.id, row]))
    const mine = [...records.values()].filter((record) => pathOf(record.path) === pathOf(path))
    const pending = mine.filter((record) => !isSeen(record, rows.get(record.message.id)))
    if (!pending.length) return base.value
    for (const record of pending) apply(rows, record)
    return base.arrange([...rows.values()])
  }

  function isSeen({ state, seq, method }, row) {
    if (state !== "stored") return false
    const position = Number(base.position?.split(".")[1] ?? 0)
    return position >= seq || (row ? row._seq >= seq : method === "DELETE")
  }

  function apply(rows, record) {
    const { id } = record.message
    const old = rows.get(id)
    const isRefused = record.state === "refused"
    if (record.method === "DELETE" && !isRefused) rows.delete(id)
    else if (record.method === "POST" ? !old : old) {
      const content = isRefused && old ? {} : columnsOf(record)
      const row = remade(record, old, { ...old, ...content })
      const isIn = matches(row, where)
      if (isIn ?? old) rows.set(id, row)
      else rows.delete(id)
    }
  }

  function columnsOf({ method, message, at }) {
    const timestamp = new Date(at).toISOString().slice(0, -1)
    const all = Object.entries(method === "POST" ? { user: null, timestamp, _seq: 0, ...message } : message)
    const isShown = (name) => name === "id" || name === "_seq" || !columns || columns.includes(name)
    return Object.fromEntries(all.filter(([name]) => (name[0] !== "_" || name === "_seq") && isShown(name)))
  }

  // The same object as long as the row below and the write are the same.
  function remade(record, old, content) {
    const before = made.get(record.key)
    if (before && before.old === old && before.state === record.state) return before.row
    const row = Object.freeze({ ...content, _write: publicOf(record) })
    made.set(record.key, { old, state: record.state, row })
    return row
  }

  function current() {
    const now = compute()
    if (now.length !== value.length || now.some((row, place) => row !== value[place])) value = Object.freeze(now)
    return value
  }

  function changed() {
    if (isQueued) return
    isQueued = true
    queueMicrotask(() => {
      isQueued = false
      for (const key of made.keys()) if (!records.has(key)) made.delete(key)
      const before = value
      if (current() === before && base.state === shownState) return
      shownState = base.state
      for (const listener of [...listeners]) queueMicrotask(() => listener(value))
    })
  }

  const ready = base.ready.then(current)
  ready.catch(() => {})
  return {
    ready,
    arrange: base.arrange,
    get value() { return current() },
    get state() { return base.state },
    get error() { return base.error },
    get position() { return base.position },
    subscribe(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    close() {
      stops.forEach((stop) => stop())
      base.close()
    },
  }
}

const pathOf = (path) => path.split("?")[0]

// Whether a row matches; undefined if a condition has an operator, which only the hub decides.
function matches(row, where) {
  let isKnown = true
  for (const [key, wanted] of Object.entries(where)) {
    const values = [wanted].flat().map((each) => each?.toISOString?.() ?? each)
    if (/[!<>~*]$/.test(key)) isKnown = false
    else if (!values.some((each) => (each === null ? row[key] == null : String(each) === String(row[key])))) return false
  }
  return isKnown || undefined
}

// --- What the browser keeps

// IndexedDB, or nothing if the browser does not allow it: then writes live as long as the page.
function openDatabase(name) {
  const opened = new Promise((resolve) => {
    try {
      const request = indexedDB.open(`${name} outbox`, 1)
      request.onupgradeneeded = () => request.result.createObjectStore("writes", { keyPath: "key" })
      request.onsuccess = () => resolve(request.result)
      request.onerror = request.onblocked = () => resolve(null)
    } catch {
      resolve(null)
    }
  })

  // Resolves when it is on disk, or cannot be.
  async function transact(act) {
    const database = await opened
    if (!database) return
    await new Promise((resolve) => {
      const transaction = database.transaction("writes", "readwrite", { durability: "strict" })
      transaction.oncomplete = transaction.onerror = transaction.onabort = resolve
      act(transaction.objectStore("writes"))
    })
  }

  return {
    put: ({ isOld, seq, ...record }) => transact((store) => store.put(record)),
    remove: (key) => transact((store) => store.delete(key)),
    all: (take) => transact((store) => {
      store.getAll().onsuccess = ({ target }) => target.result.forEach((each) => take(each, (row) => store.put(row)))
    }),
  }
}

// Hold a lock until a promise resolves. Without locks (plain HTTP in a local network) there are none.
function hold(name, until) {
  if (!globalThis.navigator?.locks) return Promise.resolve()
  return new Promise((resolve) => navigator.locks.request(name, () => (resolve(), until)).catch(resolve))
}

async function livePages(name) {
  const { held = [] } = (await globalThis.navigator?.locks?.query().catch(() => null)) ?? {}
  return new Set(held.map((lock) => lock.name).filter((lock) => lock.startsWith(`${name} `)))
}

function randomText() {
  return [...crypto.getRandomValues(new Uint32Array(4))].map((each) => each.toString(36)).join("")
}

function errorOf({ code, message }) {
  return Object.assign(new Error(message), { name: "EventHubError", code })
}
