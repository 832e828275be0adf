// The field for a filter, which completes columns, operators and values.

import { useEffect, useRef, useState } from "preact/hooks"
import type { Column } from "./endpoints"
import { complete, type Suggestion } from "./filter"

interface Properties {
  value: string
  columns: Column[]
  /** The values of a column that are known, the most frequent first. */
  valuesOf: (name: string) => string[]
  onApply: (text: string) => void
  error?: string | null
}

/** A combobox: Enter applies what is written, Tab takes a suggestion. */
export function FilterBox({ value, columns, valuesOf, onApply, error }: Properties) {
  const input = useRef<HTMLInputElement>(null)
  const [text, setText] = useState(value)
  const [caret, setCaret] = useState(value.length)
  const [isOpen, setOpen] = useState(false)
  const [chosen, choose] = useState(-1)
  useEffect(() => setText(value), [value])
  const all = isOpen ? complete(text, caret, columns, valuesOf) : []

  function read() {
    setText(input.current!.value)
    setCaret(input.current!.selectionStart ?? 0)
    choose(-1)
  }

  function apply() {
    setOpen(false)
    onApply(input.current!.value)
  }

  function take({ text: part, from, to }: Suggestion) {
    const field = input.current!
    field.setRangeText(part, from, to, "end")
    field.focus()
    read()
    if (/=.|!$/.test(part)) apply()
    else setOpen(true)
  }

  function press(event: KeyboardEvent) {
    if (event.key === "Escape" && isOpen) setOpen(false)
    else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && all.length) choose((chosen + (event.key === "ArrowDown" ? 1 : all.length)) % all.length)
    else if (event.key === "ArrowDown") setOpen(true)
    else if (event.key === "Tab" && !event.shiftKey && all[chosen]) take(all[chosen])
    else if (event.key === "Enter") all[chosen] ? take(all[chosen]) : apply()
    else return
    event.preventDefault()
    event.stopPropagation()
  }

  return (
    <div class="filterbox" role="search">
      <input
        ref={input}
        type="text"
        role="combobox"
        aria-label="Filter"
        aria-autocomplete="list"
        aria-expanded={all.length > 0}
        aria-controls="suggestions"
        aria-activedescendant={chosen >= 0 ? `suggestion-${chosen}` : undefined}
        aria-invalid={error ? true : undefined}
        aria-describedby={error ? "filter-error" : undefined}
        placeholder={placeholderOf(columns)}
        autocomplete="off"
        autocapitalize="off"
        spellcheck={false}
        data-filter
        value={text}
        onInput={() => (read(), setOpen(true))}
        onFocus={() => (read(), setOpen(true))}
        onClick={() => (read(), setOpen(true))}
        onBlur={() => setOpen(false)}
        onKeyDown={press}
      />
      {text && <button type="button" class="clear" aria-label="Clear the filter" onClick={() => (setText(""), onApply(""))}>×</button>}
      <ul id="suggestions" role="listbox" aria-label="Suggestions" hidden={!all.length}>
        {all.map((each, place) => (
          <li
            key={each.text}
            id={`suggestion-${place}`}
            role="option"
            aria-selected={place === chosen}
            onMouseDown={(event) => (event.preventDefault(), take(each))}
          >
            <code>{each.text}</code>
            <span>{each.detail}</span>
          </li>
        ))}
      </ul>
      {error && <p id="filter-error" class="problem" role="alert">{error}</p>}
    </div>
  )
}

function placeholderOf(columns: Column[]): string {
  const text = columns.find(({ kind, name }) => kind === "text" && name !== "id" && name !== "user")
  const number = columns.find(({ kind }) => kind === "integer" || kind === "number")
  const parts = [text && `${text.name}=Help`, number && `${number.name}>~=3`, !text && !number && "id=a"].filter(Boolean)
  return `Filter, such as ${parts.join("&")}`
}
