import { useState } from "preact/hooks"
import { operatorToken } from "./api"
import { ask, me } from "./me"
import { Button } from "./parts/button"
import { Dialog } from "./parts/dialog"
import { Field } from "./parts/field"

/** Asks for the token of `server: admin:`, with which an operator sees more from another machine. */
export function OperatorDialog({ onClose }: { onClose: () => void }) {
  const [token, setToken] = useState("")
  const [wrong, setWrong] = useState("")
  const submit = async (event: Event) => {
    event.preventDefault()
    operatorToken.set(token.trim())
    await ask()
    if (me.value?.operator) return onClose()
    operatorToken.set("")
    setWrong("The hub does not take this token.")
  }
  return (
    <Dialog title="Log in as operator" onClose={onClose}>
      <form class="form" onSubmit={submit}>
        <Field label="Token" type="password" autocomplete="off" required value={token} onInput={setToken} wrong={wrong} hint="Of server: admin: in the file of the hub, or an API key with the scope admin. It is kept until this tab is closed." />
        <div class="actions">
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" type="submit">Log in</Button>
        </div>
      </form>
    </Dialog>
  )
}
