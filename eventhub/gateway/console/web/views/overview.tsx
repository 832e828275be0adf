import type { ComponentChildren } from "preact"
import { useGet } from "../api"
import { me } from "../me"
import { Chart } from "../parts/chart"
import { Page } from "../parts/page"
import { type Process, Processes, worries } from "../parts/processes"
import { Loading, Problem } from "../parts/states"
import { link } from "../router"
import { bytes, count, duration, rate } from "../words"
import { views } from "../views"

interface Moment {
  time: string
  events: number
  deliveries: number
  refused: number
  mails_failed: number
  subscriptions: number
  laggards: number
  behind: number
}

interface Vitals {
  problems: string[]
  notes: string[]
  version: string
  process: string
  roles: string[]
  started: string
  tables: number
  behind: Record<string, number>
  behind_seconds: number
  disk: { bytes: number; free: number } | null
  mails: { sent: number; failed: number; dead: number } | null
  /** Seconds between two moments of the past. */
  every: number
  past: Moment[]
  /** This one is the first. */
  processes: Process[]
}

/** From which the tables are worth a word: without readers they are brought up to date every 15 s. */
const LATE_SECONDS = 30
/** Of the disk. */
const SCARCE = 0.1

/** What is worth a word, the worst first. */
function findings({ problems, notes, behind, behind_seconds, disk, mails, every, past, processes }: Vitals) {
  const found: { tone: "bad" | "wait"; text: string }[] = problems.map((text) => ({ tone: "bad", text }))
  const last = past.at(-1)
  const worry = (text: string) => found.push({ tone: "wait", text })
  if (disk && disk.free / disk.bytes < SCARCE) worry(`the disk has ${bytes(disk.free)} left of ${bytes(disk.bytes)}`)
  if (behind_seconds >= LATE_SECONDS) worry(`the tables ${Object.keys(behind).join(", ")} are ${duration(behind_seconds)} behind the log`)
  if (last?.laggards) worry(`${count(last.laggards, "connection")} ${last.laggards === 1 ? "catches" : "catch"} up from the log`)
  const failed = Math.round(past.reduce((sum, each) => sum + each.mails_failed * every, 0))
  if (failed) worry(`${count(failed, "attempt")} to send a mail failed in the last 15 minutes; the mails are tried again`)
  if (mails?.dead) worry(`${count(mails.dead, "mail")} could not be sent, and ${mails.dead === 1 ? "is" : "are"} kept as dead letters`)
  notes.forEach(worry)
  worries(processes).forEach(worry)
  return found
}

export default function Overview() {
  const { value, error, reload } = useGet<Vitals>("/-/vitals", 5)
  return (
    <Page title="Overview" about={views.overview!.about} >
      {error && <Problem error={error} retry={reload} />}
      {value ? <Shown vitals={value} /> : !error && <Loading />}
    </Page>
  )
}

function Shown({ vitals }: { vitals: Vitals }) {
  const found = findings(vitals)
  const { past, disk, mails, behind, behind_seconds } = vitals
  const last = past.at(-1)
  const behindEvents = Object.values(behind).reduce((sum, each) => sum + each, 0)
  const times = past.map((each) => Date.parse(each.time) / 1000)
  const of = (name: Exclude<keyof Moment, "time">) => past.map((each) => each[name])
  return (
    <>
      <section class={`card words ${found[0]?.tone ?? ""}`} aria-label="How it is">
        {found.length === 0 && <p><strong>All is well.</strong> The log takes events, the tables keep up with it, and so does every connection.</p>}
        {vitals.problems.length > 0 && <p class="bad"><strong>This process takes no traffic.</strong></p>}
        {found.length > 0 && <ul>{found.map(({ tone, text }) => <li class={tone}><strong>{tone === "bad" ? "Problem" : "Worth a look"}:</strong> {text}</li>)}</ul>}
      </section>
      <div class="charts">
        <Chart title="Connections" now={last ? String(last.subscriptions) : "–"} note={last?.laggards ? `${last.laggards} catching up` : "all keep up"} times={times} lines={[{ name: "Connections", values: of("subscriptions") }, { name: "Catching up", values: of("laggards") }]} href={me.value?.views.connections === null ? link("connections") : undefined} />
        <Chart title="Events" now={last ? rate(last.events) : "–"} note="read from the log, each second" times={times} lines={[{ name: "Events a second", values: of("events") }]} />
        <Chart title="Deliveries" now={last ? rate(last.deliveries) : "–"} note="frames to clients, each second" times={times} lines={[{ name: "Deliveries a second", values: of("deliveries") }]} />
        <Chart title="Tables behind the log" now={behindEvents.toLocaleString()} note={behindEvents ? `events to come, for ${duration(behind_seconds)}` : "every event is in them"} times={times} lines={[{ name: "Events behind", values: of("behind") }]} />
      </div>
      <dl class="figures">
        <Fact name="Disk">{disk ? `${bytes(disk.free)} free of ${bytes(disk.bytes)}` : "cannot be read"}</Fact>
        <Fact name="Mails">{mails ? `${mails.sent.toLocaleString()} sent, ${mails.failed.toLocaleString()} failed attempts, ${mails.dead.toLocaleString()} given up` : "are sent by another process"}</Fact>
        <Fact name="Refused">{last ? `${rate(last.refused)} messages a second` : "–"}</Fact>
        <Fact name="Tables">{vitals.tables.toLocaleString()}</Fact>
        <Fact name="Process">{vitals.process}</Fact>
        <Fact name="Roles">{vitals.roles.join(", ")}</Fact>
        <Fact name="Running for"><time dateTime={vitals.started} title={new Date(vitals.started).toLocaleString()}>{duration((Date.now() - Date.parse(vitals.started)) / 1000)}</time></Fact>
        <Fact name="Version">{vitals.version}</Fact>
      </dl>
      <p class="soft">These are figures of this process, since its start; the charts show its last 15 minutes.</p>
      <Processes processes={vitals.processes} />
    </>
  )
}

function Fact({ name, children }: { name: string; children: ComponentChildren }) {
  return <div><dt>{name}</dt><dd>{children}</dd></div>
}
