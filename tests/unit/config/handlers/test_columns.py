"""`columns:` declares columns that a database can hold."""

import pytest

from eventhub.columns import Column, Digits, Kind
from tests.unit.config.folder import Folder, endpoint, messages


def test_column_is_a_type_or_a_mapping(folder: Folder) -> None:
    kwargs = """
        columns:
          body:
          size: INTEGER
          price: {type: "DECIMAL(10,2)", nullable: $NO, default: 1}
          user: TEXT
    """
    (served,) = messages(folder.load(endpoint(kwargs), {"NO": "false"}))
    assert served.columns == (
        Column("body"),
        Column("size", Kind.INTEGER),
        Column("price", Kind.DECIMAL, nullable=False, digits=Digits(10, 2), default="1.00"),
    )


@pytest.mark.parametrize(
    ("kwargs", "problem"),
    [
        ("columns: {_a: TEXT}", "6: columns: '_a' cannot name a column"),
        ("columns: {'': TEXT}", "6: columns: '' cannot name a column"),
        ("columns: {a: TEXT, A: TEXT}", "6: columns: columns 'a' and 'A' differ only in case"),
        ("columns: {ID: TEXT}", "6: columns: columns 'id' and 'ID' differ only in case"),
        ("columns: {id: INTEGER}", "6: columns: id is always text"),
        ("columns: {a: BLOB}", "6: columns.a: unknown column type 'BLOB'"),
        (
            "columns:\n  a: {type: INTEGER, default: x}",
            '7: columns.a.default: "x" is not a whole number',
        ),
        (
            "columns: {a: {tpe: TEXT}}",
            "6: columns.a: unknown key 'tpe' (did you mean 'type'?)",
        ),
    ],
)
def test_mistake_in_a_column_is_reported_with_its_line(
    folder: Folder, kwargs: str, problem: str
) -> None:
    line, _, rest = problem.partition(": ")
    (reported,) = folder.problems(endpoint(kwargs))
    assert reported.startswith(f"hub.yaml:{line}: url.chat.kwargs.{rest}")
