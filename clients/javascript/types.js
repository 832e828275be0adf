#!/usr/bin/env node
// eventhub-types URL: TypeScript types of the rows and messages of an endpoint, from GET URL?_schema.

const PRIMITIVES = { string: "string", number: "number", integer: "number", boolean: "boolean", null: "null" }
const METHODS = { Row: "rows", Post: "messages of a POST", Put: "messages of a PUT", Send: "messages of a SEND" }

// The TypeScript type of a JSON Schema.
function typeOf(schema) {
  if ("const" in schema) return JSON.stringify(schema.const)
  if (schema.enum) return union(schema.enum.map((each) => JSON.stringify(each)))
  const some = schema.anyOf ?? schema.oneOf
  if (some) return union(some.map(typeOf))
  const types = [schema.type ?? []].flat()
  return types.length ? union(types.map((type) => PRIMITIVES[type] ?? structureOf(type, schema))) : "unknown"
}

// The module of the types that a schema describes.
function moduleOf(schema, url) {
  const parts = Object.entries(schema.$defs).map(([name, each]) => {
    const note = `/** The ${METHODS[name] ?? name} of ${comment(schema.title)}. */`
    return `${note}\nexport interface ${name} ${structureOf("object", each, name === "Row")}\n`
  })
  return [`// Of ${comment(url)}, by eventhub-types: make it again after a change of the columns.\n`, ...parts].join("\n")
}

function union(types) {
  return [...new Set(types)].join(" | ")
}

function structureOf(type, schema, readonly = false) {
  if (type === "array") return schema.items ? `readonly (${typeOf(schema.items)})[]` : "readonly unknown[]"
  const { properties = {}, required = [], additionalProperties } = schema
  const lines = Object.entries(properties).map(([name, each]) => {
    const key = /^[A-Za-z_$][\w$]*$/.test(name) ? name : JSON.stringify(name)
    const note = each.description ? `  /** ${comment(each.description)} */\n` : ""
    return `${note}  ${readonly ? "readonly " : ""}${key}${required.includes(name) ? "" : "?"}: ${typeOf(each)}\n`
  })
  if (additionalProperties !== false) lines.push("  [key: string]: unknown\n")
  return `{\n${lines.join("")}}`
}

// What a hub sends must not end the comment that it is in.
function comment(text) {
  return String(text).replace(/\*\//g, "* /").replace(/\s+/g, " ")
}

async function main([address, ...more]) {
  if (!address || more.length || address.startsWith("-")) {
    console.error("eventhub-types URL: print TypeScript types of an endpoint, such as http://127.0.0.1:8080/messages")
    console.error("EVENTHUB_TOKEN is sent as a bearer token, if it is set.")
    return 2
  }
  const url = new URL(address)
  url.search = "?_schema"
  const token = process.env.EVENTHUB_TOKEN
  const headers = token ? { Authorization: `Bearer ${token}` } : {}
  const answer = await fetch(url, { headers, signal: AbortSignal.timeout(30_000) })
  const found = await answer.json().catch(() => ({}))
  if (!answer.ok || !found.$defs) {
    console.error(`${url} is no endpoint of a hub: ${found._error?.message ?? `it answers ${answer.status}`}`)
    return 1
  }
  url.search = ""
  console.log(moduleOf(found, url.href).trimEnd())
  return 0
}

process.exitCode = await main(process.argv.slice(2)).catch((error) => {
  console.error(`eventhub-types: ${error.cause?.message ?? error.message}`)
  return 1
})
