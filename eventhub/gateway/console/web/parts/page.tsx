import type { ComponentChildren } from "preact"
import { useLayoutEffect, useRef } from "preact/hooks"

interface Props {
  title: string
  /** One sentence below the title. */
  about?: ComponentChildren
  /** Buttons at the end of the header. */
  actions?: ComponentChildren
  children: ComponentChildren
}

/** The header of a view, and what is below it. Its heading gets the focus when the view is opened. */
export function Page({ title, about, actions, children }: Props) {
  const heading = useRef<HTMLHeadingElement>(null)
  // with the view, not a frame later: a key pressed between the two would lose its field
  useLayoutEffect(() => {
    document.title = `${title} · EventHub console`
    heading.current?.focus({ preventScroll: true })
  }, [title])
  return (
    <>
      <header class="page-header">
        <div>
          <h1 ref={heading} tabIndex={-1}>{title}</h1>
          {about && <p class="soft">{about}</p>}
        </div>
        {actions && <div class="actions">{actions}</div>}
      </header>
      {children}
    </>
  )
}
