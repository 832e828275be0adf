"""One grammar of numbers for messages and filters."""

from decimal import Decimal

import pytest

from eventhub.columns import Columns, Kind
from eventhub.errors import Rejected
from eventhub.filters.query import parse
from tests.unit.columns.grammar import NUMBERS, is_refused, stored


@pytest.mark.parametrize("kind", NUMBERS)
@pytest.mark.parametrize(
    "text",
    [
        "1_0",
        "1_0.5",
        "١٢",
        "१",
        "²",
        "0x10",
        "0b1",
        "1,5",
        "1 000",
        "--1",
        "+ 1",
        "e5",
        ".",
        "1.2.3",
    ],
)
def test_number_that_only_python_reads_is_refused(kind: Kind, text: str) -> None:
    assert is_refused(kind, text)


@pytest.mark.parametrize("kind", NUMBERS)
@pytest.mark.parametrize(("text", "number"), [("7", 7), ("+7", 7), (" -7\t", -7), ("007", 7)])
def test_number_may_have_a_sign_and_white_space_around_it(
    kind: Kind, text: str, number: int
) -> None:
    assert not is_refused(kind, text)
    assert Decimal(stored(kind, text)) == number


@pytest.mark.parametrize("text", ["12.0", "1e3", "12.", "1.5"])
def test_whole_number_as_text_has_neither_point_nor_exponent(text: str) -> None:
    assert is_refused(Kind.INTEGER, text)
    assert not is_refused(Kind.REAL, text)
    assert not is_refused(Kind.DECIMAL, text)


@pytest.mark.parametrize("raw", ["_limit=1_0", "_limit=٣", "_offset=0x1", "_limit=1e1", "_limit="])
def test_limit_and_offset_of_a_url_are_whole_numbers_too(raw: str) -> None:
    name, _, value = raw.partition("=")
    with pytest.raises(Rejected) as caught:
        parse({name: [value]}, Columns([]))
    assert (caught.value.code, caught.value.column) == ("bad_filter", name)
