"""Canonical: the form in which filters compare text, whichever way its accents are written.

`é` is one character on most systems, and an `e` with an accent of its own in names of files on a
Mac. Unicode says that both are the same text (Standard Annex 15). They are compared composed (NFC);
what is stored stays as it was sent (ADR-64).
"""

from functools import cache, lru_cache
from unicodedata import combining, decomposition, normalize


def canonical(text: str) -> str:
    """Return a text composed (NFC). With a NUL it is unchanged: DuckDB's function would cut it."""
    return text if text.isascii() or "\0" in text else normalize("NFC", text)


casefold = lru_cache(maxsize=4)(str.casefold)
"""The filters that a message is tested with fold the same texts, one after the other."""


@lru_cache(maxsize=4)
def canonical_casefold(text: str) -> str:
    """Return a text composed, and without case."""
    return canonical(text).casefold()


def is_among(text: str, values: frozenset[str], composed: frozenset[str]) -> bool:
    """Return whether a text is one of some values, or `composed` has its canonical form."""
    return text in values or (not text.isascii() and canonical(text) in composed)


@cache
def unsettled_pattern() -> str:
    """Return a regular expression that finds something in every text that NFC changes.

    Texts that it does not match need no normalization, which takes six times as long: without a
    character that NFC replaces, or may join with the one before it, only the order of marks counts.

    This takes 40 ms, on the first search only. Planes above 2 have no such characters.
    """
    joining = {*map(chr, range(0x1161, 0x1176)), *map(chr, range(0x11A8, 0x11C3))}  # Hangul
    marks = set()
    for character in map(chr, (*range(0x80, 0x20000), *range(0x2F800, 0x2FA20))):
        if combining(character):
            marks.add(character)
        parts = decomposition(character)
        if not parts or parts.startswith("<"):
            continue
        if normalize("NFC", character) != character:
            joining.add(character)
        elif " " in parts:
            joining.add(chr(int(parts.split()[1], 16)))
    return f"[{_ranges(joining)}]|[{_ranges(marks)}][{_ranges(marks)}]"


def _ranges(characters: set[str]) -> str:
    """Return the inside of a character class. None of them has a meaning there."""
    ranges: list[list[int]] = []
    for code in sorted(map(ord, characters)):
        if ranges and code == ranges[-1][1] + 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges)
