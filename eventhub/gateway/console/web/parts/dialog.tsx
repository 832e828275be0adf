import type { ComponentChildren } from "preact"
import { useId, useLayoutEffect, useRef } from "preact/hooks"
import { Button } from "./button"

interface Props {
  title: string
  /** Called by Escape and a click beside it, too. */
  onClose: () => void
  children: ComponentChildren
}

/** A modal dialog, as long as it is rendered. The element that had the focus gets it back. */
export function Dialog({ title, onClose, children }: Props) {
  const place = useRef<HTMLDialogElement>(null)
  const heading = useId()
  // At once: an effect after the next frame would take the focus from whatever a fast key gave it to.
  useLayoutEffect(() => {
    const before = document.activeElement
    const dialog = place.current!
    dialog.showModal()
    return () => {
      dialog.close()
      if (before instanceof HTMLElement) before.focus()
    }
  }, [])
  return (
    <dialog
      ref={place}
      aria-labelledby={heading}
      onCancel={(event) => { event.preventDefault(); onClose() }}
      onClick={(event) => { if (event.target === event.currentTarget) onClose() }}
    >
      <div class="dialog">
        <h2 id={heading}>{title}</h2>
        {children}
      </div>
    </dialog>
  )
}

interface ConfirmProps {
  title: string
  /** What the button says: a verb. */
  action: string
  onConfirm: () => void
  onClose: () => void
  children: ComponentChildren
}

/** Asks before something that cannot be undone. */
export function Confirm({ title, action, onConfirm, onClose, children }: ConfirmProps) {
  return (
    <Dialog title={title} onClose={onClose}>
      {children}
      <div class="actions">
        <Button onClick={onClose} autofocus>Cancel</Button>
        <Button kind="danger" onClick={() => { onClose(); onConfirm() }}>{action}</Button>
      </div>
    </Dialog>
  )
}
