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
  overview: { title: "Overview", about: "Is all well? This process, and its last 15 minutes.", key: "o", load: () => import("./views/overview") },
  connections: { title: "Connections", about: "Who is connected to this process, and how far behind.", key: "c", load: () => import("./views/connections") },
}
