// Requests to the hub in the name of who is logged in; what it refuses becomes a sentence.
import { useCallback, useEffect, useRef, useState } from "preact/hooks"

/** What the hub refused, or that it could not be asked. */
export class Refusal extends Error {
  constructor(
    message: string,
    /** Of docs/protocol.md; `unreachable` without an answer. */
    readonly code: string,
    /** Of HTTP; 0 without an answer. */
    readonly status: number,
    readonly column?: string,
  ) {
    super(message)
  }
}

const TOKEN = "eventhub-console-token"

/** The token with which an operator asks from elsewhere; kept until the tab is closed. */
export const operatorToken = {
  get: () => sessionStorage.getItem(TOKEN) ?? "",
  set: (token: string) => (token ? sessionStorage.setItem(TOKEN, token) : sessionStorage.removeItem(TOKEN)),
}

/** Paths that take the token of an operator; elsewhere the hub expects that of a user. */
const isForOperators = (path: string) => /^\/(-\/(?!console\/me)|metrics|readyz)/.test(path)

/** Send a request; throws `Refusal` unless the answer is a success, and begins within some seconds. */
export async function request(path: string, init: RequestInit = {}, seconds = 60): Promise<Response> {
  const headers = new Headers(init.headers)
  const token = operatorToken.get()
  if (token && isForOperators(path)) headers.set("Authorization", `Bearer ${token}`)
  let answer: Response
  const late = new AbortController()
  const timer = setTimeout(() => late.abort(), seconds * 1000)
  const signal = init.signal ? AbortSignal.any([init.signal, late.signal]) : late.signal
  try {
    answer = await fetch(path, { ...init, headers, signal, credentials: "same-origin" })
  } catch (error) {
    if (init.signal?.aborted) throw error
    if (late.signal.aborted) throw new Refusal(`The hub has not answered for ${seconds} s. Try again.`, "unreachable", 0)
    throw new Refusal("The hub does not answer. Is it running, and are you online?", "unreachable", 0)
  } finally {
    clearTimeout(timer)
  }
  if (!answer.ok) throw await refusalOf(answer)
  return answer
}

async function refusalOf(answer: Response): Promise<Refusal> {
  const text = await answer.text()
  try {
    const { _error: error } = JSON.parse(text)
    return new Refusal(error.message, error.code, answer.status, error.column)
  } catch {
    return new Refusal(text.trim() || `The hub answered ${answer.status} ${answer.statusText}`, "http", answer.status)
  }
}

/** GET a JSON value. */
export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return (await request(path, { signal, headers: { Accept: "application/json" } })).json()
}

/** Send a JSON value, and return the JSON value of the answer. */
export async function send<T>(method: "POST" | "PUT" | "PATCH" | "DELETE", path: string, body?: unknown): Promise<T> {
  const init: RequestInit = { method, headers: { Accept: "application/json" } }
  if (body !== undefined) {
    init.body = JSON.stringify(body)
    init.headers = { Accept: "application/json", "Content-Type": "application/json" }
  }
  const text = await (await request(path, init)).text()
  return (text ? JSON.parse(text) : null) as T
}

export interface Loaded<T> {
  /** The last answer, also while a later request fails. */
  value: T | undefined
  error: Error | undefined
  reload: () => void
}

/** GET a JSON value for a component: at once, when `path` changes, and every few seconds if asked to, while the tab is shown. */
export function useGet<T>(path: string | null, everySeconds = 0): Loaded<T> {
  const [state, setState] = useState<{ path: string | null; value?: T; error?: Error }>({ path })
  const [turn, setTurn] = useState(0)
  const latest = useRef(state)
  latest.current = state
  useEffect(() => {
    if (path === null) return
    const abort = new AbortController()
    let timer: ReturnType<typeof setTimeout> | undefined
    const ask = async () => {
      try {
        const value = await get<T>(path, abort.signal)
        if (!abort.signal.aborted) setState({ path, value })
      } catch (error) {
        if (abort.signal.aborted) return
        const before = latest.current.path === path ? latest.current.value : undefined
        setState({ path, value: before, error: error as Error })
      }
      clearTimeout(timer)
      if (everySeconds && !abort.signal.aborted && !document.hidden) timer = setTimeout(ask, everySeconds * 1000)
    }
    const onVisibility = () => {
      clearTimeout(timer)
      if (everySeconds && !document.hidden) ask()
    }
    ask()
    document.addEventListener("visibilitychange", onVisibility)
    return () => {
      abort.abort()
      clearTimeout(timer)
      document.removeEventListener("visibilitychange", onVisibility)
    }
  }, [path, everySeconds, turn])
  const reload = useCallback(() => setTurn((before) => before + 1), [])
  const isCurrent = state.path === path
  return { value: isCurrent ? state.value : undefined, error: isCurrent ? state.error : undefined, reload }
}
