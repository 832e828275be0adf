"""Table style: the look of the table page, for light and dark, wide and narrow."""

from typing import Final

STYLE: Final = """
:root { color-scheme: light dark; --edge: #d5d9e0; --soft: #5a6472; --head: #f3f5f8;
  --link: #0b57b0; --text: #14181f; --page: #fff }
@media (prefers-color-scheme: dark) {
  :root { --edge: #3a414c; --soft: #a9b2bf; --head: #232830; --link: #8ab8ff;
    --text: #e8ebf0; --page: #14171c }
}
* { box-sizing: border-box }
body { margin: 0; background: var(--page); color: var(--text);
  font: 16px/1.5 system-ui, sans-serif }
main { max-width: 80rem; margin: 0 auto; padding: 1.5rem 1rem 4rem }
h1 { font-size: 1.5rem; margin: 0 0 1rem; overflow-wrap: anywhere }
a { color: var(--link) }
a:focus-visible, input:focus-visible, button:focus-visible, .scroll:focus-visible {
  outline: 3px solid var(--link); outline-offset: 2px
}
.fields { display: grid; grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); gap: .7rem }
fieldset { border: 0; margin: 0; padding: 0; min-width: 0 }
fieldset { display: flex; flex-wrap: wrap; gap: .4rem }
legend { padding: 0; font-size: .85rem; color: var(--soft); overflow-wrap: anywhere }
input:not([type]) {
  flex: 1 1 4rem; min-width: 0; font: inherit; padding: .35rem .5rem;
  border: 1px solid var(--edge); border-radius: .3rem
}
textarea {
  width: 100%; font: .95rem/1.5 ui-monospace, monospace; padding: .5rem; margin-bottom: .7rem;
  border: 1px solid var(--edge); border-radius: .3rem
}
textarea:focus-visible { outline: 3px solid var(--link); outline-offset: 2px }
pre { margin: 0; padding: .7rem; white-space: pre-wrap; overflow-wrap: anywhere }
label { padding: .35rem 0 }
button { font: inherit; padding: .4rem 1.2rem; border-radius: .3rem; border: 1px solid var(--edge) }
form p { margin: .75rem 0 }
.conditions { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .4rem }
.conditions li { border: 1px solid var(--edge); border-radius: 1rem; padding: 0 .7rem }
.count { color: var(--soft); margin: 1rem 0 .5rem }
.scroll { overflow-x: auto; border: 1px solid var(--edge); border-radius: .4rem }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { padding: .45rem .75rem; text-align: start; vertical-align: top }
th { background: var(--head); white-space: nowrap; font-weight: 600 }
td { border-top: 1px solid var(--edge); unicode-bidi: isolate; white-space: pre-wrap }
.text { overflow-wrap: anywhere; min-width: 9rem }
.text:last-child { min-width: 16rem }
.number { text-align: end }
td:not(.text) { white-space: nowrap }
summary { cursor: pointer; font-weight: 600; margin-bottom: .5rem }
.null { color: var(--soft) }
abbr { text-decoration: none }
nav { margin-top: 1rem; display: flex; flex-wrap: wrap; gap: .75rem }
"""
