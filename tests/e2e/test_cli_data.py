"""Commands prove and rebuild the data of a hub and send dead letters, or say why they cannot."""

import asyncio
import json
import re
import time
from pathlib import Path

import duckdb
import nats
import pytest

from eventhub.broker import running_broker
from tests.e2e.command import (
    DEADLINE_SECONDS,
    GOOD,
    output,
    post,
    refused,
    rows,
    run,
    written,
)
from tests.e2e.hub import Hub, HubFactory
from tests.integration.alerts.sink import served_sink

# --- rebuild and verify


def filled(hub: Hub) -> None:
    url = f"{hub.url}/notes"
    for number in range(20):
        post(url, id=str(number), n=number)
    for number in range(0, 20, 2):
        post(url, _method="PUT", id=str(number), body="even")
    post(url, _method="DELETE", id="7")


def test_verify_and_rebuild_agree_with_the_log(hub_factory: HubFactory) -> None:
    hub = hub_factory(GOOD)
    filled(hub)
    before = rows(f"{hub.url}/notes")
    file, data = hub.folder / "eventhub.yaml", hub.folder / "data"
    assert refused(2, run("rebuild", file, "--data", data)).endswith("stop the hub first")
    hub.stop()
    assert "notes: equal (19 rows, 31 events)\n" in run("verify", file, "--data", data).stdout
    change_by_hand(data / "projection.duckdb", "UPDATE notes SET n = 99 WHERE id = '3'")
    found = run("verify", file, "--data", data)
    assert (found.returncode, found.stdout) == (
        1,
        "  notes: 3 4 n 3≠99\nnotes: 1 difference (19 rows, 31 events)\n",
    )
    assert "notes: rebuilt from 31 events\n" in run("rebuild", file, "--data", data).stdout
    assert run("verify", file, "--data", data).returncode == 0
    change_by_hand(data / "projection.duckdb", "DELETE FROM notes_history WHERE id = '5'")
    found = run("verify", file, "--data", data)
    assert (found.returncode, "  notes_history: 5 6 is missing\n" in found.stdout) == (1, True)
    run("rebuild", file, "--data", data)
    hub.start()
    assert rows(f"{hub.url}/notes") == before


def test_verify_names_forged_history_of_a_running_hub(hub_factory: HubFactory) -> None:
    hub = hub_factory(GOOD)
    filled(hub)
    assert len(rows(f"{hub.url}/notes")) == 19  # what a reader sees is in the tables
    file, data = hub.folder / "eventhub.yaml", hub.folder / "data"
    hub.stop()
    change_by_hand(data / "projection.duckdb", "UPDATE notes_history SET _user = 'mallory'")
    hub.start()
    found = run("verify", file, "--data", data)
    lines = found.stdout.splitlines()
    assert (found.returncode, len(lines)) == (1, 32)
    assert lines[3] == '  notes_history: 3 4 _user null≠"mallory"'
    assert lines[31] == "notes: 31 differences (19 rows, 31 events)"
    post(f"{hub.url}/notes", id="meanwhile")
    report = json.loads(run("verify", file, "--data", data, "--json").stdout)
    assert [table["events"] for table in report["tables"]] == [32]
    assert (report["equal"], len(report["differences"])) == (False, 31)
    assert report["differences"][3] == {
        "table": "notes_history",
        "id": "3",
        "sequence": 4,
        "column": "_user",
        "log": None,
        "held": "mallory",
    }


def test_verify_names_events_that_were_erased_in_the_broker(hub_factory: HubFactory) -> None:
    hub = hub_factory(GOOD)
    filled(hub)
    file, data = hub.folder / "eventhub.yaml", hub.folder / "data"
    asyncio.run(erase(data, 3, 31))
    hub.stop()
    run("rebuild", file, "--data", data)
    found = run("verify", file, "--data", data, "--json")
    report = json.loads(found.stdout)
    assert (found.returncode, report["equal"]) == (1, False)
    assert [(each["table"], each["sequence"]) for each in report["differences"]] == [
        ("log", 3),
        ("log", 31),
    ]
    text = run("verify", file, "--data", data).stdout
    assert "  log: 31 the event is missing or damaged\n" in text


async def erase(data: Path, *sequences: int) -> None:
    """Erase events in the broker, without the hub."""
    address = running_broker(data)
    assert address is not None
    client = await nats.connect(address.url, token=address.token)
    try:
        for sequence in sequences:
            await client.jetstream().delete_msg("EH_notes", sequence)
    finally:
        await client.close()


def change_by_hand(path: Path, sql: str) -> None:
    with duckdb.connect(path) as connection:
        connection.execute(sql)


# --- alerts


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
        until_logged(hub, "alert_dead")
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


def until_logged(hub: Hub, event: str) -> None:
    give_up = time.monotonic() + DEADLINE_SECONDS
    while event not in hub.stderr():
        assert time.monotonic() < give_up, f"{event} was never logged"
        time.sleep(0.02)
