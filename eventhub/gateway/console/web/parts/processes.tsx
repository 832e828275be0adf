// The processes of a hub, as one of them has heard of the others.
import { count, duration } from "../words"
import { Badge } from "./states"
import { type Column, Table } from "./table"

export interface Process {
  id: string
  process: string
  version: string
  roles: string[]
  running_seconds: number
  problems: string[]
  notes: string[]
  /** null: it has no gateway. */
  connections: number | null
  /** Events; null: it has no tables. */
  behind: number | null
  behind_seconds: number
  mails: { sent: number; failed: number; dead: number } | null
  /** null: it was heard of just now. */
  silent_seconds: number | null
}

/** What is worth a word of the processes other than the one that answers, which comes first. */
export function worries([own, ...others]: Process[]): string[] {
  const found = others.flatMap((each) =>
    each.silent_seconds !== null ? [`${each.process} (${each.roles.join(", ")}) has been silent for ${duration(each.silent_seconds)}`]
      : each.problems.map((text) => `${each.process} (${each.roles.join(", ")}): ${text}`))
  const versions = [...new Set([own, ...others].map((each) => each!.version))]
  if (versions.length > 1) found.push(`the processes have different versions: ${versions.join(", ")}`)
  return found
}

function State({ process: { silent_seconds, problems, notes } }: { process: Process }) {
  if (silent_seconds !== null) return <Badge tone="wait">silent for {duration(silent_seconds)}</Badge>
  if (problems.length) return <span class="wraps"><Badge tone="bad">not ready</Badge> {problems.join("; ")}</span>
  if (notes.length) return <span class="wraps"><Badge tone="wait">worth a look</Badge> {notes.join("; ")}</span>
  return <Badge tone="good">well</Badge>
}

const none = <span class="soft">–</span>

const columns: Column<Process>[] = [
  { title: "Process", cell: (each) => each.process },
  { title: "Roles", cell: (each) => each.roles.join(", ") },
  { title: "State", cell: (each) => <State process={each} /> },
  { title: "Running for", cell: (each) => duration(each.running_seconds) },
  { title: "Connections", isNumber: true, cell: (each) => each.connections?.toLocaleString() ?? none },
  { title: "Tables behind", cell: (each) => each.behind === null ? none : each.behind ? `${count(each.behind, "event")}, ${duration(each.behind_seconds)}` : "0 s" },
  { title: "Mails", cell: (each) => each.mails ? `${each.mails.sent.toLocaleString()} sent, ${each.mails.failed.toLocaleString()} failed` : none },
  { title: "Version", cell: (each) => each.version },
]

/** A line for each process; nothing while there is only one. */
export function Processes({ processes }: { processes: Process[] }) {
  if (processes.length < 2) return null
  return (
    <section class="part" aria-labelledby="processes">
      <h2 id="processes">All processes of this hub</h2>
      <Table caption="Processes" columns={columns} rows={processes} keyOf={(each) => each.id} stacks />
      <p class="soft">The first one answers, and the figures above are its own. The others say every 5 s how they are; one that was stopped is not listed.</p>
    </section>
  )
}
