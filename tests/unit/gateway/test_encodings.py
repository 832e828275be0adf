"""The same rows are an array, lines or a table of text, and no value changes on the way."""

import csv
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventhub.gateway.encodings import TEXT_FORMATS, accepted_format, plain_csv, safe_csv

COLUMNS = ("id", "n")
ROWS = [b'{"id":"a","n":1}', b'{"id":"b","n":null}', b'{"id":"c","n":9007199254740993}']


def written(name: str, rows: list[bytes], pieces: int = 2) -> bytes:
    """Return the whole text of some rows, rendered in pieces as a replay does."""
    encoding = TEXT_FORMATS[name](COLUMNS)
    parts = [rows[at : at + pieces] for at in range(0, len(rows), pieces)]
    text = b"".join(encoding.render(part) for part in parts)
    return encoding.before + text[encoding.cut :] + encoding.after


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_rows_are_one_array_or_one_object_a_line_however_they_are_cut(count: int) -> None:
    expected = [json.loads(row) for row in ROWS[:count]]
    assert json.loads(written("json", ROWS[:count])) == expected
    assert [json.loads(row) for row in written("ndjson", ROWS[:count]).splitlines()] == expected


def test_csv_has_a_header_and_every_digit_and_no_value_for_null() -> None:
    assert written("csv", ROWS) == b"id,n\r\na,1\r\nb,\r\nc,9007199254740993\r\n"
    assert written("csv", []) == b"id,n\r\n"


@given(st.lists(st.tuples(st.text(), st.none() | st.integers()), max_size=5))
def test_text_survives_csv(values: list[tuple[str, int | None]]) -> None:
    rows = [json.dumps({"id": text, "n": n}).encode() for text, n in values]
    rendered = plain_csv(COLUMNS).render(rows).decode(errors="surrogatepass")
    found = list(csv.reader(io.StringIO(rendered, newline="")))
    assert found == [[text, "" if n is None else str(n)] for text, n in values]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", " ="])
def test_safe_csv_prefixes_text_that_a_spreadsheet_would_run(start: str) -> None:
    row = json.dumps({"id": f"{start}1+1", "n": -5}).encode()
    [[text, number]] = csv.reader(io.StringIO(safe_csv(COLUMNS).render([row]).decode(), newline=""))
    assert text == f"'{start}1+1"
    assert number == "-5"  # a negative number is none
    [header] = csv.reader(io.StringIO(safe_csv((f"{start}x", "n")).before.decode(), newline=""))
    assert header == [f"'{start}x", "n"]


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("text/csv", "csv"),
        ("TEXT/CSV; charset=utf-8", "csv"),
        ("application/json, text/csv", "json"),
        ("application/json;q=0.5, text/csv;q=0.9", "csv"),
        ("text/csv;q=0", None),
        ("image/png, application/x-ndjson;q=0.1", "ndjson"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "html"),
        ("*/*, text/csv;q=0.9", None),
        ("application/*;q=0.9, text/csv;q=0.2", None),
        ("", None),
        ("text/csv;q=nonsense", "csv"),
    ],
)
def test_the_format_that_a_client_prefers_is_chosen(accept: str, form: str | None) -> None:
    assert accepted_format(accept) == form


def test_equal_names_mean_equal_bytes() -> None:
    made: dict[str, Any] = {name: make(COLUMNS) for name, make in TEXT_FORMATS.items()}
    assert {name: each.name for name, each in made.items()} == {name: name for name in made}
