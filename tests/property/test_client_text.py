"""What a client sends is data: never code, SQL, markup, a subject, or a log line of its own.

`tests/fuzz/` looks for the same over the network: in headers, paths and the log of a hub.
"""

import io
import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from eventhub import logs
from eventhub.channel import MAX_ID_LENGTH, Channel, Endpoint, checked_id
from eventhub.characters import CONTROL
from eventhub.columns import Column, Columns, Kind
from eventhub.config import MessageEndpoint, Rules, SqlEndpoint
from eventhub.errors import Rejected
from eventhub.filters.comparisons import OPERATORS
from eventhub.filters.conditions import EVERYTHING
from eventhub.filters.query import parse
from eventhub.gateway.login_page import login_form
from eventhub.gateway.sql_page import SqlPage
from eventhub.gateway.table_page import TablePage
from eventhub.handler import Handler, User
from eventhub.identity.row_rules import RowRules
from tests.builders import channel
from tests.unit.alerts.builders import make_rule

PIECES = [
    "{{", "}}", "{%", "%}", "{#", "#}", "{% include 'x' %}", "{{ 7*7 }}", "${X}", "$user.id", "$$",
    "__import__('os')", "lambda: 1", "%s", "%(x)s", "{0}", "{x.__class__}", "\\", "'", '"', "`",
    "';--", "/*", "*/", "\n", "\r\n", "\0", "\x1b[2J", "\x9b", "\u2028", "\u202e", "<", ">", "&",
    "</td>", "<script>", "onload=", "&amp;", "]]>", "-->", ".", "*", ">", " ", "/", "..", "%0d%0a",
    "a=b", "&b=c", "=", "!", "~", "|", "#", "owner", "\ud800", "é", "\u0130",
    '\n{"event": "forged"}', "\n12:00:00 [info] forged",
]  # fmt: skip
texts = st.lists(st.sampled_from(PIECES) | st.text(max_size=4), max_size=6).map("".join)
utf8 = texts.filter(lambda text: not re.search("[\ud800-\udfff]", text))


# --- Subjects


ids = utf8.map(lambda text: CONTROL.sub("", text)[:MAX_ID_LENGTH] or "a")


@given(ids, ids)
def test_no_id_is_a_subject_of_another_row_or_a_pattern(one: str, other: str) -> None:
    chat = Channel("chat", Columns([]))
    subjects = [chat.subject(checked_id(text)) for text in (one, other)]
    for subject in subjects:
        assert re.fullmatch(r"eh\.chat\.[A-Za-z0-9_=-]+", subject)
    assert (subjects[0] == subjects[1]) is (one == other)


# --- SQL

MARK = "zq7"
COLUMNS = Columns([Column(kind.name.lower(), kind) for kind in Kind])


@given(texts, texts, st.sampled_from(OPERATORS[Kind.TEXT]))
def test_no_value_and_no_path_is_a_part_of_sql(value: str, path: str, operator: str) -> None:
    """Columns are named by the configuration; everything else is a parameter."""
    for key in ("text", f"json.{MARK}{path}"):
        try:
            found = parse({f"{key}{operator}": [f"{value}{MARK}"]}, COLUMNS)
        except Rejected:
            continue
        where, parameters = found.filter.sql()
        assert MARK not in where.lower()
        assert parameters


# --- Expressions, rules and templates

DATE = datetime(2026, 11, 23, tzinfo=UTC)


@given(utf8.filter(bool), utf8, st.sampled_from(["text=$user.id", "text!=$user.id&votes=3"]))
def test_an_attribute_of_a_user_is_a_value_of_a_rule(user: str, text: str, rule: str) -> None:
    endpoint = MessageEndpoint(name="c", pattern="/c", table="c", rules=Rules(read=rule))
    handler = Handler(session={}, current_user=User({"id": user}))
    sees = RowRules(endpoint, channel().columns, Path()).permission(handler, EVERYTHING).sees
    for other in (user, text):
        row = {"text": other, "votes": 3}
        is_meant = (other == user) is ("!" not in rule)
        assert sees.matches(row) is (is_meant and not user.isspace())  # blank: no attribute
        assert not sees.matches({**row, "votes": 4}) or "votes" not in rule


