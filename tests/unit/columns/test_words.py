"""One table says which words are true and which are false, wherever a truth value is written."""

from typing import Any

import pytest

from eventhub.columns import Kind
from eventhub.columns.operands import equality_operand
from eventhub.columns.words import FALSE, TRUE, boolean, is_false
from tests.unit.columns.grammar import column, is_refused, stored


def test_no_word_is_both_true_and_false() -> None:
    assert not TRUE & FALSE


@pytest.mark.parametrize("value", [False, 0, 0.0, "false", "F", " no ", "off", "0", "0.0"])
def test_false_its_words_and_zero_are_false(value: Any) -> None:
    assert is_false(value)


@pytest.mark.parametrize("value", [None, True, 1, "true", "1", "maybe", "", [], {}])
def test_nothing_else_is_false(value: Any) -> None:
    assert not is_false(value)


def test_word_that_is_neither_is_refused() -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - it has no text
        boolean("maybe")


@pytest.mark.parametrize("text", ["true", "T", "yes", "Y", "on", " 1 ", "2", "-1", "0.5"])
def test_word_for_true_is_true_in_messages_and_filters(text: str) -> None:
    assert stored(Kind.BOOLEAN, text) is equality_operand(column(Kind.BOOLEAN), text) is True


@pytest.mark.parametrize("text", ["false", "F", "no", "N", "off", " 0 ", "0.0", "-0"])
def test_word_for_false_is_false_in_messages_and_filters(text: str) -> None:
    assert stored(Kind.BOOLEAN, text) is equality_operand(column(Kind.BOOLEAN), text) is False


@pytest.mark.parametrize("text", ["maybe", "offf", "ja", "nil", "null", "nan", "yes no"])
def test_other_word_is_refused_in_messages_and_filters(text: str) -> None:
    assert is_refused(Kind.BOOLEAN, text)
