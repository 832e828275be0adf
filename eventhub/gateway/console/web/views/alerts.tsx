import { useState } from "preact/hooks"
import { get, Refusal, send, useGet } from "../api"
import { Button } from "../parts/button"
import { Code } from "../parts/code"
import { Confirm, Dialog } from "../parts/dialog"
import { Field, Filter } from "../parts/field"
import { Page } from "../parts/page"
import { Badge, Empty, Loading, Problem } from "../parts/states"
import { type Column, Table } from "../parts/table"
import { params, setParams } from "../router"
import { views } from "../views"
import { count } from "../words"

interface Alert {
  endpoint: string
  path: string
  table: string
  alert: { to?: string | string[] | null; subject?: string; condition?: string | null; methods: string[] }
}

interface Letter {
  id: string
  endpoint: string
  sequence: number
  row: string
  reason: string
  attempts: number
  died_at: string
  missing: string[]
  subject: string
}

interface Overview {
  alerts: Alert[]
  dead: Letter[]
  dead_count: number
}

interface Preview {
  sequence: number
  time: string
  row: string
  method: string
  fires: boolean
  mail: { from: string; recipients: string[]; malformed: string[]; subject: string; text: string | null; html: string | null } | null
  error: string | null
}

interface Verdict {
  sequence: number
  time: string
  row: string
  method: string
  recipients: string[]
  subject: string
  error: string | null
}

interface Tried {
  events: number
  count: number
  wrong: number
  complete: boolean
  mails: Verdict[]
}

/** Dead letters of one request; the hub takes no more. */
const AT_ONCE = 20
const METHODS = ["POST", "PUT", "DELETE"]
const listed = (addresses: string[]) => addresses.join(", ") || "nobody"
const moment = (text: string) => new Date(text).toLocaleString()
const textOf = (each: Letter) => [each.id, each.row, each.subject, each.reason, ...each.missing].join(" ").toLowerCase()

export default function Alerts() {
  const { value, error, reload } = useGet<Overview>("/-/alerts", 10)
  const [looking, look] = useState<{ endpoint: string; sequence?: number } | null>(null)
  const isElsewhere = error instanceof Refusal && error.code === "unknown_path"
  return (
    <Page title="Alerts" about={views.alerts!.about}>
      {isElsewhere ? <Empty title="Another process sends the mails">{error.message}</Empty> : error && <Problem error={error} retry={reload} />}
      {!value ? !error && <Loading /> : (
        <>
          <DeadLetters overview={value} reload={reload} look={look} />
          {value.alerts.length === 0
            ? <Empty title="No endpoint has an alert">An alert mails somebody about a message: see <code>alert:</code> in the documentation of the configuration.</Empty>
            : <><Configured alerts={value.alerts} look={look} /><BackTest alerts={value.alerts} look={look} /></>}
        </>
      )}
      {looking && <Mail {...looking} onClose={() => look(null)} />}
    </Page>
  )
}

type Look = (wanted: { endpoint: string; sequence?: number }) => void

