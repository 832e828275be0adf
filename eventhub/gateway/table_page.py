"""Table page: the rows of an endpoint as an HTML page with a form for its filter.

There is no script in it and nothing of other sites, and its policy allows none. Everything that a
client, a row or the file says is escaped.
"""

from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from hashlib import sha256
from html import escape
from typing import Final
from urllib.parse import quote

import msgspec

from eventhub.channel import Endpoint
from eventhub.columns import Column, Kind
from eventhub.filters.arguments import Args, parse_query_string
from eventhub.filters.query import Query
from eventhub.gateway.encodings import SPREADSHEET
from eventhub.gateway.table_style import STYLE

PAGE_ROWS, MAX_PAGE_ROWS = 100, 1000
"""Rows of one page, by default and at most; `_offset` leads to the others."""
_STYLE_HASH: Final = b64encode(sha256(STYLE.encode()).digest()).decode()
PAGE_HEADERS: Final = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self';"
        " base-uri 'none'; frame-ancestors 'self'"
    )
}
_ORDERED: Final = (
    Kind.INTEGER,
    Kind.REAL,
    Kind.DECIMAL,
    Kind.DATE,
    Kind.TIMESTAMP,
    Kind.TIMESTAMPTZ,
)
_NUMBERS: Final = (Kind.INTEGER, Kind.REAL, Kind.DECIMAL)
_FORMATS: Final = ("csv", "json", "ndjson", "arrow", "parquet")
_ROWS = msgspec.json.Decoder(dict[str, msgspec.Raw])