@given(utf8)
def test_no_value_of_a_message_is_a_template_or_markup_of_a_mail(text: str) -> None:
    rule = make_rule(to="a@example.org", body="[{{ text }}]", html="<p title='{{ text }}'>")
    mail = rule.template.compose({"text": text}, message_id="m@eventhub", date=DATE)
    assert mail.text == f"[{text}]"
    assert _shape(mail.html or "") == _shape("<p title='x'>")


# --- Pages


class _Shape(HTMLParser):
    """The tags of a page and the names of their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, tuple[str, ...]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, tuple(name for name, _ in attrs)))
        for name, value in attrs:
            if name in ("href", "action"):
                assert not re.match(r"\s*[a-z]+:|//", value or "", re.IGNORECASE), value

    def handle_endtag(self, tag: str) -> None:
        self.found.append((f"/{tag}", ()))

    def handle_comment(self, data: str) -> None:
        self.found.append(("!", ()))


def _shape(page: str | bytes) -> list[tuple[str, tuple[str, ...]]]:
    parser = _Shape()
    parser.feed(page if isinstance(page, str) else page.decode())
    parser.close()
    return parser.found


def _table(text: str) -> bytes:
    entry = MessageEndpoint(name="chat", pattern="/chat", table="chat")
    row = {"text": f"x{text}", "votes": 1, "id": f"x{text}", "user": None, "timestamp": None}
    args = {"text": [f"x{text}"], "id!": ["x"], "other": [f"x{text}"]}
    page = TablePage(
        Endpoint(entry, channel()), parse(args, channel().columns), urlencode(args, doseq=True)
    )
    return page.render(json.dumps(row, ensure_ascii=False).encode())


def _sql(text: str) -> bytes:
    statement = f"x{text}".replace("$", "")  # each $name has a field of its own
    args = {"sql": [statement], "_format": [text], "p": [text]}
    page = SqlPage(SqlEndpoint(name="sql", pattern="/sql"), args)
    return page.render_error(Rejected("bad_sql", f"x{text}"))


def _login(text: str) -> bytes:
    return login_form("Log in", "token", user=f"x{text}", wrong=f"x{text}")


@pytest.mark.parametrize("page", [_table, _sql, _login])
@given(text=utf8)
def test_no_text_is_markup_of_a_page(page: Any, text: str) -> None:
    assert _shape(page(text)) == _shape(page("y"))


# --- Log lines


@contextmanager
def _logged(form: Any) -> Iterator[io.StringIO]:
    """Log to a text, in one form."""
    root = logging.getLogger()
    before, level = root.handlers, root.level
    try:
        with redirect_stderr(io.StringIO()) as written:
            logs.configure("info", form)
            yield written
    finally:
        root.handlers = before
        root.setLevel(level)
        structlog.reset_defaults()


def _fail(text: str) -> None:
    raise ValueError(text)


@pytest.mark.parametrize("form", ["json", "console"])
@given(texts, texts)
def test_no_text_is_a_log_line_of_its_own(form: str, text: str, other: str) -> None:
    with _logged(form) as written:
        log = structlog.get_logger()
        log.warning("refused", by=text, path=[other], user=other)
        try:
            _fail(text)
        except ValueError:
            log.exception("failed", endpoint=other)
        logging.getLogger("library").error("of a library: %s", text)
    lines = written.getvalue().split("\n")[:-1]
    assert all(line.isprintable() for line in lines)
    own = [line for line in lines if not line.startswith("  ")]
    if form == "json":
        assert [json.loads(line)["event"] for line in own] == [
            "refused",
            "failed",
            f"of a library: {text}",
        ]
    else:
        begins = re.compile(r"\d\d:\d\d:\d\d \[(warning|error)\] ")
        assert [bool(begins.match(line)) for line in own] == [True] * 3
