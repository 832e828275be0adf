// What the configuration says of an endpoint, to operators: who may do what, and what runs on its messages.

import { useGet } from "../api"
import { me } from "../me"
import { Loading, Problem } from "../parts/states"

const SHOWN: Record<string, string> = {
  auth: "who may use it",
  origins: "pages of which other sites may",
  rules: "which rows and columns",
  open: "runs when a client comes",
  default: "arguments that a URL leaves out",
  message_default: "values that a message gets",
  prepare: "runs before a message is stored",
  modify: "runs before it is sent to clients",
  alert: "mails",
  quota: "how much a user may write in a day",
  unknown: "keys that are not columns",
}

/** The rules and hooks of one entry of the configuration. */
export function Settings({ name }: { name: string }) {
  const isOperator = me.value?.operator ?? false
  const { value, error } = useGet<{ endpoints: Record<string, unknown>[] }>(isOperator ? "/-/configuration" : null)
  if (!isOperator) {
    return <p class="soft">You see what you may use. Rules and hooks may refuse a message, or change it; they are in the configuration, which operators see.</p>
  }
  if (!value) return error ? <Problem error={error} /> : <Loading />
  const entry = value.endpoints.find((each) => each.name === name) ?? {}
  const found = Object.keys(SHOWN).map((key) => [key, pruned(entry[key])] as const).filter(([, member]) => member !== undefined)
  return (
    <section class="stack">
      <h3>Rules and hooks</h3>
      {found.length === 0 ? <p class="soft">None: whoever reaches the hub may read and write, and messages are stored as they come.</p> : (
        <dl class="card settings">
          {found.map(([key, member]) => (
            <div key={key}>
              <dt><code>{key}</code> <span class="soft">{SHOWN[key]}</span></dt>
              <dd><code>{typeof member === "string" ? member : readable(member)}</code></dd>
            </div>
          ))}
        </dl>
      )}
    </section>
  )
}

/** Return JSON on one line if it is short. */
function readable(value: unknown): string {
  const line = JSON.stringify(value).replace(/([:,])(?=["[{\dtf])/g, "$1 ")
  return line.length < 80 ? line : JSON.stringify(value, null, 2)
}

/** Return a value without what says nothing; undefined if nothing is left. */
function pruned(value: unknown): unknown {
  if (value === null || value === undefined) return undefined
  if (Array.isArray(value)) return value.length ? value : undefined
  if (typeof value !== "object") return value
  const members = Object.entries(value).map(([name, member]) => [name, pruned(member)] as const).filter(([, member]) => member !== undefined)
  return members.length ? Object.fromEntries(members) : undefined
}
