import type { ButtonHTMLAttributes, ComponentChildren } from "preact"

type Native = Omit<ButtonHTMLAttributes, "class" | "size">

interface Props extends Native {
  /** `primary`: the one that people came for; `danger`: it cannot be undone. */
  kind?: "plain" | "primary" | "danger" | "quiet" | "menu"
  children: ComponentChildren
}

export function Button({ kind = "plain", type = "button", children, ...rest }: Props) {
  return <button type={type} class={`button ${kind}`} {...rest}>{children}</button>
}
