"""Messages of Flight SQL are read as they were written, and nothing else is read at all."""

from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from eventhub.errors import Rejected
from projections.flight.messages import (
    Fields,
    Statement,
    encode,
    pack,
    statement_of,
    unpack,
)

FIELDS = st.dictionaries(
    st.integers(1, 5000), st.integers(0, 2**64 - 1) | st.binary(max_size=300), max_size=5
)


@given(FIELDS)
def test_a_message_is_read_as_it_was_written(fields: dict[int, int | bytes]) -> None:
    name, found = unpack(pack("CommandGetTables", fields))
    assert name == "CommandGetTables"
    for number, value in fields.items():
        if isinstance(value, int):
            assert found.numbers(number) == [value]
            assert found.flag(number) == bool(value)
        else:
            assert found.raw(number) == value
    assert found.raw(6000) is None


def test_fields_of_a_later_version_are_skipped() -> None:
    fixed = b"\x51" + bytes(8) + b"\x5d" + bytes(4)  # field 10 of 8 bytes, 11 of 4
    found = Fields(fixed + encode({1: "sql"}))
    assert (found.text(1), found.texts(1)) == ("sql", ["sql"])


def test_repeated_numbers_are_read_packed_or_not() -> None:
    assert Fields(encode({1: bytes([3, 0x96, 1])})).numbers(1) == [3, 150]
    assert Fields(encode({1: 3}) + encode({1: 150})).numbers(1) == [3, 150]


@given(st.binary(max_size=200))
@example(b"\x91\xa1\xff")
def test_other_bytes_are_refused_or_read_and_never_a_failure(data: bytes) -> None:
    for read in (Fields, unpack, statement_of):
        with suppress(Rejected):
            read(data)


@pytest.mark.parametrize("data", [b"\x0a\x05ab", b"\x0b", b"\x08" + b"\xff" * 11, b"\x0a\x01\xff"])
def test_a_malformed_message_is_refused(data: bytes) -> None:
    with pytest.raises(Rejected, match="malformed"):
        Fields(data).text(1)


@given(
    st.text(),
    st.lists(st.text()),
    st.dictionaries(st.text(), st.none() | st.integers(0, 9) | st.text()),
)
def test_a_handle_is_the_statement(sql: str, names: list[str], values: dict[str, object]) -> None:
    statement = Statement(sql, tuple(names), values)
    assert statement_of(statement.encode()) == statement
