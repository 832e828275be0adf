"""A rule of a column decides who reads and writes it, and grants nothing if it fails."""

from pathlib import Path
from typing import Any

import pytest

from eventhub.columns import Column, Columns, Kind
from eventhub.config import ColumnRule, MessageEndpoint, Rules
from eventhub.errors import Misconfigured
from eventhub.handler import Handler, User
from eventhub.identity.column_rules import ColumnRules
from eventhub.ingest.permission import ALL_COLUMNS, ColumnAccess

COLUMNS = Columns([Column("name"), Column("salary", Kind.INTEGER)])
HR, STAFF = {"id": "hr", "role": "hr"}, {"id": "ann", "role": "staff"}
IS_HR = "handler.current_user.role == 'hr'"


def rules_of(**columns: dict[str, str]) -> ColumnRules:
    rules = Rules(columns={name: ColumnRule(**rule) for name, rule in columns.items()})
    endpoint = MessageEndpoint(name="staff", pattern="/staff", table="staff", rules=rules)
    return ColumnRules(endpoint, COLUMNS, Path())


def access(user: dict[str, Any] | None, **rule: str) -> ColumnAccess:
    """Return what a user, or nobody, may do with `salary` under a rule."""
    handler = Handler(session={"id": "s"}, current_user=None if user is None else User(user))
    return rules_of(salary=rule).access(handler)


@pytest.mark.parametrize(
    ("rule", "user", "is_hidden", "is_closed"),
    [
        ({"read": "any"}, None, False, False),
        ({"read": "none"}, HR, True, True),
        ({"read": IS_HR}, HR, False, False),
        ({"read": IS_HR}, STAFF, True, True),
        ({"read": IS_HR, "write": "none"}, HR, False, True),
        ({"read": IS_HR, "write": "any"}, STAFF, True, False),
        ({"read": "none", "write": IS_HR}, HR, True, False),
        ({"read": "none", "write": IS_HR}, STAFF, True, True),
        ({"write": "none"}, STAFF, False, True),
        ({"write": IS_HR}, STAFF, False, True),
        ({"write": IS_HR}, HR, False, False),
        # what fails grants nothing
        ({"read": IS_HR}, None, True, True),
        ({"read": "handler.current_user['rank'] > 1"}, HR, True, True),
        ({"read": "asyncio.sleep(0, handler)"}, HR, True, True),
        ({"write": "asyncio.sleep(0, handler)"}, HR, False, True),
    ],
)
@pytest.mark.filterwarnings("error")
def test_a_rule_hides_and_closes_a_column(
    rule: dict[str, str], user: dict[str, Any] | None, is_hidden: bool, is_closed: bool
) -> None:
    found = access(user, **rule)
    assert ("salary" in found.hidden, "salary" in found.closed) == (is_hidden, is_closed)
    assert found.unknown == (frozenset({"salary"}) if is_hidden and is_closed else frozenset())


def test_clients_whom_no_rule_concerns_have_access_to_all() -> None:
    assert access(HR, read=IS_HR) is ALL_COLUMNS
    assert access(None, read="any", write="any") is ALL_COLUMNS


@pytest.mark.parametrize("rule", ["own", "name=$user.id", "row['name'] == handler.current_user.id"])
def test_a_rule_about_rows_decides_on_each_write(rule: str) -> None:
    decide = access({"id": "ann"}, write=rule).decides["salary"]
    mine = {"id": "1", "user": "ann", "name": "ann"}
    theirs = {"id": "1", "user": "bob", "name": "bob"}
    assert decide(mine, mine, {})
    assert decide(None, mine, {})
    assert not decide(theirs, mine, {})
    assert not decide(mine, theirs, {})


def test_a_hidden_column_is_not_written_by_a_rule_about_rows() -> None:
    """Otherwise the answers of that rule could be asked about a column that is not there."""
    assert access(STAFF, read=IS_HR, write="own").unknown == {"salary"}
    assert not access(HR, read=IS_HR, write="own").unknown


@pytest.mark.parametrize(
    ("name", "rule", "says"),
    [
        ("salry", {"read": "none"}, r"salry: 'salry' is not a column: did you mean salary\?"),
        ("id", {"read": "none"}, "id: frames and writes name their row by id"),
        ("id", {"write": "none"}, "id: frames and writes name their row by id"),
        ("salary", {"read": "own"}, "salary: read: 'own' is not a rule of reading a column"),
        ("salary", {"read": "name=ann"}, "salary: read: not a Python expression"),
        ("salary", {"read": "row['name'] == handler.current_user.id"}, "before any row is read"),
        ("salary", {"read": "handler.current_user.role == "}, "read: not a Python expression"),
        ("salary", {"read": "await handler.current_user"}, "cannot await"),
        ("salary", {"write": "naem=ann"}, r"write: 'naem' is not a column: did you mean name\?"),
        ("salary", {"write": "some"}, "write: 'some' is not a rule"),
    ],
)
def test_a_rule_that_means_nothing_stops_the_hub(
    name: str, rule: dict[str, str], says: str
) -> None:
    with pytest.raises(Misconfigured, match=says) as error:
        rules_of(**{name: rule})
    assert error.value.message.startswith(f"url: staff: rules: columns: {name}: ")


def test_a_session_that_a_rule_may_read_is_kept() -> None:
    assert rules_of(salary={"read": "handler.session['id'] == 'x'"}).may_read_session
    assert not rules_of(salary={"read": IS_HR}).may_read_session