function DeadLetters({ overview: { dead, dead_count }, reload, look }: { overview: Overview; reload: () => void; look: Look }) {
  const [isAsking, ask] = useState(false)
  const [busy, setBusy] = useState("")
  const [said, say] = useState("")
  const [refusal, refuse] = useState<Error | null>(null)
  const wanted = params.value.get("q") ?? ""
  const shown = dead.filter((each) => textOf(each).includes(wanted.toLowerCase()))
  const retry = async (ids: string[]) => {
    let sent = 0
    refuse(null)
    say("")
    try {
      for (let at = 0; at < ids.length; at += AT_ONCE) {
        setBusy(`Sending ${at + 1} to ${Math.min(at + AT_ONCE, ids.length)} of ${ids.length}…`)
        const results = await send<{ error: string | null }[]>("POST", "/-/alerts/retry", { ids: ids.slice(at, at + AT_ONCE) })
        sent += results.filter((each) => each.error === null).length
      }
      say(sent === ids.length ? `${count(sent, "mail")} sent` : `${sent} sent, ${ids.length - sent} still dead: the reasons are new`)
    } catch (refused) {
      refuse(refused as Error)
    }
    setBusy("")
    reload()
  }
  const columns: Column<Letter>[] = [
    { title: "Died", cell: (each) => moment(each.died_at) },
    { title: "Event", cell: (each) => <div><code>{each.id}</code>{each.row && <div class="soft">row {each.row}</div>}</div> },
    { title: "Mail", cell: (each) => <div class="wraps">{each.subject || <span class="soft">no subject</span>}<div class="soft">to {listed(each.missing)}</div></div> },
    { title: "Reason", cell: (each) => <span class="wrong wraps">{each.reason}</span> },
    {
      title: "",
      cell: (each) => (
        <div class="actions">
          <Button kind="quiet" onClick={() => look(each)} aria-label={`Preview the mail of ${each.id}`}>Preview</Button>
          <Button kind="quiet" disabled={busy !== ""} onClick={() => retry([each.id])} aria-label={`Retry ${each.id}`}>Retry</Button>
        </div>
      ),
    },
  ]
  return (
    <section class="part" aria-labelledby="dead">
      <header class="part-header">
        <h2 id="dead">Dead letters {dead_count > 0 && <Badge tone="bad">{dead_count.toLocaleString()}</Badge>}</h2>
        {shown.length > 0 && <Button disabled={busy !== ""} onClick={() => ask(true)}>Retry {shown.length === dead.length ? "all" : `these ${shown.length}`}</Button>}
      </header>
      {dead.length > 0 && <Filter value={wanted} onInput={(q) => setParams({ q })} placeholder="Event, row, subject, address or reason" />}
      <p class={busy || said ? "soft" : "unseen"} role="status">{busy || said}</p>
      {refusal && <Problem error={refusal} />}
      {dead.length === 0 ? <Empty title="No dead letters">Every mail was sent, or is tried again. What a mail server refuses is kept here.</Empty>
        : shown.length === 0 ? <Empty title="No dead letter matches" />
        : <Table caption="Dead letters" columns={columns} rows={shown} keyOf={(each) => each.id} stacks />}
      {dead_count > dead.length && <p class="soft">These are the newest {dead.length.toLocaleString()}; <code>eventhub alerts list</code> prints all.</p>}
      {isAsking && (
        <Confirm title={`Send ${count(shown.length, "mail")} again?`} action="Send" onClose={() => ask(false)} onConfirm={() => retry(shown.map((each) => each.id))}>
          <p>Each is rendered from its event with the templates of today, and goes to those who have not received it.</p>
        </Confirm>
      )}
    </section>
  )
}

function Configured({ alerts, look }: { alerts: Alert[]; look: Look }) {
  return (
    <section class="part" aria-labelledby="configured">
      <h2 id="configured">Alerts of this hub</h2>
      <div class="cards">
        {alerts.map(({ endpoint, path, alert }) => (
          <article class="card alert">
            <h3>{endpoint} <code class="soft">{path}</code></h3>
            <p>{alert.methods.join(", ")}{alert.condition ? <> where <code>{alert.condition}</code></> : ", every message"}</p>
            <p>To <code>{listed([alert.to ?? []].flat())}</code></p>
            <p class="actions">
              <Button kind="quiet" onClick={() => look({ endpoint })} aria-label={`Preview the alert of ${endpoint}`}>Preview</Button>
            </p>
          </article>
        ))}
      </div>
    </section>
  )
}

