import { useState } from "preact/hooks"
import { Button } from "./button"

/** Text to copy: `label` says what it is. */
export function Code({ text, label }: { text: string; label: string }) {
  const [said, say] = useState("Copy")
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text)
      say("Copied")
    } catch {
      say("Select it, and copy") // without HTTPS, browsers have no clipboard
    }
    setTimeout(() => say("Copy"), 2000)
  }
  return (
    <figure class="code">
      <figcaption>
        <span>{label}</span>
        <Button kind="quiet" onClick={copy} aria-live="polite" aria-label={`${said}: ${label}`}>{said}</Button>
      </figcaption>
      <pre tabIndex={0} aria-label={label}><code>{text}</code></pre>
    </figure>
  )
}