class TablePage:
    """One page of rows."""

    def __init__(self, endpoint: Endpoint, query: Query, raw_query: str) -> None:
        """Get ready.

        Args:
            endpoint: whose rows.
            query: what was asked for.
            raw_query: of the URL, still percent-encoded; what its links and its form go on from.
        """
        self._name = endpoint.name
        columns = endpoint.channel.columns
        self._shown = [columns[name] for name in query.columns]
        self._asked = parse_query_string(raw_query)
        asked = PAGE_ROWS if query.limit is None else query.limit
        self._size = min(asked, MAX_PAGE_ROWS)
        self._offset = query.offset
        self._sort = dict(query.sort)
        self.query = replace(query, limit=self._size + 1)
        """The query to read: one row more than is shown, to know whether there are more."""

    def render(self, lines: bytes) -> bytes:
        """Return the page.

        Args:
            lines: the rows of `query`, a JSON object a line.
        """
        rows = _ROWS.decode_lines(lines)
        has_more = len(rows) > self._size
        rows = rows[: self._size]
        title = escape(self._name)
        parts = [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
            f"<h1>{title}</h1>\n",
            self._form(),
            f'<p class="count" role="status">{self._count(len(rows), has_more)}</p>\n',
            self._table(rows),
            self._pages(has_more),
            self._downloads(),
            "</main>\n</body>\n</html>\n",
        ]
        return "".join(parts).encode()

    # --- The form

    def _form(self) -> str:
        fields = "".join(self._field(column) for column in self._shown)
        kept = "".join(
            f'<input type="hidden" name="{escape(key)}" value="{escape(value)}">'
            for key, value in self._kept()
        )
        return (
            "<details open><summary>Filter</summary>\n"
            '<form method="get" role="search" aria-label="Filter">\n'
            f'<div class="fields">{fields}</div>{kept}\n'
            '<p><button type="submit">Filter</button>'
            f' <a href="{self._link({}, only=("_format",))}">Show all</a></p>\n'
            f"{self._others()}</form></details>\n"
        )

    def _field(self, column: Column) -> str:
        name = escape(column.name)
        if column.kind is Kind.BOOLEAN:
            choices = "".join(self._choice(column.name, word) for word in ("true", "false"))
            return f"<fieldset><legend>{name}</legend>{choices}</fieldset>"
        if column.kind in _ORDERED:
            inputs = self._input(f"{column.name}>~", f"{name} from")
            inputs += self._input(f"{column.name}<~", f"{name} to")
            return f"<fieldset><legend>{name}</legend>{inputs}</fieldset>"
        if column.kind is Kind.TEXT:
            text = self._input(f"{column.name}*", f"{name} contains")
            return f"<fieldset><legend>{name}</legend>{text}</fieldset>"
        return ""  # of JSON one asks for a member

    def _input(self, key: str, label: str) -> str:
        value = escape(next(iter(self._asked.get(key, ())), ""))
        place = "from" if label.endswith("from") else "to" if label.endswith("to") else "contains"
        return (
            f'<input name="{escape(key)}" value="{value}" aria-label="{label}"'
            f' placeholder="{place}" autocomplete="off">'
        )

    def _choice(self, key: str, word: str) -> str:
        checked = " checked" if word in self._asked.get(key, ()) else ""
        return (
            f'<label><input type="checkbox" name="{escape(key)}" value="{word}"{checked}>'
            f" {word}</label>"
        )

    def _kept(self) -> Iterator[tuple[str, str]]:
        """Hidden inputs, which keep on submit what the form has no other input for."""
        inputs: set[str] = set()
        for column in self._shown:
            if column.kind is Kind.BOOLEAN:
                inputs.add(column.name)
            elif column.kind in _ORDERED:
                inputs |= {f"{column.name}>~", f"{column.name}<~"}
            elif column.kind is Kind.TEXT:
                inputs.add(f"{column.name}*")
        for key, values in self._asked.items():
            if key == "_offset":
                continue
            rest = values
            if key in inputs:  # a field holds the first value; two boxes hold true and false
                rest = values[1:] if key[-1] in "*~" else []
            yield from ((key, value) for value in rest)

    def _others(self) -> str:
        """Conditions that the form has no inputs for, each with a link that drops it."""
        items = [
            f"<li>{escape(f'{key}={value}')}"
            f' <a href="{self._without(key, value)}" aria-label="Remove {escape(key)}">&times;</a>'
            "</li>"
            for key, value in self._kept()
            if not key.startswith("_")
        ]
        return f'<ul class="conditions">{"".join(items)}</ul>\n' if items else ""

    # --- The table

    def _count(self, shown: int, has_more: bool) -> str:
        if not shown:
            return "No rows."
        first, last = self._offset + 1, self._offset + shown
        return f"Rows {first} to {last}{'; there are more' if has_more else ', the last ones'}."

    def _table(self, rows: Sequence[dict[str, msgspec.Raw]]) -> str:
        head = "".join(map(self._head, self._shown))
        body = "".join(
            f"<tr>{''.join(_cell(row[c.name], c) for c in self._shown)}</tr>\n" for row in rows
        )
        return (
            '<div class="scroll" role="region" aria-label="Rows" tabindex="0">\n<table>\n'
            f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>\n</div>\n"
        )

    def _head(self, column: Column) -> str:
        name = escape(column.name)
        if column.kind is Kind.JSON:
            return f'<th scope="col">{name}</th>'
        descending = self._sort.get(column.name)
        state, mark = "", ""
        if descending is not None:
            state = f' aria-sort="{"descending" if descending else "ascending"}"'
            mark = f' <span aria-hidden="true">{"▼" if descending else "▲"}</span>'
        wanted = f"-{column.name}" if descending is False else column.name
        link = self._link({"_sort": [wanted], "_offset": []})
        kind = _class_of(column)
        return f'<th scope="col" class="{kind}"{state}><a href="{link}">{name}{mark}</a></th>'

    # --- Links

    def _pages(self, has_more: bool) -> str:
        links = []
        if self._offset:
            before = max(self._offset - self._size, 0)
            link = self._link({"_offset": [str(before)] if before else []})
            links.append(f'<a rel="prev" href="{link}">Previous</a>')
        if has_more and self._size:
            link = self._link({"_offset": [str(self._offset + self._size)]})
            links.append(f'<a rel="next" href="{link}">Next</a>')
        return f'<nav aria-label="Pages">{" ".join(links)}</nav>\n' if links else ""

    def _downloads(self) -> str:
        every: Args = {"_offset": [], "_limit": []}
        kinds: dict[str, Args] = {name: {"_format": [name]} for name in _FORMATS}
        kinds[SPREADSHEET] = {"_format": ["csv"], "_csv": ["safe"]}
        links = " ".join(
            f'<a href="{self._link({**every, **args})}">{name}</a>' for name, args in kinds.items()
        )
        return f'<nav aria-label="All of these rows as a file">All as {links}</nav>\n'

    def _without(self, key: str, value: str) -> str:
        left = [other for other in self._asked[key] if other != value]
        return self._link({key: left, "_offset": []})

    def _link(self, changes: Args, only: Iterable[str] | None = None) -> str:
        """Return a link to this page with other arguments, escaped for an attribute."""
        kept = self._asked if only is None else {k: self._asked.get(k, []) for k in only}
        args = {**kept, **changes}
        pairs = [f"{_encoded(key)}={_encoded(value)}" for key in args for value in args[key]]
        return escape("?" + "&".join(pairs))


def _encoded(text: str) -> str:
    return quote(text, safe="")


def _cell(raw: msgspec.Raw, column: Column) -> str:
    text, kind = bytes(raw), _class_of(column)
    if text == b"null":
        return f'<td class="{kind} null"><abbr title="no value">&ndash;</abbr></td>'
    shown = msgspec.json.decode(text) if text.startswith(b'"') else text.decode()
    return f'<td class="{kind}">{escape(shown)}</td>'


def _class_of(column: Column) -> str:
    if column.kind in _NUMBERS:
        return "number"
    return "text" if column.kind in (Kind.TEXT, Kind.JSON) else "short"
