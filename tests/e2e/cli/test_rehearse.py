"""A new configuration is rehearsed with the messages of a hub, and nothing is written or sent."""

import json
from pathlib import Path

from tests.e2e.command import GOOD, post, rows, run, written
from tests.e2e.hub import HubFactory
from tests.integration.alerts.sink import served_sink
from tests.waiting import until

ALERT = "      alert: {to: ann@example.org, subject: '{{ body }}'}\n"
NEW = """
url:
  notes:
    pattern: /notes
    handler: MessageHandler
    kwargs:
      columns: {body: TEXT, n: TEXT}
      rules: {create: body!=no, read: own}
      prepare: "msg.update(body=msg['body'].strip())"
      open: args.update(n=['1'])
      alert: {to: 'ann@example.org, {{ n }}@example.org', subject: '{{ body }}'}
"""


def test_what_a_new_file_does_differently_is_printed(hub_factory: HubFactory) -> None:
    with served_sink() as sink:
        email = f"email: {{sink: {{host: 127.0.0.1, port: {sink.port}, email: hub@example.org}}}}\n"
        hub = hub_factory(email + GOOD + ALERT)
        post(f"{hub.url}/notes", id="a", body="first", n=1)
        post(f"{hub.url}/notes", id="b", body=" second ")
        post(f"{hub.url}/notes", id="c", body="no")
        until(lambda: len(sink.taken) == 3)
        file, data = hub.folder / "eventhub.yaml", ("--data", hub.folder / "data")
        new = written(hub.folder, email + NEW, "new.yaml")
        done = run("rehearse", file, new, *data)
        assert done.stdout.splitlines() == [
            "refused  notes  forbidden  1 event",
            "    3  POST 'c'  the rules of this endpoint do not let you create this row",
            "converted differently  notes  n  1 event",
            "    1  POST 'a'  1 → \"1\"",
            "changed by hooks  notes  body  1 event",
            '    2  POST \'b\'  " second " → "second"',
            "seen by others  notes  the row, by clients without a login (no longer)  2 events",
            "    1  POST 'a'",
            "    2  POST 'b'",
            "seen by others  notes  the row, by other users (no longer)  2 events",
            "    1  POST 'a'",
            "    2  POST 'b'",
            "mailed differently  notes  1@example.org  1 event",
            "    1  POST 'a'  nothing → \"first\"",
            "mailed differently  notes  ann@example.org  2 events",
            '    2  POST \'b\'  " second " → "second"',
            "    3  POST 'c'  \"no\" → nothing",
            "alert fails differently  notes  alert  1 event",
            "    2  POST 'b'  nothing → \"@example.org: not an address\"",
            "not rehearsed: /notes: open: it depends on the client and its request",
            "11 differences in 3 events",
        ]
        assert (done.returncode, done.stderr) == (1, "")
        as_json = run("rehearse", file, new, *data, "--json", "--events", "1", "--no-hooks")
        found = json.loads(as_json.stdout)
        assert [(each["kind"], each["sequence"]) for each in found["differences"]] == [
            ("refused", 3),
            ("mailed", 3),
        ]
        assert (found["events"], found["skipped"], found["refused_by_both"]) == (1, 0, 0)
        assert "/notes: hooks: they are not run" in found["not_rehearsed"]
        same = run("rehearse", file, file, *data)
        assert (same.returncode, same.stdout) == (0, "no differences in 3 events\n")
        assert json.loads(run("rehearse", file, file, *data, "--json").stdout) == {
            "differences": [],
            "events": 3,
            "skipped": 0,
            "refused_by_both": 0,
            "not_rehearsed": [],
        }
        assert len(sink.taken) == 3
        assert [row["id"] for row in rows(f"{hub.url}/notes")] == ["a", "b", "c"]


def test_a_file_that_cannot_be_served_is_not_rehearsed(tmp_path: Path) -> None:
    file = written(tmp_path, GOOD)
    wrong = written(tmp_path, GOOD.replace("INTEGER", "NUMBR"), "wrong.yaml")
    done = run("rehearse", file, wrong)
    assert (done.returncode, done.stdout) == (2, "")
    assert "wrong.yaml:7: url.notes.kwargs.columns.n" in done.stderr
