"""A pair of endpoints says what it would refuse, store, show and mail differently."""

from pathlib import Path
from typing import Any

import pytest

from eventhub.channel import endpoints_of
from eventhub.rehearsal.rehearsing import Rehearsal
from tests.unit.rehearsal.builders import COLUMNS, config, event, log_of, put, rehearsed

Found = list[tuple[str, str, Any, Any]]


async def found(
    folder: Path, old: dict[str, Any], new: dict[str, Any], user: str | None = None, **values: Any
) -> Found:
    """Return what differs for the POST of one row."""
    before, after = config(folder, "old", **old), config(folder, "new", **new)
    [endpoint] = endpoints_of(before)
    log = await log_of(before, event(endpoint, "a", user, **values))
    return await rehearsed(Rehearsal(before, after), log)


@pytest.mark.parametrize(
    ("new", "code", "message", "column"),
    [
        (
            {"columns": {"body": "INTEGER", "n": "INTEGER"}},
            "bad_value",
            'body: "x" is not a whole number',
            "body",
        ),
        (
            {"columns": {**COLUMNS, "due": {"type": "DATE", "nullable": False}}},
            "bad_value",
            "due is missing",
            "due",
        ),
        (
            {"columns": {"n": "INTEGER"}, "unknown": "refuse"},
            "bad_value",
            "'body' is not a column: choose among n, id, user, timestamp",
            "body",
        ),
        (
            {"rules": {"create": "n>=5"}},
            "forbidden",
            "the rules of this endpoint do not let you create this row",
            None,
        ),
        ({"auth": True}, "unauthorized", "log in to use this endpoint", None),
    ],
)
async def test_a_refusal_is_what_the_sender_would_get(
    tmp_path: Path, new: dict[str, Any], code: str, message: str, column: str | None
) -> None:
    [(kind, what, before, after), *_] = await found(tmp_path, {}, new, body="x", n=3)
    assert (kind, what, before) == ("refused", code, None)
    expected = {"code": code, "message": message, "retry": False}
    assert after == (expected if column is None else {**expected, "column": column})


async def test_what_is_no_longer_refused_is_a_difference(tmp_path: Path) -> None:
    rules = {"rules": {"create": "none"}}
    [(kind, what, before, after)] = await found(tmp_path, rules, {}, body="x")
    assert (kind, what, after) == ("accepted", "forbidden", None)
    assert before["code"] == "forbidden"


async def test_a_value_equal_to_the_old_default_counts_as_left_out(tmp_path: Path) -> None:
    def of(default: int) -> dict[str, Any]:
        return {"columns": {"body": "TEXT", "n": {"type": "INTEGER", "default": default}}}

    assert await found(tmp_path, of(1), of(2), body="x", n=1) == [("converted", "n", 1, 2)]
    assert await found(tmp_path, of(1), of(2), body="x", n=7) == []


async def test_a_put_differs_only_in_what_it_sets(tmp_path: Path) -> None:
    old = config(tmp_path, "old")
    new = config(tmp_path, "new", columns={"body": "TEXT", "n": "TEXT"}, rules={"create": "none"})
    [endpoint] = endpoints_of(old)
    posted = event(endpoint, "a", body="x", n=1)
    log = await log_of(old, posted, put(posted, endpoint, body="y"), put(posted, endpoint, n=2))
    kinds = [(kind, what) for kind, what, *_ in await rehearsed(Rehearsal(old, new), log, 2)]
    assert kinds == [("converted", "n")]


async def test_another_table_is_a_difference(tmp_path: Path) -> None:
    assert await found(tmp_path, {}, {"table": "others"}) == [("moved", "table", "notes", "others")]


async def test_what_a_hook_broadcasts_differently_is_told_apart(tmp_path: Path) -> None:
    new = {"modify": "msg.update(body='hidden')"}
    assert await found(tmp_path, {}, new, body="x") == [
        ("hooks", "body, as broadcast", "x", "hidden")
    ]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            {"rules": {"read": "own"}, "auth": True},
            {"rules": {"read": "any"}, "auth": True},
            [("the row, by other users", False, True)],
        ),
        (
            {"auth": True},
            {},
            [("the row, by clients without a login", False, True)],
        ),
        (
            {},
            {"rules": {"read": "n>=5"}},
            [
                ("the row, by clients without a login", True, False),
                ("the row, by other users", True, False),
                ("the row, by the row's user", True, False),
            ],
        ),
        (
            {"auth": True},
            {"auth": True, "rules": {"columns": {"body": {"read": "none", "write": "any"}}}},
            [("body, by other users", True, False), ("body, by the row's user", True, False)],
        ),
    ],
)
async def test_who_sees_more_or_less_is_told_by_kind_of_reader(
    tmp_path: Path, old: dict[str, Any], new: dict[str, Any], expected: list[tuple[str, bool, bool]]
) -> None:
    told = await found(tmp_path, old, new, "ann", body="x", n=3)
    assert told == [("seen", *each) for each in expected]


async def test_who_would_be_mailed_and_who_no_longer_is_told(tmp_path: Path) -> None:
    old = {"alert": {"to": "ann@example.org, bob@example.org", "subject": "{{ body }}"}}
    new = {"alert": {"to": "bob@example.org, eve@example.org", "subject": "{{ body }}!"}}
    assert await found(tmp_path, old, new, body="x") == [
        ("mailed", "ann@example.org", "x", None),
        ("mailed", "bob@example.org", "x", "x!"),
        ("mailed", "eve@example.org", None, "x!"),
    ]
    wrong = {"alert": {"to": "bob@example.org", "condition": "msg['nope']"}}
    assert ("mail_error", "alert", None, "condition: KeyError: 'nope'") in await found(
        tmp_path, old, wrong, body="x"
    )
    refused = await found(tmp_path, old, {**old, "rules": {"create": "none"}}, body="x")
    assert [each[:2] for each in refused[1:]] == [
        ("mailed", "ann@example.org"),
        ("mailed", "bob@example.org"),
    ]
