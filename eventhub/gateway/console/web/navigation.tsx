import { useState } from "preact/hooks"
import { OperatorDialog } from "./operator"
import { me } from "./me"
import { Button } from "./parts/button"
import { link } from "./router"
import { ThemeSwitch } from "./theme-switch"
import { views } from "./views"

interface Props {
  /** Of the views that the user may have. */
  names: readonly string[]
  chosen: string | undefined
  onHelp: () => void
}

/** At the side of a wide page, behind a button on a phone. */
export function Navigation({ names, chosen, onHelp }: Props) {
  const [isOpen, setOpen] = useState(false)
  const [isAsking, setAsking] = useState(false)
  return (
    <nav class={isOpen ? "navigation open" : "navigation"} aria-label="Views">
      <div class="brand">
        <a href="#/"><img src="/-/console/icon.svg" alt="" width="22" height="22" />EventHub</a>
        <Button kind="menu" aria-expanded={isOpen} aria-controls="views" onClick={() => setOpen(!isOpen)}>Menu</Button>
      </div>
      <div id="views" class="views">
        <ul>
          {names.map((name) => (
            <li>
              <a href={link(name)} aria-current={name === chosen ? "page" : undefined} onClick={() => setOpen(false)}>{views[name]!.title}</a>
            </li>
          ))}
        </ul>
        <div class="footer">
          <p class="soft">{me.value && [me.value.user, me.value.operator && "operator"].filter(Boolean).join(", ") || "Not logged in"}</p>
          {me.value?.operator === false && <div class="actions"><Button kind="quiet" onClick={() => setAsking(true)}>Log in as operator</Button></div>}
          <div class="actions">
            <ThemeSwitch />
            <Button kind="quiet" onClick={onHelp} aria-keyshortcuts="?">Keys</Button>
          </div>
          <p class="soft">{me.value?.version && `Version ${me.value.version}`}</p>
        </div>
      </div>
      {isAsking && <OperatorDialog onClose={() => setAsking(false)} />}
    </nav>
  )
}
