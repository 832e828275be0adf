"""Of a text that is sent, only what declares something is rehearsed; nothing of it is run."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from eventhub.channel import endpoints_of
from eventhub.config import ColumnRule, Config, MessageEndpoint, Rules, examine_text
from eventhub.errors import Misconfigured
from eventhub.rehearsal.declared import declared
from eventhub.rehearsal.rehearsing import Rehearsal
from tests.unit.rehearsal.builders import COLUMNS, config, event, log_of, rehearsed

CODE = "__import__('trace_of_code')"
SERVED: dict[str, Any] = {
    "prepare": "msg.update(n=1)",
    "rules": {
        "update": "row['n'] == 1 or not row",
        "columns": {"n": {"read": "handler.current_user"}},
    },
    "alert": {"to": "a@example.org", "condition": "len(msg) > 1", "subject": "{{ body }}"},
}


def sent(folder: Path, pattern: str = "/notes", **kwargs: Any) -> Config:
    """Return what a text says, as an operator sends it."""
    settings = {"table": "notes", "columns": COLUMNS, **SERVED, **kwargs}
    entry = {"pattern": pattern, "handler": "MessageHandler", "kwargs": settings}
    read, findings = examine_text(json.dumps({"url": {"notes": entry}}), folder / "pasted.yaml")
    assert not findings.problems
    return read


def taken_of(folder: Path, **kwargs: Any) -> tuple[MessageEndpoint, list[str]]:
    """Return the endpoint that is rehearsed, and what was not taken of a text."""
    served = config(folder, "served", **SERVED)
    taken, left_out = declared(served, sent(folder, **kwargs))
    assert msgspec.structs.replace(taken, endpoints=served.endpoints) == served
    Rehearsal(served, taken, runs_hooks=False)  # it compiles
    [entry] = taken.of_kind(MessageEndpoint)
    return entry, left_out


def test_what_only_declares_something_is_taken(tmp_path: Path) -> None:
    rules = {**SERVED["rules"], "read": "own", "create": "n<=9", "delete": "none"}
    alert = {**SERVED["alert"], "to": ["b@example.org"], "body": "A new note", "methods": "PUT"}
    columns = {"body": "TEXT", "n": {"type": "TEXT", "nullable": False}}
    given: dict[str, Any] = {
        "rules": rules,
        "alert": alert,
        "columns": columns,
        "unknown": "refuse",
    }
    entry, left_out = taken_of(tmp_path, **given)
    [other] = sent(tmp_path, **given).of_kind(MessageEndpoint)
    assert left_out == []
    assert msgspec.structs.replace(entry, kwargs={}) == msgspec.structs.replace(other, kwargs={})


@pytest.mark.parametrize(
    ("kwargs", "left_out"),
    [
        ({"prepare": CODE}, "prepare"),
        ({"prepare": SERVED["prepare"] + " "}, "prepare"),
        ({"modify": SERVED["prepare"]}, "modify"),
        ({"open": CODE}, "open"),
        ({"message_default": {"POST": {"n": CODE}}}, "message_default"),
        ({"auth": {"condition": CODE}}, "auth"),
        ({"rules": {"create": f"row and {CODE}"}}, "rules: create"),
        ({"rules": {"create": SERVED["rules"]["update"]}}, "rules: create"),
        ({"rules": {"update": SERVED["rules"]["update"] + "  or old"}}, "rules: update"),
        ({"rules": {"columns": {"n": {"read": f"handler and {CODE}"}}}}, "rules: columns: n: read"),
        ({"rules": {"columns": {"n": {"write": f"row and {CODE}"}}}}, "rules: columns: n: write"),
        (
            {"rules": {"columns": {"body": {"read": "handler.current_user"}}}},
            "rules: columns: body: read",
        ),
        ({"alert": {**SERVED["alert"], "condition": CODE}}, "alert: condition"),
        ({"alert": {**SERVED["alert"], "condition": "len(msg) > 1 "}}, "alert: condition"),
        ({"alert": {**SERVED["alert"], "subject": "{% import os %}"}}, "alert: subject"),
        ({"alert": {**SERVED["alert"], "body": "{{ body }}"}}, "alert: body"),
        ({"alert": {**SERVED["alert"], "to": ["{{ id }}"]}}, "alert: to"),
        ({"alert": {**SERVED["alert"], "attachments": ["/etc/passwd"]}}, "alert: attachments"),
        ({"alert": {**SERVED["alert"], "attachments_from": "/"}}, "alert: attachments_from"),
        ({"alert": {**SERVED["alert"], "images": {"a": "/etc/passwd"}}}, "alert: images"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_code_stays_as_it_is_served_and_is_named(
    tmp_path: Path, kwargs: dict[str, Any], left_out: str
) -> None:
    if "rules" in kwargs:
        kwargs = {"rules": {**SERVED["rules"], **kwargs["rules"]}}
    entry, names = taken_of(tmp_path, **kwargs)
    assert names == [f"/notes: {left_out}"]
    assert "trace_of_code" not in str(msgspec.structs.replace(entry, kwargs={}))
    [mine] = config(tmp_path, "served", **SERVED).of_kind(MessageEndpoint)
    key = left_out.partition(":")[0]
    if key != "rules":
        assert getattr(entry, key) == getattr(mine, key)


def test_a_rule_of_a_column_is_code_also_if_it_names_nothing_of_a_rule(tmp_path: Path) -> None:
    other = sent(tmp_path)
    rules = Rules(columns={"n": ColumnRule(read=CODE, write=CODE)})  # `check` refuses it
    entries = [msgspec.structs.replace(each, rules=rules) for each in other.endpoints]
    other = msgspec.structs.replace(other, endpoints=tuple(entries))
    taken, left_out = declared(config(tmp_path, "served", **SERVED), other)
    assert left_out == ["/notes: rules: columns: n: read", "/notes: rules: columns: n: write"]
    assert "trace_of_code" not in str(taken.of_kind(MessageEndpoint)[0].rules)


def test_a_filter_that_other_columns_make_python_is_not_run(tmp_path: Path) -> None:
    alert = {"to": "a@example.org", "condition": "n!=1"}
    served = config(tmp_path, "served", alert=alert)
    other = sent(tmp_path, rules={"read": "any"}, alert=alert, columns={"body": "TEXT"})
    with pytest.raises(Misconfigured, match="condition: it is no filter of the new columns"):
        declared(served, other)


def test_a_path_that_is_gone_is_gone(tmp_path: Path) -> None:
    taken, left_out = declared(config(tmp_path, "served"), sent(tmp_path, pattern="/others"))
    assert (taken.endpoints, left_out) == ((), [])


async def test_what_is_taken_is_rehearsed(tmp_path: Path) -> None:
    served = config(tmp_path, "served", **SERVED)
    taken, _ = declared(served, sent(tmp_path, rules={**SERVED["rules"], "create": "n<=9"}))
    [endpoint] = endpoints_of(served)
    log = await log_of(served, event(endpoint, "a", n=3), event(endpoint, "b", n=12))
    found = await rehearsed(Rehearsal(served, taken, runs_hooks=False), log)
    assert [(kind, what) for kind, what, _, _ in found] == [
        ("refused", "forbidden"),
        ("mailed", "a@example.org"),
    ]
