"""The rows of a file are what the file says, and a file that is not what it seems is refused."""

from pathlib import Path

import pytest

from eventhub.columns import Column, Columns, Kind
from eventhub.errors import Rejected
from projections.load_files import open_path
from projections.source import Source

COLUMNS = Columns([Column("text"), Column("votes", Kind.INTEGER), Column("tags", Kind.JSON)])


def rows(source: Source) -> list[dict[str, object]]:
    return [row for array in source.arrays() for row in array]


def test_an_empty_value_of_csv_is_null_and_empty_quotes_are_not(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text('id,text,votes\na,,1\nb,"",2\n')
    assert rows(open_path(file, COLUMNS)) == [
        {"id": "a", "text": None, "votes": "1"},
        {"id": "b", "text": "", "votes": "2"},
    ]


def test_a_json_column_of_csv_is_read_as_json_or_stays_text(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text('id,tags\na,"{""x"": [1]}"\nb,{half\n')
    assert [row["tags"] for row in rows(open_path(file, COLUMNS))] == [{"x": [1]}, "{half"]


def test_blank_lines_of_ndjson_are_no_rows(tmp_path: Path) -> None:
    file = tmp_path / "rows.ndjson"
    file.write_text('{"id":"a","votes":1}\n\n{"id":"b","votes":2}\n')
    assert [row["votes"] for row in rows(open_path(file, COLUMNS))] == [1, 2]


@pytest.mark.parametrize(
    ("name", "text", "code", "says"),
    [
        ("rows.ndjson", '{"id":"a"}\n[1]\n', "bad_body", "row 2: not a JSON object"),
        ("rows.csv", "id,id\n1,2\n", "bad_body", "two fields have the name 'id'"),
        ("rows.parquet", "no parquet", "bad_body", "rows.parquet cannot be read"),
        ("rows.xlsx", "", "bad_request", "only .csv, .ndjson"),
        (
            "cut.json",
            '[{"specversion":"1.0"',
            "bad_body",
            "cut.json cannot be read: Input data was",
        ),
        ("rows.json", '[{"id":"a"}]', "bad_body", "event 1: not a CloudEvent of an export"),
        ("empty.json", "", "bad_body", "empty.json cannot be read"),
    ],
)
def test_a_file_that_is_not_what_it_seems_is_refused(
    name: str, text: str, code: str, says: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(Rejected) as caught:
        rows(open_path(tmp_path / name, COLUMNS))
    assert (caught.value.code, says in caught.value.message) == (code, True), caught.value.message


def test_a_file_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="there is no such file"):
        open_path(tmp_path / "rows.csv", COLUMNS)
