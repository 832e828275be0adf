"""What guards an entry is compiled when the file is read, and a mistake in it stops the start."""

import pytest

from eventhub.expressions import Placed
from tests.unit.config.folder import Folder, endpoint, messages


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("auth:\n  condition: nobody()", ":7: url.chat.kwargs.auth.condition: name 'nobody'"),
        (
            "auth:\n  condition: {function: nobody()}",
            ":7: url.chat.kwargs.auth.condition: name 'nobody'",
        ),
        ("auth:\n  condition: 'a ='", ":7: url.chat.kwargs.auth.condition: "),
        ("auth:\n  condition: [1]", ":7: url.chat.kwargs.auth.condition: expected a Python expr"),
        ("auth: {membershp: {a: b}}", ":6: url.chat.kwargs.auth: unknown key 'membershp'"),
        ("auth: maybe", ":6: url.chat.kwargs.auth: expected true, false, or a mapping with"),
        ("origins: {a: b}", ":6: url.chat.kwargs.origins: expected a list of text"),
    ],
)
def test_a_mistake_is_reported_at_its_line(folder: Folder, value: str, problem: str) -> None:
    (reported,) = folder.problems(endpoint(value))
    assert reported.startswith(f"hub.yaml{problem}")


def test_a_condition_may_use_what_open_expressions_see(folder: Folder) -> None:
    condition = "handler.current_user and args"
    [chat] = messages(folder.load(endpoint(f"auth:\n  condition: {condition}")))
    assert chat.auth == {"condition": condition}


def test_a_condition_may_be_under_function_as_in_gramex(folder: Folder) -> None:
    [chat] = messages(folder.load(endpoint("auth:\n  condition: {function: 1 > 0}")))
    assert chat.auth == {"condition": {"function": "1 > 0"}}


def test_keys_that_gramex_has_for_its_pages_are_accepted(folder: Folder) -> None:
    config = folder.load(endpoint("auth: {login_url: /login, condition: 1 > 0}"))
    assert messages(config)[0].auth == {"condition": "1 > 0"}


@pytest.mark.parametrize("value", ["https://a.org", "[https://a.org]"])
def test_one_origin_needs_no_list(folder: Folder, value: str) -> None:
    [chat] = messages(folder.load(endpoint(f"origins: {value}")))
    assert chat.origins == ["https://a.org"]


@pytest.mark.parametrize(("value", "auth"), [("true", True), ("false", False), ("$A", True)])
def test_auth_may_be_a_truth_value_or_a_variable(folder: Folder, value: str, auth: bool) -> None:
    assert messages(folder.load(endpoint(f"auth: {value}"), {"A": "true"}))[0].auth is auth


@pytest.mark.parametrize("condition", ["condition: 1 / 0", "condition: {function: 1 / 0}"])
def test_a_condition_knows_its_line(folder: Folder, condition: str) -> None:
    (served,) = messages(folder.load(endpoint(f"auth:\n  {condition}")))
    assert isinstance(served.auth, dict)
    found = served.auth["condition"]
    source = found["function"] if isinstance(found, dict) else found
    assert isinstance(source, Placed)
    assert source.place == f"{folder.path}/hub.yaml:7"
