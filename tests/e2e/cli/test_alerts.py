"""Dead letters are listed and sent again, and alerts are tried out."""

import json
import re
from pathlib import Path

import pytest

from tests.e2e.client import request
from tests.e2e.command import (
    GOOD,
    output,
    post,
    run,
    written,
)
from tests.e2e.hub import HubFactory
from tests.integration.alerts.sink import Sink, served_sink
from tests.waiting import until


def with_alerts(port: int) -> str:
    alert = "      alert: {to: ann@example.org, subject: '{{ body }}'}\n"
    email = f"email: {{sink: {{host: 127.0.0.1, port: {port}, email: hub@example.org}}}}\n"
    return email + GOOD + alert


@pytest.mark.parametrize("hub_runs", [True, False])
def test_dead_letters_are_listed_and_sent_again(hub_factory: HubFactory, hub_runs: bool) -> None:
    with served_sink() as sink:
        sink.answers = ["554 no"]
        hub = hub_factory(with_alerts(sink.port))
        file, data = hub.folder / "eventhub.yaml", hub.folder / "data"
        post(f"{hub.url}/notes", body="hello")
        until(lambda: "alert_dead" in hub.stderr())
        if not hub_runs:
            hub.stop()
        listed = run("alerts", "list", file, "--data", data)
        assert listed.returncode == 0
        letter, count = listed.stdout.splitlines()
        assert count == "1 dead letters"
        assert re.match(r"20\d\d-\d\d-\d\dT\S+  notes:1  row '[\w-]+'  ", letter)
        assert letter.endswith("notes  1  ann@example.org  'hello'  554 no")
        sink.answers = ["554 still no"]
        refused = run("alerts", "retry", file, "--data", data)
        assert (refused.returncode, refused.stdout.splitlines()[-1]) == (1, "0 sent, 1 still dead")
        sent = run("alerts", "retry", file, "--data", data)
        assert (sent.returncode, sent.stdout.splitlines()[-1]) == (0, "1 sent, 0 still dead")
        assert run("alerts", "list", file, "--data", data).stdout == "0 dead letters\n"
        assert [taken.mail["Subject"] for taken in sink.taken] == ["hello"]


def test_alerts_can_be_tested(tmp_path: Path) -> None:
    with served_sink() as sink:
        file = written(tmp_path, with_alerts(sink.port))
        assert "sent to bob@example.org" in output(
            "alerts", "test", file, "--to", "bob@example.org"
        )
        assert sink.taken[0].recipients == ["bob@example.org"]
        sink.answers = ["554 no"]
        tried = run("alerts", "test", file)
        assert (tried.returncode, tried.stdout.strip().endswith("554 no")) == (1, True)
    assert output("alerts", "test", written(tmp_path, GOOD)) == "no endpoint has an alert\n"


@pytest.mark.parametrize(
    ("before", "alert", "status"),
    [
        ("", "", 400),
        ("", "suppressible: true, ", 201),
        ("schedule: {}\n", "", 201),
        ("schedule: {}\n", "suppressible: false, ", 400),
    ],
)
async def test_clients_suppress_alerts_where_the_file_says_so_or_is_of_gramex(
    hub_factory: HubFactory, before: str, alert: str, status: int
) -> None:
    async with Sink.running() as sink:
        text = with_alerts(sink.port).replace("{to:", "{" + alert + "to:")
        hub = hub_factory(before + text)
        url = f"{hub.url}/notes"
        answer = await request("POST", url, json={"body": "quiet", "_alert": False})
        assert answer[0] == status
        assert status == 201 or answer[1]["_error"]["column"] == "_alert"
        await request("POST", url, json={"body": "loud"})
        assert [taken.mail["Subject"] for taken in await sink.has(1)] == ["loud"]


@pytest.mark.parametrize("hub_runs", [True, False])
def test_edited_alerts_are_tried_with_past_events_and_send_nothing(
    hub_factory: HubFactory, hub_runs: bool
) -> None:
    with served_sink() as sink:
        hub = hub_factory(with_alerts(sink.port))
        post(f"{hub.url}/notes", body="first", id="a")
        post(f"{hub.url}/notes", body="second", id="b")
        post(f"{hub.url}/notes", id="c", body="third")
        post(f"{hub.url}/notes", id="c", _method="DELETE")
        until(lambda: len(sink.taken) == 3)
        if not hub_runs:
            hub.stop()
        text = (hub.folder / "eventhub.yaml").read_text()
        alert = """{condition: "msg['body'] > 'e'", to: ['{{ body }}@example.org', '{{ id }}'],
            methods: [POST, DELETE], subject: 'Note {{ id }}', attachments: 'https://nowhere.invalid/x'}"""
        edited = hub.folder / "edited.yaml"
        edited.write_text(re.sub(r"\{to: .*\}", alert, text))
        data = ("--data", hub.folder / "data")
        tried = run("alerts", "backtest", edited, *data)
        assert tried.returncode == 1  # the id of a row is no address
        lines = [line.partition("  ")[2] for line in tried.stdout.splitlines()]
        wrong = "not an address"
        assert lines[:4] == [
            f"notes  1  POST 'a'  to first@example.org  'Note a'  a: {wrong}",
            f"notes  2  POST 'b'  to second@example.org  'Note b'  b: {wrong}",
            f"notes  3  POST 'c'  to third@example.org  'Note c'  c: {wrong}",
            "notes  4  DELETE 'c'  to nobody  ''  condition: KeyError: 'body'",
        ]
        assert tried.stdout.splitlines()[-1] == "4 mails for 4 events, 4 of them with an error"
        of_today = run("alerts", "backtest", hub.folder / "eventhub.yaml", *data, "--json")
        mails = [json.loads(line) for line in of_today.stdout.splitlines()]
        assert [(each["sequence"], each["subject"]) for each in mails] == [
            (1, "first"),
            (2, "second"),
            (3, "third"),
        ]
        assert (of_today.returncode, of_today.stderr) == (
            0,
            "3 mails for 4 events, 0 of them with an error\n",
        )
        none = run("alerts", "backtest", edited, *data, "--last", "1s", "--endpoint", "notes")
        assert none.stdout == "0 mails for 0 events, 0 of them with an error\n"
        assert len(sink.taken) == 3


def test_a_backtest_without_an_alert_or_a_time_says_so(tmp_path: Path) -> None:
    file = written(tmp_path, with_alerts(1))
    unknown = run("alerts", "backtest", file, "--endpoint", "nots")
    assert (unknown.returncode, "no endpoint 'nots' of " in unknown.stderr) == (2, True)
    never = run("alerts", "backtest", file, "--last", "1y")
    assert (never.returncode, "write a time such as 90d" in never.stderr) == (2, True)
