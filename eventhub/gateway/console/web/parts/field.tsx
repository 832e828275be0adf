import type { ComponentChildren, InputHTMLAttributes } from "preact"
import { useId } from "preact/hooks"

interface Props {
  label: string
  value: string
  type?: "text" | "password" | "number" | "search" | "datetime-local"
  name?: string
  list?: string
  placeholder?: string
  autocomplete?: "on" | "off"
  required?: boolean
  disabled?: boolean
  onInput?: (text: string) => void
  /** Below the field. */
  hint?: ComponentChildren
  /** What is wrong with it, in words. */
  wrong?: string
}

export function Field({ label, onInput, hint, wrong, ...rest }: Props) {
  const id = useId()
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <input
        id={id}
        aria-invalid={wrong ? true : undefined}
        aria-describedby={hint || wrong ? `${id}-hint` : undefined}
        onInput={(event) => onInput?.(event.currentTarget.value)}
        spellcheck={false}
        {...rest as InputHTMLAttributes<HTMLInputElement>}
      />
      {(wrong || hint) && <p id={`${id}-hint`} class={wrong ? "wrong" : "soft"}>{wrong || hint}</p>}
    </div>
  )
}

/** The filter of a view, which `/` focuses: at most one of them on a page. */
export function Filter({ value, onInput, placeholder, label = "Filter" }: {
  value: string
  onInput: (text: string) => void
  placeholder?: string
  label?: string
}) {
  return (
    <div class="filter">
      <input
        type="search"
        data-filter
        aria-label={label}
        placeholder={placeholder ?? label}
        value={value}
        autocomplete="off"
        spellcheck={false}
        onInput={(event) => onInput(event.currentTarget.value)}
      />
      <kbd aria-hidden="true">/</kbd>
    </div>
  )
}
