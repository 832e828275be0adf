"""SQL page: a statement, its parameters and its first rows as an HTML page.

There is no script in it and nothing of other sites, and its policy allows none. The address of the
page is the query. Everything that a client or a row says is escaped.
"""

import re
from collections.abc import Iterable, Iterator
from html import escape
from typing import Final
from urllib.parse import quote

import msgspec

from eventhub.config import SqlEndpoint
from eventhub.errors import EventHubError, Rejected
from eventhub.filters.arguments import Args
from eventhub.gateway.encodings import SPREADSHEET
from eventhub.gateway.table_page import PAGE_HEADERS
from eventhub.gateway.table_style import STYLE
from eventhub.queries import Answer

__all__ = ["PAGE_HEADERS", "PAGE_ROWS", "SqlPage"]

PAGE_ROWS = 1000
"""The first rows, which a page shows; downloads have all."""
_FORMATS: Final = ("csv", "json", "ndjson", "arrow", "parquet")
_PARAMETER: Final = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)")
_NUMBERS: Final = re.compile(r"(U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|DOUBLE|FLOAT|DECIMAL.*)")
_ROWS = msgspec.json.Decoder(dict[str, msgspec.Raw])


class SqlPage:
    """The page of one SQLHandler."""

    def __init__(self, entry: SqlEndpoint, args: Args) -> None:
        """Get ready.

        Args:
            entry: the handler.
            args: of the URL.
        """
        self._entry = entry
        self._args = {name: values[0] for name, values in args.items()}
        self._sql = self._args.get("sql", "")

    def render(self) -> bytes:
        """Return the page without a statement."""
        return self._whole([self._form()])

    def render_error(self, error: EventHubError) -> bytes:
        """Return the page with what is wrong with the statement."""
        text = (
            f'<p role="alert"><strong>{escape(error.code)}</strong></p>\n'
            f'<pre class="scroll" tabindex="0">{escape(error.message)}</pre>\n'
        )
        focus = error.column if isinstance(error, Rejected) else None
        return self._whole([self._form(wrong=focus), text])

    def render_answer(self, answer: Answer, lines: bytes) -> bytes:
        """Return the page with the first rows.

        Args:
            answer: to the statement.
            lines: its file, a JSON object a line.
        """
        return self._whole(
            [self._form(), self._count(answer), _table(answer, lines), self._downloads()]
        )

    def _whole(self, parts: Iterable[str]) -> bytes:
        title = escape(self._entry.name)
        text = (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
            f"<h1>{title}</h1>\n{''.join(parts)}</main>\n</body>\n</html>\n"
        )
        return text.encode(errors="replace")

    def _form(self, wrong: str | None = None) -> str:
        rows = min(max(self._sql.count("\n") + 2, 4), 20)
        fields = "".join(self._field(name, wrong) for name in self._parameters())
        tables = self._entry.tables
        named = "all tables" if tables == "all" else ", ".join(tables)
        return (
            '<form method="get">\n<p><label for="sql">One SELECT</label>'
            f" <span>about {escape(named)}</span></p>\n"
            f'<textarea id="sql" name="sql" rows="{rows}" spellcheck="false" autocomplete="off"'
            f' required>{escape(self._sql)}</textarea>\n<div class="fields">{fields}</div>\n'
            '<input type="hidden" name="_format" value="html">\n'
            '<p><button type="submit">Run</button></p>\n</form>\n'
        )

    def _field(self, name: str, wrong: str | None) -> str:
        value = escape(self._args.get(name, ""))
        invalid = ' aria-invalid="true"' if name == wrong else ""
        return (
            f"<fieldset><legend>${escape(name)}</legend>"
            f'<input name="{escape(name)}" value="{value}" aria-label="{escape(name)}"'
            f' autocomplete="off"{invalid}></fieldset>'
        )

    def _parameters(self) -> list[str]:
        """Return the names in the statement that look like parameters, in their order."""
        found = dict.fromkeys(_PARAMETER.findall(self._sql))
        return [
            name for name in found if not name.startswith("_") and name not in ("sql", "min_seq")
        ]

    def _count(self, answer: Answer) -> str:
        more = "the first ones; the downloads have more" if answer.truncated else "all of them"
        rows = "No rows." if not answer.rows else f"Rows 1 to {answer.rows}, {more}."
        return f'<p class="count" role="status">{rows} Position {escape(answer.position)}.</p>\n'

    def _downloads(self) -> str:
        kinds = {name: {"_format": name} for name in _FORMATS}
        kinds[SPREADSHEET] = {"_format": "csv", "_csv": "safe"}
        links = " ".join(f'<a href="{self._link(args)}">{name}</a>' for name, args in kinds.items())
        return f'<nav aria-label="All of these rows as a file">All as {links}</nav>\n'

    def _link(self, controls: dict[str, str]) -> str:
        args = {**self._args, **controls}
        pairs = (f"{quote(key, safe='')}={quote(value, safe='')}" for key, value in args.items())
        return escape("?" + "&".join(pairs))


def _table(answer: Answer, lines: bytes) -> str:
    head = "".join(
        f'<th scope="col" class="{_class_of(kind)}">{escape(name)}</th>'
        for name, kind in answer.columns
    )
    body = "".join(
        f"<tr>{''.join(_cells(answer, row))}</tr>\n" for row in _ROWS.decode_lines(lines)
    )
    return (
        '<div class="scroll" role="region" aria-label="Rows" tabindex="0">\n<table>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>\n</div>\n"
    )


def _cells(answer: Answer, row: dict[str, msgspec.Raw]) -> Iterator[str]:
    for name, kind in answer.columns:
        text, style = bytes(row[name]), _class_of(kind)
        if text == b"null":
            yield f'<td class="{style} null"><abbr title="no value">&ndash;</abbr></td>'
        else:
            shown = msgspec.json.decode(text) if text.startswith(b'"') else text.decode()
            yield f'<td class="{style}">{escape(shown)}</td>'


def _class_of(kind: str) -> str:
    return "number" if _NUMBERS.fullmatch(kind) else "text"
