import { useMemo, useState } from "preact/hooks"
import type { Column as TableColumn, Endpoint, SqlHandler } from "../explore/endpoints"
import { parse, written } from "../explore/filter"
import { FilterBox } from "../explore/filterbox"
import { arranged, useEndpoints } from "../explore/hub"
import { limitsOf } from "../explore/limits"
import { Settings } from "../explore/settings"
import { snippetsOf } from "../explore/snippets"
import { Trial } from "../explore/trial"
import { Code } from "../parts/code"
import { Page } from "../parts/page"
import { Badge, Empty, Loading, Problem } from "../parts/states"
import { type Column, Table } from "../parts/table"
import { link, params, setParams } from "../router"
import { views } from "../views"

const OPERATORS = ["", "!", ">", ">~", "<", "<~", "~", "!~", "*", "!*"]

export default function Endpoints() {
  const { endpoints, handlers, error, reload } = useEndpoints()
  const chosen = params.value.get("path")
  return (
    <Page title="Endpoints" about={views.endpoints!.about}>
      {!endpoints || !handlers ? (error ? <Problem error={error} retry={reload} /> : <Loading />)
        : endpoints.length + handlers.length === 0 ? <Empty title="There is no endpoint that you may use">Log in as another user, or add one to the configuration.</Empty>
        : <Chooser endpoints={endpoints} handlers={handlers} chosen={chosen ?? endpoints[0]?.path ?? handlers[0]!.path} />}
    </Page>
  )
}

function Chooser({ endpoints, handlers, chosen }: { endpoints: Endpoint[]; handlers: SqlHandler[]; chosen: string }) {
  const endpoint = endpoints.find(({ path }) => path === chosen)
  const handler = handlers.find(({ path }) => path === chosen)
  return (
    <div class="chooser">
      <nav aria-label="Endpoints" class="choices">
        {[...endpoints, ...handlers].map(({ path, name }) => (
          <a key={path} href={link("endpoints", { path })} aria-current={path === chosen ? "true" : undefined}>
            <code>{path}</code>
            <span>{name}</span>
          </a>
        ))}
      </nav>
      {endpoint ? <Details key={chosen} endpoint={endpoint} /> : handler ? <SqlDetails key={chosen} handler={handler} /> : <Empty title={`There is no endpoint ${chosen} that you may use`}>Choose another one.</Empty>}
    </div>
  )
}

function Details({ endpoint }: { endpoint: Endpoint }) {
  const { path, name, methods, needsLogin } = endpoint
  return (
    <article class="stack" aria-label={path}>
      <header class="stack">
        <h2 class="path"><code>{path}</code></h2>
        <p class="summary">
          <span class="soft">{name}</span>
          <Badge tone="good">read</Badge>
          {methods.filter((each) => each !== "PATCH").map((each) => <Badge key={each} tone="plain">{each}</Badge>)}
          <Badge tone={needsLogin ? "wait" : "plain"}>{needsLogin ? "needs a login" : "no login needed"}</Badge>
        </p>
        <p class="links">
          <a href={link("live", { path })}>Live</a>
          <a href={link("row", { path })}>Row</a>
          <a href={link("time", { path })}>Time</a>
          <a href={`${path}?_schema`} target="_blank" rel="noopener">JSON Schema</a>
        </p>
      </header>
      <Columns endpoint={endpoint} />
      <Settings name={name} />
      <Snippets endpoint={endpoint} />
      {methods.length > 0 && <Trial endpoint={endpoint} />}
    </article>
  )
}

function Columns({ endpoint }: { endpoint: Endpoint }) {
  const columns: Column<TableColumn>[] = [
    { title: "Column", cell: ({ name }) => <code>{name}</code> },
    { title: "Type", cell: ({ kind }) => kind },
    { title: "You may", cell: ({ isWritable }) => (isWritable && endpoint.methods.length ? "read and write" : "read") },
    { title: "Filters", cell: ({ name, operators }) => <code class="operators">{OPERATORS.filter((each) => operators.includes(each)).map((each) => <span key={each} title={`${name}${each}=value`}>{`${each}=`}</span>)}</code> },
  ]
  return (
    <section class="stack">
      <h3>Columns</h3>
      <Table caption={`Columns of ${endpoint.path}`} columns={columns} rows={arranged(endpoint.columns)} keyOf={({ name }) => name} />
    </section>
  )
}

function Snippets({ endpoint }: { endpoint: Endpoint }) {
  const query = params.value.get("q") ?? ""
  const [chosen, choose] = useState("JavaScript")
  const all = useMemo(
    () => snippetsOf(location.origin, endpoint.path, endpoint.columns, parse(query), endpoint.methods.includes("POST")),
    [endpoint, query],
  )
  const shown = all.find(({ title }) => title === chosen)!
  return (
    <section class="stack">
      <h3>Code</h3>
      <div class="tools">
        <fieldset class="tabs">
          <legend class="unseen">Language</legend>
          {all.map(({ title }) => <label key={title}><input type="radio" name="language" checked={title === chosen} onChange={() => choose(title)} /><span>{title}</span></label>)}
        </fieldset>
        <FilterBox value={query} columns={endpoint.columns} valuesOf={() => []} onApply={(text) => setParams({ path: endpoint.path, q: written(parse(text)) })} />
      </div>
      <Code text={shown.code} label={shown.title} />
    </section>
  )
}

function SqlDetails({ handler }: { handler: SqlHandler }) {
  const { path, name, limits } = handler
  return (
    <article class="stack" aria-label={path}>
      <header class="stack">
        <h2 class="path"><code>{path}</code></h2>
        <p class="summary"><span class="soft">{name}</span><Badge tone="good">SQL</Badge>{limits && <span class="soft">{limitsOf(limits)}</span>}</p>
        <p class="links"><a href={link("sql", { path })}>Ask</a></p>
      </header>
      <Code text={`curl -G '${location.origin}${path}' --data-urlencode 'sql=SELECT 42 AS answer'`} label="curl" />
      <Code text={`INSTALL httpfs;\nFROM read_parquet('${location.origin}${path}.parquet?sql=SELECT+42+AS+answer');`} label="DuckDB" />
    </article>
  )
}
