import { useEffect, useState } from "preact/hooks"
import { send, useGet } from "../api"
import { Button } from "../parts/button"
import { Confirm } from "../parts/dialog"
import { Filter } from "../parts/field"
import { Page } from "../parts/page"
import { Empty, Loading, Problem } from "../parts/states"
import { type Column, Table } from "../parts/table"
import { params, setParams } from "../router"
import { views } from "../views"
import { count, duration } from "../words"

interface Connection {
  id: string
  endpoint: string
  table: string
  user: string | null
  address: string
  form: string
  args: Record<string, string[]>
  opened: string
  behind: number
}

const filterOf = ({ args }: Connection) =>
  Object.entries(args).flatMap(([name, values]) => values.map((value) => `${name}=${value}`)).join("&")
const textOf = (each: Connection) => [each.user, each.address, each.endpoint, each.table, filterOf(each)].join(" ").toLowerCase()

/** Rows on the page; the most behind come first. */
const SHOWN = 500

export default function Connections() {
  const [isLarge, setLarge] = useState(false)
  const { value, error, reload } = useGet<Connection[]>("/-/connections", isLarge ? 15 : 5)
  const [ending, end] = useState<Connection | null>(null)
  const [refusal, setRefusal] = useState<Error | null>(null)
  useEffect(() => setLarge((value?.length ?? 0) > 1000), [value])
  const wanted = params.value.get("q") ?? ""
  const shown = value?.filter((each) => textOf(each).includes(wanted.toLowerCase())) ?? []
  const disconnect = async (id: string) => {
    try {
      await send("DELETE", `/-/connections?id=${encodeURIComponent(id)}`)
      setRefusal(null)
    } catch (refused) {
      setRefusal(refused as Error)
    }
    reload()
  }
  const columns: Column<Connection>[] = [
    { title: "User", cell: (each) => each.user ?? <span class="soft">nobody</span> },
    { title: "Address", cell: (each) => each.address },
    { title: "Endpoint", cell: (each) => each.endpoint },
    { title: "Filter", cell: (each) => filterOf(each) ? <code>{filterOf(each)}</code> : <span class="soft">all rows</span> },
    { title: "Open for", cell: (each) => <time dateTime={each.opened} title={new Date(each.opened).toLocaleString()}>{duration((Date.now() - Date.parse(each.opened)) / 1000)}</time> },
    { title: "Behind", isNumber: true, cell: (each) => each.behind.toLocaleString() },
    { title: "", cell: (each) => <Button kind="quiet" onClick={() => end(each)} aria-label={`Disconnect ${each.user ?? each.address}`}>Disconnect</Button> },
  ]
  return (
    <Page title="Connections" about={views.connections!.about}>
      <Filter value={wanted} onInput={(q) => setParams({ q })} placeholder="User, address, endpoint or filter" />
      {(refusal ?? error) && <Problem error={(refusal ?? error)!} retry={reload} />}
      {value === undefined ? !error && <Loading />
        : shown.length === 0 ? <Empty title={wanted ? "No connection matches" : "No connections"}>WebSockets and event streams are listed here.</Empty>
        : <>
          <p class="soft" role="status">{count(shown.length, "connection")}{shown.length > SHOWN && `; the ${SHOWN} that are most behind are listed: a filter finds the others`}</p>
          <Table caption="Connections" columns={columns} rows={shown.slice(0, SHOWN)} keyOf={(each) => each.id} stacks />
        </>}
      {ending && (
        <Confirm title="Disconnect?" action="Disconnect" onClose={() => end(null)} onConfirm={() => disconnect(ending.id)}>
          <p>The connection of <strong>{ending.user ?? ending.address}</strong> to {ending.endpoint} is closed. A page connects again by itself.</p>
        </Confirm>
      )}
    </Page>
  )
}
