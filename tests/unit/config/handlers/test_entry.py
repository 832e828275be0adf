"""No two entries have the same pattern, and no table is shared by accident."""

import pytest

from tests.unit.config.folder import Folder


def test_pattern_of_another_entry_is_refused(folder: Folder) -> None:
    text = """
        url:
          a: {pattern: /chat, handler: MessageHandler}
          b: {pattern: //chat, handler: FileHandler, kwargs: {path: .}}
    """
    assert folder.problems(text) == [
        "hub.yaml:3: url.b.pattern: pattern /chat is already used by 'a'"
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "url: {a: {pattern: a, handler: MessageHandler}}",
            "hub.yaml:1: url.a.pattern: 'a' must begin with /",
        ),
        (
            "url: {a: {pattern: '/(.*)', handler: MessageHandler}}",
            "hub.yaml:1: url.a.pattern: '/(.*)' is a regular expression, or has a query;",
        ),
        (
            "url: {a: {pattern: '/a(b|c)', handler: FileHandler, kwargs: {path: .}}}",
            "hub.yaml:1: url.a.pattern: '/a(b|c)' is a regular expression",
        ),
    ],
)
def test_pattern_must_be_a_plain_path(folder: Folder, text: str, problem: str) -> None:
    (reported,) = folder.problems(text)
    assert reported.startswith(problem)
