"""A control character is what Unicode calls one."""

import sys
import unicodedata

from eventhub.characters import CONTROL


def test_control_characters_are_those_of_unicode() -> None:
    characters = [chr(code) for code in range(sys.maxunicode + 1)]
    matched = {character for character in characters if CONTROL.match(character)}
    assert matched == {c for c in characters if unicodedata.category(c) == "Cc"}
