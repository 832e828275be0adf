// Light, dark, or as the system: kept in this browser; theme.ts applies it before the first paint.
import { signal } from "@preact/signals"
import { Button } from "./parts/button"

const STORED = "eventhub-console-theme"
const ORDER = ["system", "light", "dark"] as const
type Theme = (typeof ORDER)[number]

const theme = signal<Theme>((document.documentElement.dataset.theme as Theme | undefined) ?? "system")

export function nextTheme(): void {
  const next = ORDER[(ORDER.indexOf(theme.value) + 1) % ORDER.length]!
  theme.value = next
  if (next === "system") delete document.documentElement.dataset.theme
  else document.documentElement.dataset.theme = next
  try {
    if (next === "system") localStorage.removeItem(STORED)
    else localStorage.setItem(STORED, next)
  } catch {
    // Storage is off in this browser: it holds until the page is closed.
  }
}

export function ThemeSwitch() {
  return <Button kind="quiet" onClick={nextTheme} aria-keyshortcuts="t">Theme: {{ system: "auto", light: "light", dark: "dark" }[theme.value]}</Button>
}
