"""The page of a SQLHandler shows a statement and its rows, and nothing in them becomes markup."""

import io

import pytest

from eventhub.config import SqlEndpoint
from eventhub.errors import Rejected
from eventhub.gateway.sql_page import SqlPage
from eventhub.queries import Answer

EVIL = "<script>alert(1)</script>"


def page(**args: str) -> SqlPage:
    entry = SqlEndpoint(name="sql", pattern="/sql", tables=["chat", "notes"])
    return SqlPage(entry, {name: [value] for name, value in args.items()})


def answer(*, truncated: bool = False, rows: int = 1) -> Answer:
    columns = (("text", "VARCHAR"), ("n", "BIGINT"))
    return Answer(
        file=io.BytesIO(), size=0, rows=rows, columns=columns, position="e.3", truncated=truncated
    )


def test_the_empty_page_names_the_tables_and_asks_for_a_statement() -> None:
    text = page().render().decode()
    assert "chat, notes" in text
    assert "required></textarea>" in text
    assert "<table>" not in text


def test_each_parameter_of_the_statement_has_a_field_with_its_value() -> None:
    text = page(sql="SELECT $least, $_own, $sql, $least, $most", least="3").render().decode()
    assert text.count('<input name="') == 2
    assert '<input name="least" value="3"' in text
    assert '<input name="most" value=""' in text


@pytest.mark.parametrize("rows", [1, 0])
def test_rows_are_shown_with_their_number_and_position(rows: int) -> None:
    lines = b'{"text":"a","n":9007199254740993}\n' * rows
    text = page(sql="SELECT 1").render_answer(answer(rows=rows), lines).decode()
    assert "Position e.3." in text
    assert ("Rows 1 to 1, all of them." in text) is bool(rows)
    assert ("No rows." in text) is not bool(rows)
    assert text.count('<td class="number">9007199254740993</td>') == rows


def test_rows_that_were_cut_are_said_to_be_the_first() -> None:
    text = page(sql="SELECT 1").render_answer(answer(truncated=True), b'{"text":null,"n":1}')
    assert b"the downloads have more" in text
    assert b'title="no value"' in text


def test_downloads_repeat_the_query(monkeypatch: pytest.MonkeyPatch) -> None:
    text = page(sql="SELECT $x", x="a&b", _format="html").render_answer(answer(), b"").decode()
    assert 'href="?sql=SELECT%20%24x&amp;x=a%26b&amp;_format=parquet"' in text


def test_an_error_is_shown_and_marks_its_parameter() -> None:
    error = Rejected("bad_request", f"{EVIL} is wrong", column="least")
    text = page(sql="SELECT $least").render_error(error).decode()
    assert "bad_request" in text
    assert 'name="least" value="" aria-label="least" autocomplete="off" aria-invalid="true"' in text


def test_nothing_that_a_client_or_a_row_says_becomes_markup() -> None:
    lines = b'{"text":"<script>alert(1)</script>","n":1}'
    error = Rejected("bad_sql", EVIL)
    asked = page(sql=EVIL, **{EVIL: EVIL})
    for text in (asked.render_answer(answer(), lines), asked.render_error(error), asked.render()):
        assert b"<script" not in text
