// The views: what each is called, and the module that is loaded when it is opened first.
// Which of them a user may have is decided by the hub: views.py lists the same names.
import type { ComponentType } from "preact"

export interface View {
  title: string
  /** Said below the title. */
  about: string
  /** Opens it after `g`. */
  key: string
  load: () => Promise<{ default: ComponentType }>
}

export const views: Record<string, View> = {
  overview: { title: "Overview", about: "Is all well? This process, its last 15 minutes, and the other processes.", key: "o", load: () => import("./views/overview") },
  endpoints: { title: "Endpoints", about: "What this hub offers you: columns, code to copy, and a form to try it.", key: "e", load: () => import("./views/endpoints") },
  live: { title: "Live", about: "The rows of a filter, as they change.", key: "l", load: () => import("./views/live") },
  row: { title: "Row", about: "The life of one row: who changed what, when, from what to what.", key: "r", load: () => import("./views/row") },
  time: { title: "Time", about: "A table as it was, and how it became what it is.", key: "i", load: () => import("./views/time") },
  sql: { title: "SQL", about: "Ask about rows, every event, and any past state. The link is the query.", key: "s", load: () => import("./views/sql") },
  connections: { title: "Connections", about: "Who is connected to this process, and how far behind.", key: "c", load: () => import("./views/connections") },
  alerts: { title: "Alerts", about: "Mails that could not be sent, and which mails an alert would send.", key: "a", load: () => import("./views/alerts") },
  configuration: { title: "Configuration", about: "What this hub serves, and what another file would change.", key: "f", load: () => import("./views/configuration") },
}
