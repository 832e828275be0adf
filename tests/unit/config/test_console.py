"""`console:` says who may open the console, and never opens it by mistake."""

import pytest

from tests.unit.config.folder import Folder


def test_auth_is_that_of_an_endpoint(folder: Folder) -> None:
    rule = {"membership": {"role": ["admin"]}}
    for text, auth in [("true", True), ("false", False), ("{membership: {role: [admin]}}", rule)]:
        console = folder.load(f"console: {{auth: {text}}}").console
        assert console is not None
        assert console.auth == auth
    assert folder.load("server: {port: 1}").console is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("console:", "console: auth is missing; write `true` for every user"),
        ("console: {}", "console: auth is missing"),
        ("console: {auth: }", "console.auth: auth is blank"),
        ("console: {auth: {}}", "console.auth: auth is blank"),
        ("console: {auth: {membership: {}}}", "console.auth.membership: membership is blank"),
        ("console: {auth: {condition: 'a b'}}", "console.auth.condition: "),
        ("console: {auth: 7}", "console.auth: "),
        ("console: {auth: {role: admin}}", "console.auth: "),
        ("console: {auth: true, title: x}", "console: "),
        ("console: true", "console: "),
    ],
)
def test_a_section_that_does_not_say_who_is_a_problem(
    folder: Folder, text: str, problem: str
) -> None:
    assert any(each.startswith(f"hub.yaml:1: {problem}") for each in folder.problems(text))
