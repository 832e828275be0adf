"""A value that another program wrote is read, whatever it is."""

from eventhub.columns import Column, Columns, Kind
from projections.mirror_values import Values


def test_a_value_that_is_none_of_its_column_is_read_as_its_text() -> None:
    values = Values(Columns([Column("n", Kind.INTEGER)]), "sqlite")
    assert values.read(["many", "a", None, None])["n"] == "'many'"
