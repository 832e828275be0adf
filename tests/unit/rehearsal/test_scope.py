"""Rules that ask for more than the log knows of a client are left out, and named if they differ."""

from pathlib import Path
from typing import Any

import pytest

from eventhub.channel import endpoints_of
from eventhub.config import MessageEndpoint
from eventhub.rehearsal.scope import has_other_hooks, scope_of, without_hooks
from tests.unit.rehearsal.builders import config


def entry(folder: Path, **kwargs: Any) -> MessageEndpoint:
    return endpoints_of(config(folder, "file", **kwargs))[0].config


@pytest.mark.parametrize(
    ("rule", "is_known"),
    [
        ("own", True),
        ("body=x&n>=3", True),
        ("body=$user.id", True),
        ("body=$user.team", False),
        ("row['n'] > 3", True),
        ("handler.session['id'] == row['body']", False),
    ],
)
def test_a_rule_is_compared_if_the_log_knows_what_it_asks(
    tmp_path: Path, rule: str, is_known: bool
) -> None:
    old, new = entry(tmp_path), entry(tmp_path, rules={"create": rule})
    scope = scope_of(old, new)
    assert scope.new.rules is not None
    assert (scope.new.rules.create == rule) == is_known
    assert bool(scope.left_out) != is_known
    assert scope_of(new, new).left_out == ()


def test_a_rule_that_one_side_cannot_know_is_compared_for_neither(tmp_path: Path) -> None:
    old = entry(tmp_path, rules={"read": "own", "columns": {"n": {"read": "any", "write": "none"}}})
    columns = {"n": {"read": "handler.current_user", "write": "none"}}
    new = entry(tmp_path, rules={"read": "body=$user.team", "columns": columns})
    scope = scope_of(old, new)
    assert scope.old.rules is not None
    assert scope.old.rules == scope.new.rules
    assert scope.old.rules.columns["n"].write == "none"
    assert scope.left_out == (
        "rules: columns.n.read: it depends on more of a user than the id",
        "rules: read: it depends on more of a user than the id",
    )


def test_what_depends_on_the_request_is_named(tmp_path: Path) -> None:
    old = entry(tmp_path)
    new = entry(
        tmp_path,
        open="args.update(body=['x'])",
        auth={"membership": {"team": "a"}},
        quota={"rows": 5},
    )
    assert [each.partition(":")[0] for each in scope_of(old, new).left_out] == [
        "open",
        "auth",
        "quota",
    ]


def test_hooks_are_compared_and_left_out(tmp_path: Path) -> None:
    old, new = entry(tmp_path), entry(tmp_path, prepare="msg.clear()")
    assert has_other_hooks(old, new)
    assert not has_other_hooks(old, without_hooks(new))
    assert not has_other_hooks(old, entry(tmp_path, open="None"))
