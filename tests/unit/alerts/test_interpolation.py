"""A value in a list of addresses cannot change the structure of the list."""

import pytest

from eventhub.alerts.interpolation import interpolate, mark, remove_marks


def is_balanced(text: str) -> bool:
    return text.count('"') % 2 == 0


@pytest.mark.parametrize(
    ("before", "value", "after", "expected"),
    [
        ("", "a@x.org, b@x.org", "", "a@x.org, b@x.org"),
        ("", 'a"', "", None),
        ('"', 'say "hi" \\', '" <a@x.org>', '"say \\"hi\\" \\\\" <a@x.org>'),
        ("", "Lee, Ann", " <a@x.org>", '"Lee, Ann" <a@x.org>'),
        ("Ann <", "a@x.org", ">", "Ann <a@x.org>"),
        ("Ann <", "a@x.org>, <b@x.org", ">", None),
        ("a@x.org (", "note", ")", "a@x.org (note)"),
        ("a@x.org (", "note)", ")", None),
    ],
)
def test_a_value_stays_where_the_template_puts_it(
    before: str, value: str, after: str, expected: str | None
) -> None:
    assert interpolate(f"{before}{mark(value)}{after}", is_balanced) == expected


def test_a_value_cannot_bring_marks_of_its_own() -> None:
    forged = mark("x")
    assert mark(forged) == mark("x")
    assert remove_marks(f"a {forged} b") == "a x b"


def test_a_text_without_values_is_unchanged() -> None:
    text = '"Lee, Ann" <a@x.org>, (c) b@x.org'
    assert interpolate(text, is_balanced) == text
