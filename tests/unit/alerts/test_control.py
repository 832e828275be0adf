"""Operators see alerts and dead letters, and try alerts with filters, but not with new code."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from eventhub.alerts.control import Control
from eventhub.alerts.dead_letters import DeadLetter, DeadLetters
from eventhub.channel import endpoints_of
from eventhub.config import Config, load
from eventhub.errors import Rejected
from eventhub.memory import MemoryLog
from tests.unit.rehearsal.builders import event

ALERT = {"to": "{{ body }}@example.org", "subject": "{{ body }}", "html": "<b>{{ body }}</b>"}


def config(folder: Path, others: dict[str, Any] | None = None, **alert: Any) -> Config:
    kwargs = {"columns": {"body": "TEXT", "n": "INTEGER"}, "alert": {**ALERT, **alert}}
    notes = {"pattern": "/notes", "handler": "MessageHandler", "kwargs": kwargs}
    more = {"quiet": {"table": "notes"}, **(others or {})}
    rest = {name: {**notes, "pattern": f"/{name}", "kwargs": more[name]} for name in more}
    stub = {"stub": {"type": "stub", "email": "hub@example.org", "password": "a-secret-word"}}
    file = folder / "hub.yaml"
    file.write_text(json.dumps({"url": {"notes": notes, **rest}, "email": stub}))
    return load(file, environ={})


async def control(folder: Path, others: dict[str, Any] | None = None, **alert: Any) -> Control:
    """Return the control of a log with three events, of which the last is of another endpoint."""
    loaded = config(folder, others, **alert)
    log = MemoryLog()
    notes, quiet = endpoints_of(loaded)[:2]
    stream = await log.open(notes.channel)
    for each in (
        event(notes, "a", body="ann", n=1),
        event(notes, "b", body="bob", n=2),
        event(quiet, "c", body="eve", n=3),
    ):
        await stream.append(each, expect=0)
    letters = await DeadLetters.open(log)
    for sequence in (1, 2):
        await letters.keep(
            DeadLetter(
                channel="notes",
                endpoint="notes",
                epoch=stream.epoch,
                sequence=sequence,
                reason="554 no",
                attempts=1,
                died_at="2026-11-23T10:00:00+00:00",
                row_id="a",
                to=["ann@example.org"],
                subject="ann",
                recipients=None,
            )
        )
    return Control(log, lambda: loaded)


async def test_alerts_are_shown_as_configured_and_dead_letters_newest_first(
    tmp_path: Path,
) -> None:
    found = await (await control(tmp_path, condition="msg['n'] > 1")).overview()
    [alert] = found["alerts"]
    assert (alert["endpoint"], alert["path"], alert["table"]) == ("notes", "/notes", "notes")
    assert alert["alert"]["condition"] == "msg['n'] > 1"
    assert [each["id"] for each in found["dead"]] == ["notes:2", "notes:1"]
    assert found["dead"][0]["missing"] == ["ann@example.org"]
    assert found["dead_count"] == 2
    assert "a-secret-word" not in json.dumps(found)


async def test_a_dead_letter_that_is_sent_is_gone(tmp_path: Path) -> None:
    alerts = await control(tmp_path)
    assert await alerts.retry(["notes:1"]) == [{"id": "notes:1", "error": None}]
    assert [each["id"] for each in (await alerts.overview())["dead"]] == ["notes:2"]
    with pytest.raises(Rejected, match="no dead letter"):
        await alerts.retry(["notes:1"])


async def test_a_preview_is_the_mail_of_the_last_event_of_the_endpoint_or_of_another(
    tmp_path: Path,
) -> None:
    alerts = await control(tmp_path, condition="n>~=2", attachments="https://nowhere.invalid/x")
    last = await alerts.preview("notes", None)
    assert (last["sequence"], last["row"], last["fires"], last["error"]) == (2, "b", True, None)
    assert last["mail"] == {
        "from": "hub@example.org",
        "recipients": ["bob@example.org"],
        "malformed": [],
        "subject": "bob",
        "text": None,
        "html": "<b>bob</b>",
    }
    first = await alerts.preview("notes", 1)
    assert (first["fires"], first["mail"]["subject"]) == (False, "ann")
    for endpoint, sequence in (("notes", 9), ("quiet", None), ("nope", None)):
        with pytest.raises(Rejected) as refused:
            await alerts.preview(endpoint, sequence)
        assert refused.value.code == "not_found"


async def test_a_mail_that_cannot_be_composed_says_why(tmp_path: Path) -> None:
    alerts = await control(tmp_path, reply_to="{{ body }}\n", condition="msg['nope']")
    found = await alerts.preview("notes", 1)
    assert (found["mail"], found["error"]) == (None, "condition: KeyError: 'nope'")


@pytest.mark.parametrize(
    ("condition", "methods", "rows"),
    [
        (None, None, ["b"]),
        ("", None, ["a", "b"]),
        ("n=1", None, ["a"]),
        ("n=1", ["PUT"], []),
    ],
)
async def test_an_edited_alert_is_tried_with_past_events(
    tmp_path: Path, condition: str | None, methods: list[str] | None, rows: list[str]
) -> None:
    alerts = await control(tmp_path, condition="n>~=2")
    found = await alerts.backtest("notes", 30, condition, methods)
    assert [each["row"] for each in found["mails"]] == rows
    assert (found["events"], found["count"]) == (2, len(rows))
    assert (found["wrong"], found["complete"]) == (0, True)


async def test_an_expression_of_another_alert_of_the_table_is_tried(tmp_path: Path) -> None:
    alerts = await control(
        tmp_path,
        others={"quiet": {"table": "notes", "alert": {**ALERT, "condition": "msg['n'] < 2"}}},
    )
    found = await alerts.backtest("notes", 30, "msg['n'] < 2", None)
    assert [each["row"] for each in found["mails"]] == ["a"]


async def test_the_expression_of_an_alert_is_tried_with_other_methods(tmp_path: Path) -> None:
    alerts = await control(tmp_path, condition="msg['n'] > 1")
    found = await alerts.backtest("notes", 30, "msg['n'] > 1", ["POST", "DELETE"])
    assert [each["row"] for each in found["mails"]] == ["b"]


@pytest.mark.parametrize(
    "condition",
    [
        pytest.param("msg['n'] > 2", id="one character changed"),
        pytest.param("msg['n']  > 1", id="one space added"),
        pytest.param("msg['n'] > 1 ", id="a space at the end"),
        pytest.param("msg", id="a part of it"),
        pytest.param("msg['n'] > 7", id="an expression of another table"),
        pytest.param("{'n': 8}", id="an expression of a hook"),
        pytest.param(
            "leaves_a_trace!=1", id="a filter of another table, which imports a module here"
        ),
        pytest.param("msg['n'] > 9", id="a key that is not a condition"),
    ],
)
async def test_an_expression_that_is_not_a_condition_of_the_table_is_never_compiled(
    tmp_path: Path, condition: str
) -> None:
    (tmp_path / "leaves_a_trace.py").write_text("")
    columns = {"leaves_a_trace": "TEXT", "n": "INTEGER"}
    alerts = await control(
        tmp_path,
        condition="msg['n'] > 1",
        subject="msg['n'] > 9",
        others={
            "other": {"columns": columns, "alert": {**ALERT, "condition": "msg['n'] > 7"}},
            "third": {"columns": columns, "alert": {**ALERT, "condition": "leaves_a_trace!=1"}},
            "quiet": {"table": "notes", "modify": "{'n': 8}"},
        },
    )
    with pytest.raises(
        Rejected, match=r"url: notes: alert: condition: .*alerts backtest"
    ) as refused:
        await alerts.backtest("notes", 30, condition, None)
    assert refused.value.code == "bad_filter"
    assert "leaves_a_trace" not in sys.modules


@pytest.mark.parametrize(
    "condition",
    [
        "msg['n'] > 1",
        "__import__('os').system('id')",
        "nope=1",
        "n=x",
        "n==1",
        "{{ 1 }}",
    ],
)
async def test_a_condition_that_is_neither_a_filter_nor_in_use_is_never_run(
    tmp_path: Path, condition: str
) -> None:
    alerts = await control(tmp_path)
    with pytest.raises(Rejected) as refused:
        await alerts.backtest("notes", 30, condition, None)
    assert refused.value.code == "bad_filter"
