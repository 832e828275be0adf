// A collection of TanStack DB: live rows of a path, and writes to it.

const LATE = 5000 // ms in which a stored write comes back; otherwise the filter leaves it out

/**
 * Options for `createCollection` of @tanstack/db.
 *
 * @param config `hub`, `path`, and `where` and `columns` of `hub.rows`; everything else is an option of the collection.
 */
export function eventHubCollectionOptions({ hub, path, where, columns, ...others }) {
  let rows = null
  let apply = null // what the collection does not have yet

  function sync({ begin, write, commit, markReady, markError }) {
    const mine = hub.rows(path, { where, columns })
    rows = mine
    let known = new Map()

    apply = () => {
      const now = new Map(mine.value.map((row) => [row.id, row]))
      if (!isReady || mine !== rows) return
      begin()
      for (const id of known.keys()) if (!now.has(id)) write({ type: "delete", key: id })
      for (const [id, row] of now) {
        if (!known.has(id)) write({ type: "insert", value: row })
        else if (known.get(id) !== row) write({ type: "update", value: row })
      }
      commit()
      known = now
    }

    let isReady = false
    const stop = mine.subscribe(() => {
      apply()
      if (mine.error) markError?.(mine.error)
    })
    mine.ready.then(
      () => {
        isReady = true
        apply()
        markReady()
      },
      (error) => mine === rows && markError?.(error), // otherwise it was closed
    )
    return () => {
      if (rows === mine) rows = null
      stop()
      mine.close()
    }
  }

  // A collection drops what it showed when its handler ends: not before the row is there.
  async function stored(promises) {
    for (const { id, _seq } of await Promise.all(promises)) await seen(id, _seq)
  }

  function seen(id, seq) {
    const watched = rows
    const isSeen = () => {
      const row = watched.value.find((each) => each.id === id)
      const isThere = row?._seq >= seq || Number(watched.position.split(".")[1]) >= seq
      if (isThere) apply()
      return isThere
    }
    return new Promise((resolve) => {
      if (!watched || isSeen()) return resolve()
      const timer = setTimeout(end, LATE)
      const stop = watched.subscribe(() => isSeen() && end())
      function end() {
        clearTimeout(timer)
        stop()
        resolve()
      }
    })
  }

  return {
    getKey: (row) => row.id,
    ...others,
    sync: { rowUpdateMode: "full", sync },
    onInsert: ({ transaction }) =>
      stored(transaction.mutations.map(({ modified }) => hub.post(path, columnsOf(modified)))),
    onUpdate: ({ transaction }) =>
      stored(transaction.mutations.map(({ key, changes }) => hub.put(path, { ...columnsOf(changes), id: key }))),
    onDelete: ({ transaction }) => stored(transaction.mutations.map(({ key }) => hub.delete(path, key))),
  }
}

function columnsOf(row) {
  return Object.fromEntries(Object.entries(row).filter(([name]) => name[0] !== "_"))
}
