"""Text from clients cannot control a terminal."""

import json
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventhub.terminal import printable


@given(st.text(st.characters(codec=None)))
def test_no_unprintable_character_is_left_and_json_keeps_its_meaning(text: str) -> None:
    line = printable(json.dumps(text, ensure_ascii=False))
    assert line.isprintable()
    assert not {unicodedata.category(c) for c in line} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert json.loads(line) == json.loads(json.dumps(text))


@pytest.mark.parametrize(
    "text",
    [
        *("\x1b[2J", "\x9b2J", "\x9d0;title\x9c", "\x7f", "\r", "\n", "\b", "\0"),
        *("\u202e", "\u2066", "\u200f", "\u2028", "\ufeff", "\U000e0041"),
    ],
)
def test_controls_are_escaped(text: str) -> None:
    assert re.fullmatch(r"(\\u[0-9a-f]{4})+.*", printable(text))


@pytest.mark.parametrize("text", ["plain", "zażółć", "日本語", "👍🏽", "a\\u0041"])
def test_printable_text_is_unchanged(text: str) -> None:
    assert printable(text) == text
