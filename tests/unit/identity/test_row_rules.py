"""A rule means rows, grants nothing where it does not fit, and is checked before the start."""

from pathlib import Path
from typing import Any

import pytest

from eventhub.columns import Column, Columns, Kind
from eventhub.config import MessageEndpoint, Rules
from eventhub.errors import Misconfigured
from eventhub.filters.conditions import EVERYTHING
from eventhub.handler import Handler, User
from eventhub.identity.row_rules import RowRules
from eventhub.ingest.permission import UNLIMITED, Permission
from eventhub.methods import Method

COLUMNS = Columns(
    [Column("user"), Column("team"), Column("level", Kind.INTEGER), Column("open", Kind.BOOLEAN)]
)
ANN: dict[str, Any] = {"id": "ann", "teams": ["red", "blue"], "org": {"level": 3}, "is_in": True}


def permission(user: dict[str, Any] | None = None, **rules: str) -> Permission:
    """Return what a user, or nobody, may do under some rules."""
    endpoint = MessageEndpoint(name="chat", pattern="/chat", table="chat", rules=Rules(**rules))  # type: ignore[arg-type]
    handler = Handler(session={}, current_user=None if user is None else User(user))
    return RowRules(endpoint, COLUMNS, Path()).permission(handler, EVERYTHING)


def row(**values: Any) -> dict[str, Any]:
    return {"id": "1", "user": "ann", "team": "red", "level": 3, "open": True, **values}


@pytest.mark.parametrize(
    ("rule", "seen", "hidden"),
    [
        ("own", {}, {"user": "bob"}),
        ("user=$user.id", {}, {"user": "Ann"}),
        ("team=$user.teams", {"team": "blue"}, {"team": "green"}),
        ("team=$user.teams&team=green", {"team": "green"}, {"team": "black"}),
        ("level<~=$user.org.level", {"level": 2}, {"level": 4}),
        ("open=$user.is_in", {}, {"open": False}),
        ("team!=$user.teams", {"team": "green"}, {"team": "red"}),
        ("team=red&level>=2", {}, {"level": 2}),
    ],
)
def test_a_filter_means_rows_of_the_user(
    rule: str, seen: dict[str, Any], hidden: dict[str, Any]
) -> None:
    sees = permission(ANN, read=rule).sees
    assert sees.matches(row(**seen))
    assert not sees.matches(row(**hidden))


@pytest.mark.parametrize(
    "teams", [None, {}, *({"teams": each} for each in ([], "", ["green", None], ["green", " "]))]
)
@pytest.mark.parametrize(
    "rule",
    [
        "team=$user.teams",
        "team!=$user.teams",
        "team=$user.teams&team=red",
        "team!=$user.teams&team!=green",  # one value less would show more
        "none",
    ],
)
def test_nobody_sees_a_row_by_an_attribute_that_is_missing(
    rule: str, teams: dict[str, Any] | None
) -> None:
    user = None if teams is None else {"id": "eve", **teams}
    sees = permission(user, read=rule).sees
    assert not any(sees.matches(row(team=team)) for team in ("red", "", None))
    assert sees.sql() == ("FALSE", [])


def test_an_attribute_that_is_no_value_of_the_column_shows_nothing() -> None:
    assert not permission({"id": "eve", "level": "high"}, read="level=$user.level").sees.matches(
        row()
    )


def decided(
    allowed: Permission, method: Method, old: dict[str, Any] | None, new: dict[str, Any] | None
) -> bool:
    return allowed.rules[method](old, new, new or {})


def test_a_filter_for_changes_holds_before_and_after() -> None:
    allowed = permission(ANN, update="team=$user.teams")
    assert decided(allowed, "PUT", row(), row(team="blue"))
    assert not decided(allowed, "PUT", row(team="green"), row(team="red"))
    assert not decided(allowed, "PUT", row(), row(team="green"))


def test_an_expression_holds_before_and_after_unless_it_compares_both() -> None:
    owner = permission(ANN, update="row['user'] == handler.current_user.id")
    assert decided(owner, "PUT", row(), row(level=4))
    assert not decided(owner, "PUT", row(user="bob"), row(user="ann"))
    steps = permission(ANN, update="old['level'] + 1 == row['level']")
    assert decided(steps, "PUT", row(level=1), row(level=2))
    assert not decided(steps, "PUT", row(level=1), row(level=3))


def test_words_decide_on_every_method() -> None:
    allowed = permission(ANN, create="any", update="own", delete="none")
    assert "POST" not in allowed.rules
    assert decided(allowed, "PUT", row(), row())
    assert not decided(allowed, "PUT", row(user="bob"), row())
    assert not decided(allowed, "DELETE", row(), None)
    assert not decided(permission(None, delete="own"), "DELETE", row(user=None), None)


@pytest.mark.parametrize("source", ["row['none']", "1 / (row['level'] - 3)", "handler.nothing"])
def test_an_expression_that_fails_grants_nothing(source: str) -> None:
    assert not decided(permission(ANN, create=source), "POST", None, row())


def test_without_rules_nothing_is_asked() -> None:
    assert permission(None) is UNLIMITED
    assert permission(None, read="any", create="any") is UNLIMITED


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        ({"read": "taem=$user.team"}, "read: 'taem' is not a column: did you mean team?"),
        ({"read": "level=high"}, "read: level: 'high' is not a"),
        ({"read": "team=of $user.team"}, "read: team: write $user.NAME, and nothing else"),
        ({"read": "row['team'] == 'x'"}, "read: a database cannot ask Python"),
        ({"update": "owner"}, "update: 'owner' is not a rule"),
        ({"update": "ann"}, "update: 'ann' is not a rule"),
        ({"delete": "row['user'] = 1"}, "delete: "),
        ({"create": "await row"}, "create: a rule cannot await anything"),
        ({"create": "missing_module.f(row)"}, "create: "),
    ],
)
def test_a_rule_that_means_nothing_stops_the_hub(rules: dict[str, str], reason: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        permission(ANN, **rules)
    assert caught.value.message.startswith(f"url: chat: rules: {reason}")