function BackTest({ alerts, look }: { alerts: Alert[]; look: Look }) {
  const named = params.value.get("endpoint")
  const chosen = alerts.find((each) => each.endpoint === named) ?? alerts[0]!
  const [edited, edit] = useState(params.value.get("condition"))
  const condition = edited ?? chosen.alert.condition ?? ""
  const ofTable = alerts.filter((each) => each.table === chosen.table)
  const conditions = [...new Set(ofTable.flatMap((each) => each.alert.condition || []))]
  const days = params.value.get("days") ?? "30"
  const methods = params.value.get("methods")?.split(",") ?? chosen.alert.methods
  const [tried, setTried] = useState<Tried | null>(null)
  const [error, setError] = useState<Error | null>(null)
  const [isBusy, setBusy] = useState(false)
  const run = async (event: Event) => {
    event.preventDefault()
    const query = new URLSearchParams({ endpoint: chosen.endpoint, days })
    if (condition !== (chosen.alert.condition ?? "")) query.set("condition", condition)
    if (methods.join() !== chosen.alert.methods.join()) query.set("methods", methods.join())
    setBusy(true)
    setError(null)
    try {
      setTried(await get<Tried>(`/-/alerts/backtest?${query}`))
    } catch (failed) {
      setTried(null)
      setError(failed as Error)
    }
    setBusy(false)
  }
  const isExpression = error instanceof Refusal && error.code === "bad_filter"
  const columns: Column<Verdict>[] = [
    { title: "When", cell: (each) => moment(each.time) },
    { title: "Event", isNumber: true, cell: (each) => each.sequence.toLocaleString() },
    { title: "Row", cell: (each) => each.row },
    { title: "Method", cell: (each) => each.method },
    { title: "To", cell: (each) => listed(each.recipients) },
    { title: "Subject", cell: (each) => each.error ? <span class="wrong">{each.error}</span> : each.subject },
    { title: "", cell: (each) => <Button kind="quiet" onClick={() => look({ endpoint: chosen.endpoint, sequence: each.sequence })} aria-label={`Preview the mail of event ${each.sequence}`}>Preview</Button> },
  ]
  return (
    <section class="part" aria-labelledby="backtest">
      <h2 id="backtest">Back-test</h2>
      <p class="soft">Which events of the past would have mailed whom? Nothing is sent.</p>
      <form class="card form backtest" onSubmit={run}>
        <div class="two">
          <div class="field">
            <label for="backtest-endpoint">Alert of</label>
            <select id="backtest-endpoint" value={chosen.endpoint} onChange={(event) => { setParams({ endpoint: event.currentTarget.value, condition: "", methods: "" }); edit(null); setTried(null) }}>
              {alerts.map((each) => <option value={each.endpoint}>{each.endpoint}</option>)}
            </select>
          </div>
          <div class="field">
            <label for="backtest-days">Events of</label>
            <select id="backtest-days" value={days} onChange={(event) => setParams({ days: event.currentTarget.value })}>
              {[["1", "the last day"], ["7", "the last week"], ["30", "the last 30 days"], ["365", "the last year"]].map(([value, text]) => <option value={value}>{text}</option>)}
            </select>
          </div>
        </div>
        <Field label="Condition" value={condition} onInput={(text) => { edit(text); setParams({ condition: text }) }} placeholder="every message" hint="A filter, such as topic=Help, or the expression of an alert of this table. Change it, and see whom it would have mailed." list="conditions" />
        <datalist id="conditions">
          {conditions.map((each) => <option value={each} />)}
        </datalist>
        <fieldset class="methods">
          <legend>Methods</legend>
          {METHODS.map((each) => (
            <label>
              <input
                type="checkbox"
                checked={methods.includes(each)}
                onChange={(event) => setParams({ methods: METHODS.filter((one) => one === each ? event.currentTarget.checked : methods.includes(one)).join() })}
              /> {each}
            </label>
          ))}
        </fieldset>
        <p class="actions"><Button type="submit" kind="primary" disabled={isBusy}>{isBusy ? "Testing…" : "Test"}</Button></p>
      </form>
      {error && <Problem error={error} />}
      {isExpression && <Code label="For an expression, on the hub's machine, with an edited copy of the file" text={`eventhub alerts backtest edited.yaml --endpoint ${chosen.endpoint} --last ${days}d`} />}
      {tried && (
        <>
          <p role="status"><strong>{count(tried.count, "mail")}</strong> for {count(tried.events, "event")} of {chosen.endpoint}{tried.wrong > 0 && <>, <span class="wrong">{tried.wrong.toLocaleString()} with an error</span></>}.{!tried.complete && " Only the newest events were read."}{tried.count > tried.mails.length && ` The first ${tried.mails.length} are listed.`}</p>
          {tried.mails.length > 0 && <Table caption="Mails that would have been sent" columns={columns} rows={tried.mails} keyOf={(each) => each.sequence} stacks />}
        </>
      )}
    </section>
  )
}

function Mail({ endpoint, sequence, onClose }: { endpoint: string; sequence?: number; onClose: () => void }) {
  const query = new URLSearchParams({ endpoint, ...(sequence && { sequence: String(sequence) }) })
  const { value, error, reload } = useGet<Preview>(`/-/alerts/preview?${query}`)
  return (
    <Dialog title={value?.mail ? value.mail.subject || "A mail without a subject" : "Preview"} onClose={onClose}>
      {error && <Problem error={error} retry={reload} />}
      {!value && !error && <Loading />}
      {value && (
        <>
          <p class="soft">{value.method} of row {value.row}, event {value.sequence.toLocaleString()}, {moment(value.time)}. {value.fires ? <Badge tone="good">mails</Badge> : <Badge tone="plain">mails nobody: condition or method</Badge>}</p>
          {value.error && <Problem error={new Error(value.error)} />}
          {value.mail && (
            <>
              <dl class="facts">
                <div><dt>From</dt><dd>{value.mail.from}</dd></div>
                <div><dt>To</dt><dd>{listed(value.mail.recipients)}{value.mail.malformed.map((each) => <span class="wrong"> {each} is no address</span>)}</dd></div>
              </dl>
              {value.mail.text !== null && <pre class="mail" tabIndex={0} aria-label="Text of the mail">{value.mail.text}</pre>}
              {value.mail.html !== null && <iframe class="mail" sandbox="" title="HTML of the mail" srcdoc={value.mail.html} />}
              <p class="soft">Attachments and images are left out.</p>
            </>
          )}
        </>
      )}
      <div class="actions"><Button onClick={onClose}>Close</Button></div>
    </Dialog>
  )
}
