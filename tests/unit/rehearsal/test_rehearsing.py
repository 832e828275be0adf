"""A rehearsal reads the last events of the log, and finds what another configuration changes."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from eventhub.channel import endpoints_of
from eventhub.errors import Misconfigured
from eventhub.event import Event
from eventhub.rehearsal.rehearsing import Rehearsal
from tests.unit.rehearsal.builders import config, differences, event, log_of, rehearsed


async def test_equal_configurations_differ_in_nothing(tmp_path: Path) -> None:
    hooks: dict[str, Any] = {
        "prepare": "msg.update(n=len(msg['body']))",
        "message_default": {"POST": {"n": "__import__('random').random()"}},
        "alert": {"to": "{{ body }}@example.org"},
        "rules": {"read": "own", "create": "body!=no"},
    }
    old, new = config(tmp_path, "old", **hooks), config(tmp_path, "new", **hooks)
    [endpoint] = endpoints_of(old)
    log = await log_of(old, event(endpoint, "a", "ann", body="x"), event(endpoint, "b", body="no"))
    rehearsal = Rehearsal(old, new)
    assert await rehearsed(rehearsal, log) == []
    assert (rehearsal.events, rehearsal.refused_by_both, rehearsal.left_out) == (2, 1, [])


async def test_a_difference_names_its_event(tmp_path: Path) -> None:
    old = config(tmp_path, "old")
    new = config(tmp_path, "new", columns={"body": "TEXT", "n": "TEXT"})
    [endpoint] = endpoints_of(old)
    log = await log_of(old, event(endpoint, "a", body="x"), event(endpoint, "b", n=3))
    [found] = await differences(Rehearsal(old, new), log)
    assert msgspec.to_builtins(found) == {
        "kind": "converted",
        "endpoint": "notes",
        "table": "notes",
        "sequence": 2,
        "time": "2026-11-23T10:00:00.000000Z",
        "id": "b",
        "method": "POST",
        "what": "n",
        "before": 3,
        "after": "3",
    }


async def test_only_the_last_events_are_rehearsed(tmp_path: Path) -> None:
    old, new = config(tmp_path, "old"), config(tmp_path, "new", rules={"create": "none"})
    [endpoint] = endpoints_of(old)
    log = await log_of(old, *(event(endpoint, f"r{n}", n=n) for n in range(5)))
    found = await differences(Rehearsal(old, new), log, 2)
    assert [each.sequence for each in found] == [4, 5]


async def test_events_of_no_endpoint_are_skipped_and_counted(tmp_path: Path) -> None:
    old, new = config(tmp_path, "old"), config(tmp_path, "new", rules={"create": "none"})
    [endpoint] = endpoints_of(old)
    imported: Event = msgspec.structs.replace(event(endpoint, "a"), endpoint="(import)")
    rehearsal = Rehearsal(old, new)
    assert await rehearsed(rehearsal, await log_of(old, imported)) == []
    assert (rehearsal.events, rehearsal.skipped) == (0, 1)


async def test_a_path_that_is_gone_refuses_what_was_sent_to_it(tmp_path: Path) -> None:
    old, new = config(tmp_path, "old"), config(tmp_path, "new", pattern="/others")
    [endpoint] = endpoints_of(old)
    [found] = await rehearsed(Rehearsal(old, new), await log_of(old, event(endpoint, "a")))
    assert (found[0], found[1]) == ("refused", "unknown_path")


async def test_hooks_that_differ_are_run_unless_forbidden(tmp_path: Path) -> None:
    old = config(tmp_path, "old")
    new = config(tmp_path, "new", prepare="msg.update(body=msg['body'].upper())")
    [endpoint] = endpoints_of(old)
    log = await log_of(old, event(endpoint, "a", body="x"))
    assert await rehearsed(Rehearsal(old, new), log) == [("hooks", "body", "x", "X")]
    without = Rehearsal(old, new, runs_hooks=False)
    assert await rehearsed(without, log) == []
    assert without.left_out == ["/notes: hooks: they are not run"]


def test_a_rule_that_cannot_be_compiled_stops_the_rehearsal(tmp_path: Path) -> None:
    old, new = config(tmp_path, "old"), config(tmp_path, "new", rules={"read": "nope=1"})
    with pytest.raises(Misconfigured, match="nope"):
        Rehearsal(old, new)
