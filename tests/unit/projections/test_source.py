"""A source gives its rows in arrays, under the names of columns, each with an id."""

import pytest

from eventhub.columns import Column, Columns
from eventhub.errors import Rejected
from projections.source import ARRAY_ROWS, Row, Source

COLUMNS = Columns([Column("text")])


def source(*rows: Row, name: str = "rows.csv") -> Source:
    fields = rows[0] if rows else ()
    return Source(COLUMNS, name, fields, lambda: (dict(row) for row in rows))


def ids(found: Source) -> list[object]:
    return [row["id"] for array in found.arrays() for row in array]


def test_rows_come_in_arrays_of_a_thousand() -> None:
    found = source(*({"text": str(n)} for n in range(2 * ARRAY_ROWS + 1)))
    assert [len(array) for array in found.arrays()] == [ARRAY_ROWS, ARRAY_ROWS, 1]


def test_a_missing_id_is_the_same_at_each_reading() -> None:
    """So a second import adds nothing. Equal rows are still two rows."""
    rows: list[Row] = [{"text": "a"}, {"text": "a"}]
    first = ids(source(*rows))
    assert ids(source(*rows)) == first
    assert len(set(first)) == 2
    assert set(ids(source(*rows, name="other.csv"))).isdisjoint(first)


def test_a_field_is_read_under_the_name_of_its_column() -> None:
    found = source({"id": "a", "Body Text": "x"})
    found.rename({"text": "Body Text"})
    assert [row for array in found.arrays() for row in array] == [{"id": "a", "text": "x"}]
    assert found.strangers == []


@pytest.mark.parametrize("renamed", [{"texd": "Body"}, {"text": "Bodi"}])
def test_an_unknown_name_is_refused_with_the_nearest(renamed: dict[str, str]) -> None:
    found = source({"id": "a", "Body": "x"})
    with pytest.raises(Rejected, match="did you mean"):
        found.rename(renamed)
