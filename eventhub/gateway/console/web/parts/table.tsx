import type { ComponentChildren } from "preact"

export interface Column<T> {
  title: string
  cell: (row: T) => ComponentChildren
  /** Numbers are aligned at their end. */
  isNumber?: boolean
}

interface Props<T> {
  /** What the rows are, for those who do not see them. */
  caption: string
  columns: readonly Column<T>[]
  rows: readonly T[]
  keyOf: (row: T) => string | number
  /** On a phone, each row becomes a card with the titles in it. */
  stacks?: boolean
}

/** A table that scrolls sideways by itself where it is too wide. */
export function Table<T>({ caption, columns, rows, keyOf, stacks }: Props<T>) {
  return (
    <div class={stacks ? "table stacks" : "table"} role="region" aria-label={caption} tabIndex={0}>
      <table>
        <caption class="unseen">{caption}</caption>
        <thead>
          <tr>{columns.map((each) => <th scope="col" class={each.isNumber ? "number" : ""}>{each.title || <span class="unseen">Actions</span>}</th>)}</tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={keyOf(row)}>
              {columns.map((each) => <td class={each.isNumber ? "number" : ""} data-title={each.title}>{each.cell(row)}</td>)}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}
