// Live comments below the script tag that loads this file, on a page of any site that `origins` names.
import { EventHub } from "./-/client.js"

const hub = new EventHub(new URL(".", import.meta.url).href)
const page = location.origin + location.pathname
const script = document.querySelector(`script[src="${import.meta.url}"]`)

const section = document.createElement("section")
section.innerHTML = `
  <h2>Comments</h2>
  <ol></ol>
  <p role="alert"></p>
  <form>
    <p><label>Name <input name="name" autocomplete="name" maxlength="40" required></label></p>
    <p><label>Comment <textarea name="body" maxlength="2000" required></textarea></label></p>
    <button>Send</button>
    <p role="status"></p>
  </form>`
script.after(section)
const [list, problem, form, status] = ["ol", "[role=alert]", "form", "[role=status]"].map((each) =>
  section.querySelector(each),
)

const shown = new Map() // by row: rows that did not change are the same objects
function item(row) {
  if (!shown.has(row)) {
    const name = Object.assign(document.createElement("strong"), { textContent: row.name })
    const time = Object.assign(document.createElement("time"), { dateTime: `${row.timestamp}Z` })
    time.textContent = new Date(time.dateTime).toLocaleString()
    const li = document.createElement("li")
    li.append(name, " ", time, document.createElement("br"), row.body) // as text: it is a stranger's
    shown.set(row, li)
  }
  return shown.get(row)
}

const rows = hub.rows("comments", { where: { page } })
rows.subscribe((value) => {
  list.replaceChildren(...value.map(item))
  problem.textContent = rows.error?.message ?? { offline: "No connection: trying again." }[rows.state] ?? ""
})

form.onsubmit = async (event) => {
  event.preventDefault()
  const { name, body } = form.elements
  try {
    await hub.post("comments", { page, name: name.value.trim(), body: body.value.trim() })
    body.value = ""
    status.textContent = "Sent."
  } catch (error) {
    status.textContent = `Not sent: ${error.message}`
  }
}
