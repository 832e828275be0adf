"""Commands prove and rebuild the tables of a hub, or say why they cannot."""

import asyncio
import json
from pathlib import Path

import duckdb
import nats

from eventhub.broker import running_broker
from tests.e2e.command import (
    GOOD,
    post,
    refused,
    rows,
    run,
)
from tests.e2e.hub import Hub, HubFactory


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
