// A form with a field for each column, to try an endpoint: it shows what was sent, and the receipt or refusal.

import { useId, useState } from "preact/hooks"
import { Refusal, send, useGet } from "../api"
import { Button } from "../parts/button"
import { Field } from "../parts/field"
import { link } from "../router"
import { type Endpoint, type Kind, kindOf } from "./endpoints"

type Method = "POST" | "PUT" | "DELETE" | "SEND"
interface Schema {
  properties: Record<string, any>
  required: string[]
}
interface Outcome {
  sent: object
  receipt?: any
  refusal?: Refusal
}

const ABOUT: Record<Method, string> = {
  POST: "Create a row",
  PUT: "Change a row",
  DELETE: "Delete a row",
  SEND: "Send to those who listen, and store nothing",
}

export function Trial({ endpoint }: { endpoint: Endpoint }) {
  const methods = (["POST", "PUT", "DELETE", "SEND"] as const).filter((each) => endpoint.methods.includes(each))
  const [method, setMethod] = useState<Method>(methods[0]!)
  const [texts, setTexts] = useState<Record<string, string>>({})
  const [outcome, setOutcome] = useState<Outcome | null>(null)
  const { value, error } = useGet<{ $defs: Record<string, Schema> }>(`${endpoint.path}?_schema`)
  const schema = value?.$defs[{ POST: "Post", PUT: "Put", DELETE: "Put", SEND: "Send" }[method]]
  const names = schema ? fieldsOf(schema, method) : []
  const wrong = outcome?.refusal?.column

  async function submit(event: SubmitEvent) {
    event.preventDefault()
    const values = names.filter((name) => (texts[name] ?? "") !== "").map((name) => [name, valueOf(texts[name]!, kindOf(schema!.properties[name]))])
    const sent = { _method: method, ...Object.fromEntries(values) }
    try {
      setOutcome({ sent, receipt: await send("POST", endpoint.path, sent) })
    } catch (refused) {
      setOutcome({ sent, refusal: refused as Refusal })
    }
  }

  return (
    <section class="stack">
      <h3>Try it</h3>
      <form class="card trial" onSubmit={submit} autocomplete="off">
        <fieldset class="tabs">
          <legend class="unseen">Method</legend>
          {methods.map((each) => <label key={each}><input type="radio" name="method" checked={each === method} onChange={() => (setMethod(each), setOutcome(null))} /><span>{each}</span></label>)}
        </fieldset>
        {error && <p class="wrong">{error.message}</p>}
        <div class="fields">
          {names.map((name) => (
            <Input
              key={`${method} ${name}`}
              name={name}
              schema={schema!.properties[name]}
              isRequired={schema!.required.includes(name) || (name === "id" && method !== "POST" && method !== "SEND")}
              text={texts[name] ?? ""}
              wrong={wrong === name ? outcome!.refusal!.message : undefined}
              onInput={(text) => setTexts({ ...texts, [name]: text })}
            />
          ))}
        </div>
        <div class="actions">
          <span class="soft">{ABOUT[method]}. Empty fields are left out.</span>
          <Button type="submit" kind="primary" disabled={!schema}>{method === "SEND" ? "Send" : method === "DELETE" ? "Delete" : method === "PUT" ? "Change" : "Create"}</Button>
        </div>
        <div role="status">{outcome && <Answer outcome={outcome} path={endpoint.path} />}</div>
      </form>
    </section>
  )
}

function Answer({ outcome: { sent, receipt, refusal }, path }: { outcome: Outcome; path: string }) {
  return (
    <div class={refusal ? "answer bad" : "answer good"}>
      <p><strong>{refusal ? `Refused: ${refusal.code}` : receipt.sent ? "Sent" : "Stored"}</strong>{refusal ? <> — {refusal.message}</> : receipt.id && <> — see <a href={link("row", { path, id: receipt.id })}>its row</a></>}</p>
      <pre tabIndex={0} aria-label="Message and answer"><code>{`→ ${JSON.stringify(sent)}`}{receipt && `\n← ${JSON.stringify(receipt)}`}</code></pre>
    </div>
  )
}

interface InputProps {
  name: string
  schema: any
  isRequired: boolean
  text: string
  wrong?: string
  onInput: (text: string) => void
}

function Input({ name, schema, isRequired, text, wrong, onInput }: InputProps) {
  const id = useId()
  const kind = kindOf(schema)
  const hint = [kind, isRequired && "required", schema.default !== undefined && `default ${JSON.stringify(schema.default)}`].filter(Boolean).join(", ")
  if (!isTruth(schema)) return <Field label={name} hint={hint} wrong={wrong} value={text} required={isRequired} onInput={onInput} />
  return (
    <div class="field">
      <label for={id}>{name}</label>
      <select id={id} value={text} onChange={(event) => onInput(event.currentTarget.value)}>
        <option value="">–</option>
        <option>true</option>
        <option>false</option>
      </select>
      <p class={wrong ? "wrong" : "soft"}>{wrong ?? "boolean"}</p>
    </div>
  )
}

/** Messages take texts, numbers and truth values for text, too. */
const isTruth = ({ type }: any) => [type ?? []].flat().includes("boolean") && ![type].flat().includes("string")

function fieldsOf({ properties }: Schema, method: Method): string[] {
  const names = Object.keys(properties).filter((name) => !name.startsWith("_"))
  if (method === "DELETE") return names.filter((name) => name === "id")
  return ["id", ...names.filter((name) => name !== "id" && name !== "timestamp")].filter((name) => name in properties)
}

/** Read JSON where the column holds it; everything else is sent as it was typed, and the hub converts it. */
function valueOf(text: string, kind: Kind): unknown {
  if (kind !== "json") return text
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
