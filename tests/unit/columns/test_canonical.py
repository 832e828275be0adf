"""Texts have one form, whichever way their accents are written."""

import re
from unicodedata import normalize

import pytest

from eventhub.columns.canonical import canonical, canonical_casefold, is_among, unsettled_pattern


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("", ""),
        ("ASCII", "ASCII"),
        ("é", "é"),
        ("e\u0301", "é"),
        ("e\u0301\0", "e\u0301\0"),
        ("a\u0301\u0323", "ạ\u0301"),
        ("\u1100\u1161", "가"),
        ("\u0301", "\u0301"),
    ],
)
def test_a_text_is_composed_unless_it_has_a_nul(text: str, form: str) -> None:
    assert canonical(text) == form


def test_common_texts_need_no_normalization() -> None:
    pattern = re.compile(unsettled_pattern())
    for text in ("Grüße", "日本語", "Привет", "नमस्ते", "العربية", "한국어", "Ελλάδα", "🎉"):
        assert normalize("NFC", text) == text
        assert not pattern.search(text), text
        decomposed = normalize("NFD", text)
        assert decomposed == text or pattern.search(decomposed)


def test_a_text_is_among_values_that_spell_it_differently() -> None:
    assert canonical_casefold("E\u0301") == "é"
    values = frozenset(["é", "e"])
    assert is_among("e\u0301", values, frozenset(["é"]))
    assert is_among("e", values, frozenset())
    assert not is_among("e\u0301", values, frozenset())
