// A past state that is played on: an event stream with `_as_of` and `_speed`.

import type { Row } from "./grid"
import type { Step } from "./steps"

interface Listener {
  /** Called with the rows after changes, at most every `PACE` ms. */
  onRows: (rows: readonly Row[]) => void
  /** Called with each event after the past state, also once the stream is live. */
  onEvent: (event: Step) => void
  onEnd: () => void
}

const PACE = 60 // ms

/** Play a URL; returns what ends it. */
export function play(url: string, { onRows, onEvent, onEnd }: Listener): () => void {
  const rows = new Map<string, Row>()
  const source = new EventSource(url)
  let isReady = false
  let timer: ReturnType<typeof setTimeout> | undefined
  const show = () => {
    timer ??= setTimeout(() => {
      timer = undefined
      onRows([...rows.values()])
    }, PACE)
  }
  source.onmessage = ({ data }) => {
    const { _method, _seq, _time, _ready, _error, ...row } = JSON.parse(data)
    if (_error) return end()
    if (_method === "POST") rows.set(row.id, row)
    if (_method === "PUT") rows.set(row.id, { ...rows.get(row.id), ...row })
    if (_method === "DELETE") rows.delete(row.id)
    isReady ||= _ready !== undefined
    if (_method && isReady) {
      onEvent({ seq: _seq, time: _time ? Date.parse(_time) : Date.now(), method: _method, id: row.id, user: null })
    }
    if (isReady) show()
  }
  source.onerror = end // it would come back with a position, which a past state does not have
  function end() {
    stop()
    onEnd()
  }
  function stop() {
    source.close()
    clearTimeout(timer)
  }
  return stop
}
