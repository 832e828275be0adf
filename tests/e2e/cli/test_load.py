"""`eventhub import` brings rows of files and databases in, once, and says what does not fit."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from tests.databases import Database, Sqlite
from tests.e2e.client import connect, request
from tests.e2e.command import output, post, rows, run, written
from tests.e2e.hub import Hub, HubFactory
from tests.postgres import Postgres

CONFIG = """
url:
  orders:
    pattern: /orders
    handler: MessageHandler
    kwargs:
      columns: &columns
        item: TEXT
        count: INTEGER
        price: DECIMAL(12,2)
        paid: BOOLEAN
        due: DATE
        at: TIMESTAMP
        seen: TIMESTAMPTZ
        tags: JSON
  polite:
    pattern: /polite
    handler: MessageHandler
    kwargs:
      table: orders
      columns: *columns
      modify: "{**msg, 'item': 'secret'}"
"""
ROW = {
    "item": "tea",
    "count": 2**62 + 1,
    "price": Decimal("1.05"),
    "paid": True,
    "due": "2026-12-24",
    "at": "2026-12-24T10:00:00.000001",
    "seen": "2026-12-24T09:00:00Z",
    "tags": {"a": [1, None]},
    "id": "a",
    "user": "ann",
    "timestamp": "2020-01-02T03:04:05",
}


@pytest.fixture
def hub(hub_factory: HubFactory) -> Hub:
    return hub_factory(CONFIG)


def imported(hub: Hub, *words: object, code: int = 0) -> str:
    file, data = hub.folder / "eventhub.yaml", hub.folder / "data"
    done = run("import", file, "orders", *words, "--data", data)
    assert done.returncode == code, done
    return done.stdout + done.stderr


def only_row(hub: Hub) -> dict[str, Any]:
    [row] = rows(f"{hub.url}/orders")
    return {**row, "price": Decimal(str(row["price"]))}


def files(folder: Path) -> list[Path]:
    """One row, in each kind of file."""
    folder.mkdir()
    typed = {
        **ROW,
        "due": datetime(2026, 12, 24, tzinfo=UTC).date(),
        "at": datetime.fromisoformat(str(ROW["at"])),
        "seen": datetime(2026, 12, 24, 9, tzinfo=UTC),
        "tags": json.dumps(ROW["tags"]),
    }
    table = pa.table({name: [value] for name, value in typed.items()})
    pyarrow.parquet.write_table(table, folder / "rows.parquet")
    with pa.ipc.new_file(str(folder / "rows.arrow"), table.schema) as file:
        file.write_table(table)
    with pa.ipc.new_stream(str(folder / "stream.arrow"), table.schema) as file:
        file.write_table(table)
    (folder / "rows.ndjson").write_text(json.dumps({**ROW, "price": 1.05}) + "\n\n")
    pyarrow.csv.write_csv(table, folder / "rows.csv")
    return sorted(folder.iterdir())


def test_every_kind_of_file_gives_the_same_row_once(hub: Hub, tmp_path: Path) -> None:
    for number, file in enumerate(files(tmp_path / "files")):
        told = imported(hub, file)
        new = "1 rows imported, 0" if number == 0 else "0 rows imported, 1"
        assert told == f"orders: {new} are there already\n"
        assert only_row(hub) == ROW


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_database_is_read_by_table_or_query(
    hub: Hub,
    tmp_path: Path,
    postgres: Postgres,
    kind: str,
) -> None:
    database: Database = postgres if kind == "postgresql" else Sqlite(tmp_path / "old.db")
    database.execute("CREATE TABLE old (id TEXT, item TEXT, n INTEGER, due DATE, tags TEXT)")
    filled = [("a", "tea", 7, "2026-12-24", "[1]"), ("b", "", None, None, None)]
    database.execute("INSERT INTO old VALUES (%s, %s, %s, %s, %s)", list(filled))
    url = database.url
    told = imported(hub, url, "--query", "SELECT id, item FROM old WHERE n > 6", "--dry-run")
    assert told == "orders: 1 rows would be imported, 0 are there already\n"
    assert imported(hub, url, "--from", "old", "--map", "count=n").startswith("orders: 2 rows")
    found = rows(f"{hub.url}/orders")
    assert [(row["id"], row["item"], row["count"]) for row in found] == [
        ("a", "tea", 7),
        ("b", "", None),
    ]
    assert (found[0]["due"], found[0]["tags"]) == ("2026-12-24", [1])


def test_what_does_not_fit_is_named_and_nothing_is_imported(hub: Hub, tmp_path: Path) -> None:
    lines = [f"tea {n},{n},2026-12-24" for n in range(1, 7)]
    lines += ["bad,many,2026-12-24", "tea 8,8,2026-12-24", "bad,9,soon"]
    file = written(tmp_path, "\n".join(["item,count,when", *lines, ""]), "orders.csv")
    said = imported(hub, file, "--map", "due=when", code=1)
    assert "row 7 (id " in said
    assert 'count: "many" is not a whole number' in said
    assert "row 9" in said
    assert 'due: "soon" is not a date' in said
    assert "orders: 2 rows do not fit: none is imported" in said
    assert rows(f"{hub.url}/orders") == []
    said = imported(hub, file, "--map", "due=when", "--skip")
    assert "orders: 7 rows imported, 0 are there already, 2 left out" in said
    assert [row["count"] for row in rows(f"{hub.url}/orders")] == [1, 2, 3, 4, 5, 6, 8]
    # Ids are made of the rows, so the same file brings nothing twice.
    assert "0 rows imported, 7 are" in imported(hub, file, "--map", "due=when", "--skip")


async def test_who_listens_gets_imported_rows_like_any_others(hub: Hub, tmp_path: Path) -> None:
    file = written(tmp_path, '{"id": "a", "item": "tea", "extra": 1}\n', "new.ndjson")
    async with connect(f"{hub.url}/orders") as client:
        await client.replay()
        said = imported(hub, file)
        assert "not columns of orders, kept in its events only: extra" in said
        frame = await client.receive()
    assert (frame["_method"], frame["id"], frame["extra"]) == ("POST", "a", 1)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("none.csv", None, "there is no such file"),
        ("rows.xlsx", "PK", "only .csv, .ndjson"),
        ("rows.parquet", "not Parquet", "rows.parquet cannot be read"),
        ("rows.arrow", "not Arrow", "rows.arrow cannot be read"),
        ("rows.ndjson", '{"id": "a"}\n[1]\n', "row 2: not a JSON object"),
        ("rows.csv", "item,count\ntea,1\ntea,1,2\n", "Expected 2 columns, got 3"),
        ("double.csv", "item,item\na,b\n", "two fields have the name 'item'"),
        ("empty.csv", "", "empty.csv cannot be read"),
    ],
)
def test_a_source_that_cannot_be_read_is_an_error_that_names_it(
    tmp_path: Path, name: str, text: str | None, said: str
) -> None:
    config = written(tmp_path, CONFIG)
    if text is not None:
        written(tmp_path, text, name)
    done = run("import", config, "orders", tmp_path / name)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_what_cannot_be_asked_for_is_said(tmp_path: Path) -> None:
    config = written(tmp_path, CONFIG)
    source = written(tmp_path, "item,n\ntea,1\n", "rows.csv")
    login = "postgresql://ann:secret@127.0.0.1:9/none"
    for words, said in {
        ("order", source): "did you mean orders? (bad_request)",
        ("orders", source, "--map", "n"): "write COLUMN=FIELD",
        ("orders", source, "--map", "count=m"): "rows.csv has no 'm'",
        ("orders", source, "--map", "cuont=n"): "did you mean count?",
        ("orders", source, "--query", "SELECT 1"): "are for databases",
        ("orders", f"sqlite:///{tmp_path}/none.db"): "unable to open database file (unavailable)",
        ("orders", "oracle9://x"): "not a database's URL",
        ("orders", login): "cannot be read",
    }.items():
        done = run("import", config, *words)
        assert (done.returncode, "Traceback" in done.stderr) == (1, False), done
        assert said in done.stderr
        assert "secret" not in done.stderr
    assert not (tmp_path / "none.db").exists()


# --- Events

HISTORY = "_replay=log&_since=earliest"


@pytest.mark.parametrize("form", ["parquet", "arrow", "ndjson", "csv", "cloudevents"])
async def test_exported_events_become_an_equal_log(
    hub: Hub, hub_factory: HubFactory, tmp_path: Path, form: str
) -> None:
    url = f"{hub.url}/orders"
    first = {**ROW, "price": 1.05, "extra": {"kept": True}}
    assert (await request("POST", url, json=first))[0] == 201
    post(url, id="b", item="", tags=None)
    post(url, id="b", _method="PUT", count=3, tags="text")
    post(f"{hub.url}/polite", id="c", item="hidden")
    post(url, id="b", _method="DELETE")
    post(url, id="b", item="again", _key="k")
    exported = tmp_path / "history"
    words = ["orders", "--events", "--format", form, "--to", exported]
    output("export", hub.folder / "eventhub.yaml", *words, "--data", hub.folder / "data")
    data = tmp_path / "new" / "data"
    data.parent.mkdir()
    config = written(data.parent, CONFIG)
    parts = [exported] if form == "parquet" else sorted(exported.glob("day=*/*"))
    told = run("import", config, "orders", *parts, "--data", data)
    assert told.stdout == "orders: 6 events imported, 0 are there already\n", told
    again = run("import", config, "orders", *parts, "--data", data)
    assert again.stdout == "orders: 0 events imported, 6 are there already\n"
    new = Hub(config, data.parent, [])
    try:
        new.start()
        for query in (HISTORY, HISTORY + "&_bigint=string", "_sort=id", "_since=earliest"):
            old_answer = await request("GET", f"{hub.url}/orders?{query}")
            assert await request("GET", f"{new.url}/orders?{query}") == old_answer, query
        verified = run("verify", config, "--data", data)
        assert "orders: equal (3 rows, 6 events)" in verified.stdout
        post(f"{new.url}/orders", id="b", _method="PUT", item="goes on")
    finally:
        new.kill()
