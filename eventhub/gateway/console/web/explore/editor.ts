// The SQL editor: CodeMirror, loaded when it is shown first.
//
// It lives in a shadow root, because there its styles are constructed style sheets, which the
// console's policy allows; in the page they would be an element that it forbids.

import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap } from "@codemirror/autocomplete"
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands"
import { PostgreSQL, sql } from "@codemirror/lang-sql"
import { bracketMatching, HighlightStyle, syntaxHighlighting } from "@codemirror/language"
import { Compartment, EditorState, Prec } from "@codemirror/state"
import { drawSelection, EditorView, keymap, lineNumbers, placeholder } from "@codemirror/view"
import { tags } from "@lezer/highlight"
import type { Tables } from "./statement"

export interface Editor {
  set: (text: string) => void
  complete: (tables: Tables) => void
  focus: () => void
  blur: () => void
  destroy: () => void
}

const THEME = EditorView.theme({
  "&": { color: "var(--text)", fontSize: "0.875rem", minHeight: "8rem", maxHeight: "22rem" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.6" },
  ".cm-content": { padding: "0.7rem 0", caretColor: "var(--accent)" },
  ".cm-gutters": { backgroundColor: "transparent", color: "var(--quiet)", border: "none", paddingLeft: "0.4rem" },
  ".cm-cursor": { borderLeftColor: "var(--accent)", borderLeftWidth: "2px" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": { background: "var(--tint)" },
  "&.cm-focused .cm-matchingBracket": { backgroundColor: "var(--tint)", color: "inherit" },
  ".cm-placeholder": { color: "var(--quiet)" },
  ".cm-tooltip": { backgroundColor: "var(--surface)", color: "var(--text)", border: "1px solid var(--line)", borderRadius: "0.4rem", overflow: "hidden" },
  ".cm-tooltip-autocomplete > ul": { fontFamily: "var(--mono)" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul > li": { padding: "0.15rem 0.5rem" },
  ".cm-tooltip-autocomplete > ul > li[aria-selected]": { backgroundColor: "var(--accent)", color: "var(--on-accent)" },
})
const COLOURS = HighlightStyle.define([
  { tag: tags.keyword, color: "var(--accent)", fontWeight: "600" },
  { tag: [tags.string, tags.special(tags.string)], color: "var(--good)" },
  { tag: [tags.number, tags.bool, tags.null], color: "var(--wait)" },
  { tag: tags.comment, color: "var(--quiet)", fontStyle: "italic" },
])

/**
 * Replace what is selected by what is typed. Left to itself, Chromium keeps the look of the old text in an
 * inline style, which the policy forbids, and reports.
 */
function replaceSelection(event: InputEvent, view: EditorView): boolean {
  const isPlain = event.inputType === "insertText" && /^[^()[\]{}'"]+$/.test(event.data ?? "")
  if (!isPlain || view.composing || view.state.selection.main.empty) return false
  view.dispatch(view.state.replaceSelection(event.data!), { userEvent: "input.type", scrollIntoView: true })
  return true
}

/** Put an editor into an element. */
export function edit(parent: HTMLElement, { onInput, onRun }: { onInput: (text: string) => void; onRun: () => void }): Editor {
  const root = parent.shadowRoot ?? parent.attachShadow({ mode: "open" })
  const language = new Compartment()
  const languageFor = (schema: Tables) => sql({ dialect: PostgreSQL, schema, upperCaseKeywords: true })
  const run = () => (onRun(), true)
  const view = new EditorView({
    parent: root,
    root,
    state: EditorState.create({
      extensions: [
        Prec.highest(keymap.of([{ key: "Mod-Enter", run }])),
        lineNumbers(),
        history(),
        drawSelection(),
        bracketMatching(),
        closeBrackets(),
        autocompletion({ icons: false }),
        language.of(languageFor({})),
        syntaxHighlighting(COLOURS),
        THEME,
        EditorView.lineWrapping,
        EditorView.domEventHandlers({ beforeinput: replaceSelection }),
        EditorView.contentAttributes.of({ "aria-label": "SQL statement" }),
        placeholder("One SELECT"),
        // Without Tab, so that the keyboard can leave the editor.
        keymap.of([...closeBracketsKeymap, ...completionKeymap, ...historyKeymap, ...defaultKeymap]),
        EditorView.updateListener.of((update) => update.docChanged && onInput(update.state.doc.toString())),
      ],
    }),
  })
  return {
    set(text) {
      if (text !== view.state.doc.toString()) view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: text } })
    },
    complete: (tables) => view.dispatch({ effects: language.reconfigure(languageFor(tables)) }),
    focus: () => view.focus(),
    blur: () => view.contentDOM.blur(),
    destroy: () => view.destroy(),
  }
}
