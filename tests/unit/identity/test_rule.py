"""A rule grants access to its users alone, and one that is not valid stops the hub."""

from pathlib import Path
from typing import Any

import pytest

from eventhub.config import MessageEndpoint
from eventhub.errors import Misconfigured, Rejected
from eventhub.handler import Handler, User
from eventhub.identity.rule import Rule


def rule(auth: Any, folder: Path) -> Rule:
    return Rule(MessageEndpoint(name="chat", pattern="/chat", table="chat", auth=auth), folder)


async def verdict(auth: Any, user: dict[str, Any] | None, folder: Path, **args: list[str]) -> str:
    """Return the answer to a user of an endpoint: `ok` or the code of the error."""
    handler = Handler(
        current_user=None if user is None else User(user), session={"id": "s"}, args=args
    )
    try:
        await rule(auth, folder).check(handler)
    except Rejected as error:
        return error.code
    return "ok"


@pytest.mark.parametrize(
    ("auth", "anonymous", "logged_in"),
    [
        (None, "ok", "ok"),
        (False, "ok", "ok"),
        (True, "unauthorized", "ok"),
        ({}, "unauthorized", "ok"),
        ({"condition": "True"}, "unauthorized", "ok"),
        ({"membership": {"id": "ann"}}, "unauthorized", "ok"),
    ],
)
async def test_any_rule_requires_a_login(
    auth: Any, anonymous: str, logged_in: str, tmp_path: Path
) -> None:
    assert await verdict(auth, None, tmp_path) == anonymous
    assert await verdict(auth, {"id": "ann"}, tmp_path) == logged_in


ANN = {
    "id": "ann",
    "role": "admin",
    "teams": ["red", "blue"],
    "level": 1,
    "org": {"unit": {"name": "sales"}},
    "https://x.example/role": "editor",
    "flag": True,
    "nothing": None,
}


@pytest.mark.parametrize(
    "membership",
    [
        {"role": "admin"},
        {"role": ["guest", "admin"]},
        {"teams": "red"},
        {"teams": ["green", "blue"]},
        {"role": "admin", "teams": "red"},
        {"org.unit.name": "sales"},
        {"https://x.example/role": "editor"},
        {"level": 1},
        {"flag": True},
        [{"role": "guest"}, {"teams": "blue"}],
    ],
)
async def test_members_have_access(membership: Any, tmp_path: Path) -> None:
    assert await verdict({"membership": membership}, ANN, tmp_path) == "ok"


@pytest.mark.parametrize(
    "membership",
    [
        {"role": "guest"},
        {"role": "admi"},
        {"role": []},
        {"role": "admin", "teams": "green"},
        {"missing": "None"},
        {"nothing": "None"},
        {"org": "sales"},
        {"org.unit": "sales"},
        {"org.unit.name.first": "sales"},
        {"role.name": "admin"},
        {"level": "1"},
        {"level": True},
        {"flag": 1},
        [{"role": "guest"}, {"teams": "green"}],
    ],
)
async def test_users_without_membership_are_forbidden(membership: Any, tmp_path: Path) -> None:
    assert await verdict({"membership": membership}, ANN, tmp_path) == "forbidden"


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("handler.current_user.id.startswith('a')", "ok"),
        ("handler_current_user['role'] == 'admin'", "ok"),
        ("args.get('room') == ['1']", "ok"),
        ({"function": "'red' in handler.current_user.teams"}, "ok"),
        ("rules.later(handler)", "ok"),
        ("handler.current_user.id == 'bob'", "forbidden"),
        ("handler.current_user.no_such", "forbidden"),
        ("1 / 0", "forbidden"),
        ("None", "forbidden"),
    ],
)
async def test_only_a_condition_that_holds_grants_access(
    condition: Any, expected: str, tmp_path: Path
) -> None:
    (tmp_path / "rules.py").write_text("async def later(handler):\n    return True\n")
    assert await verdict({"condition": condition}, ANN, tmp_path, room=["1"]) == expected


async def test_membership_and_condition_must_both_hold(tmp_path: Path) -> None:
    both = {"membership": {"role": "admin"}, "condition": "handler.current_user.id == 'bob'"}
    assert await verdict(both, ANN, tmp_path) == "forbidden"


@pytest.mark.parametrize(
    ("auth", "named"),
    [
        ({"memberships": {"role": "admin"}}, "memberships"),
        ({"login_url": "/login"}, "login_url"),
        ({"membership": {}}, "membership"),
        ({"membership": []}, "membership"),
        ({"membership": None}, "membership"),
        ({"membership": "admin"}, "membership"),
        ({"membership": {"role": {"is": "admin"}}}, "membership: role"),
        ({"membership": {"role": None}}, "membership: role"),
        ({"condition": "handler.("}, "condition"),
        ({"condition": ""}, "condition"),
        ({"condition": None}, "condition"),
        ({"condition": True}, "condition"),
        ({"condition": {"function": "True", "args": []}}, "condition"),
    ],
)
def test_a_rule_that_is_not_valid_stops_the_hub(auth: Any, named: str, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=f"url: chat: auth.*{named}"):
        rule(auth, tmp_path)
