"""What a client receives is spelled for it, and differs in nothing else."""

from decimal import Decimal

import msgspec
import pytest

from eventhub.columns import Column, Columns, Digits, Kind, Spelling, stamp


def test_hooks_and_templates_calculate_with_a_decimal() -> None:
    columns = Columns([Column("c", Kind.DECIMAL, digits=Digits(5, 2))])
    assert columns.spelling.numbers({"c": "1.50", "x": "1"}) == {"c": Decimal("1.5"), "x": "1"}


def test_decimal_is_sent_as_a_number_with_all_of_its_digits() -> None:
    columns = Columns([Column("c", Kind.DECIMAL, digits=Digits(38, 2))])
    row = {"c": "123456789012345678901234567890.10", "body": "1.50"}
    sent = msgspec.json.encode(columns.spelling.spell(row))
    assert sent == b'{"c":123456789012345678901234567890.10,"body":"1.50"}'


@pytest.mark.parametrize("text", ["2023-04-01", "2023-04-01T10:00:00.1Z"])
def test_every_stored_timestamp_can_be_sent_with_a_z(text: str) -> None:
    stored = stamp(text)
    assert Spelling(stamp="timestamp").spell({"timestamp": stored}) == {"timestamp": f"{stored}Z"}


def test_timestamp_that_an_expression_has_set_is_sent_unchanged() -> None:
    row = {"timestamp": "2023"}
    assert Spelling(stamp="timestamp").spell(row) == row


def test_record_of_the_history_is_spelled_in_both_of_its_rows() -> None:
    spelling = Spelling(decimals=frozenset("c"))
    record = {"row": {"c": "1.50"}, "was": {"c": "0.50"}, "seq": 1}
    sent = msgspec.json.encode(spelling.spell_record(record))
    assert sent == b'{"row":{"c":1.50},"was":{"c":0.50},"seq":1}'
