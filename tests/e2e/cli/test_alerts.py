"""Dead letters are listed and sent again, and alerts are tried out."""

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
