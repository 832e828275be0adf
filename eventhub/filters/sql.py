"""SQL: identifiers, literals and text searches, as every module that writes SQL needs them.

A search without case compares full case folding (Unicode chapter 3.13, `str.casefold`), where
`STRASSE` finds `straße`. DuckDB has no such function and its `lower` differs for hundreds of
characters, so the SQL spells out the folding for each text that is searched for: a character that
expands to several is replaced first, then a regular expression lists the spellings of each
character. Nothing depends on the Unicode version of the database. (`translate` in place of the
expression does the same at a twelfth of the speed.)
"""

from collections.abc import Iterable
from functools import cache

from eventhub.columns.canonical import unsettled_pattern


def quoted(name: str) -> str:
    """Return any text as an SQL identifier. Every identifier that is not a constant passes here."""
    return '"' + name.replace('"', '""') + '"'


def quoted_list(names: Iterable[str]) -> str:
    """Return a comma-separated list of identifiers."""
    return ", ".join(map(quoted, names))


def literal(text: str) -> str:
    """Return text as an SQL string, for the places that take no parameter."""
    return "'" + text.replace("'", "''") + "'"


def canonical_sql(name: str) -> str:
    """Return SQL for the canonical form of a text; `name` is an SQL expression, and is repeated.

    Most texts are in that form already. To find that out takes a tenth of the time.
    """
    return (
        f"CASE WHEN strlen({name}) <> length({name})"
        f" AND regexp_matches({name}, {literal(unsettled_pattern())})"
        f" AND NOT contains({name}, chr(0)) THEN nfc_normalize({name}) ELSE {name} END"
    )


def contains(name: str, needle: str) -> tuple[str, list[str]]:
    """Return SQL for `needle in name`, where `name` is an SQL expression, and its parameters."""
    return f"contains({name}, ?)", [needle]


def contains_folded(name: str, needle: str) -> tuple[str, list[str]]:
    """Return SQL for `needle in name.casefold()`, and its parameters.

    A character that is neither replaced nor listed stays unchanged in the text. It cannot be part
    of a match: either it folds to itself, or to something that is not in the needle, which holds
    no unfolded character.

    Args:
        name: an SQL expression of a text.
        needle: already folded.
    """
    spellings, _ = _foldings()
    parameters = []
    for character, expansion in expansions_of(needle):
        name = f"replace({name}, ?, ?)"
        parameters += [character, expansion]
    # Every character by its number: nothing in the needle is a wildcard.
    classes = ("".join(rf"\x{{{ord(c):x}}}" for c in spellings.get(n, n)) for n in needle)
    pattern = "".join(f"[{characters}]" for characters in classes)
    return f"regexp_matches({name}, ?)", [*parameters, pattern]


def expansions_of(needle: str) -> list[tuple[str, str]]:
    """Return the characters that fold to several and may be part of a match, each with its folding.

    A search without case goes through the text once for each of them.
    """
    _, expansions = _foldings()
    return [each for each in expansions.items() if _may_share(each[1], needle)]


def _may_share(expansion: str, needle: str) -> bool:
    """Tell whether a match of `needle` can contain a part of `expansion`."""
    return (
        expansion in needle
        or needle in expansion
        or any(
            needle.startswith(expansion[cut:]) or needle.endswith(expansion[:cut])
            for cut in range(1, len(expansion))
        )
    )


@cache
def _foldings() -> tuple[dict[str, str], dict[str, str]]:
    """Return the spellings of each folded character, and the characters that fold to several.

    Scripts with case are all in planes 0 and 1. This takes 30 ms, on the first search only.
    """
    spellings: dict[str, str] = {}
    expansions: dict[str, str] = {}
    for character in map(chr, range(0x20000)):
        folded = character.casefold()
        if len(folded) > 1:
            expansions[character] = folded
        elif folded != character:
            spellings[folded] = spellings.get(folded, folded) + character
    return spellings, expansions
