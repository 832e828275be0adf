"""`eventhub export` writes files that need no hub, while a hub runs and without one."""

import json
from datetime import date
from decimal import Decimal
from pathlib import Path

import duckdb
import pandas
import polars
import pyarrow.dataset
import pyarrow.parquet
import pytest

from tests.e2e.command import post, refused, run, written
from tests.e2e.hub import Hub, HubFactory

CONFIG = """
url:
  orders:
    pattern: /orders
    handler: MessageHandler
    kwargs:
      columns:
        item: TEXT
        count: INTEGER
        price: DECIMAL(12,2)
        paid: BOOLEAN
        due: DATE
"""
BIG = 2**62 + 1


@pytest.fixture
def hub(hub_factory: HubFactory) -> Hub:
    started = hub_factory(CONFIG)
    url = f"{started.url}/orders"
    post(url, id="a", item="tea", count=BIG, price=1.25, paid=True, due="2026-12-24")
    post(url, id="b", item="")
    post(url, _method="PUT", id="b", count=3)
    post(url, id="c", item="gone")
    post(url, _method="DELETE", id="c")
    return started


def export(hub: Hub, *words: object) -> str:
    file = hub.folder / "eventhub.yaml"
    done = run("export", file, "orders", *words, "--data", hub.folder / "data")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("hub_runs", [True, False])
def test_rows_and_events_are_read_without_the_hub(hub: Hub, tmp_path: Path, hub_runs: bool) -> None:
    if not hub_runs:
        hub.stop()
    rows, events = tmp_path / "rows.parquet", tmp_path / "events"
    assert export(hub, "--to", rows).startswith("orders: 2 rows up to ")
    assert export(hub, "--events", "--to", events).startswith("orders: 5 events up to ")
    first = ("a", "tea", BIG, Decimal("1.25"), True, date(2026, 12, 24))
    second = ("b", "", 3, None, None, None)
    names = ["id", "item", "count", "price", "paid", "due"]
    found = duckdb.connect().execute(f"SELECT {', '.join(names)} FROM '{rows}'").fetchall()
    assert found == [first, second]
    assert polars.read_parquet(rows).select(names).rows() == [first, second]
    frame = pandas.read_parquet(rows, dtype_backend="pyarrow")[names]
    assert next(frame.itertuples(index=False, name=None)) == first
    table = pyarrow.parquet.read_table(rows, columns=names)
    assert [tuple(each.values()) for each in table.to_pylist()] == [first, second]
    methods = ["POST", "POST", "PUT", "POST", "DELETE"]
    pattern = f"{events}/*/*.parquet"
    sql = f"SELECT _method, typeof(day) FROM '{pattern}' ORDER BY _seq"
    assert duckdb.connect().execute(sql).fetchall() == [(each, "DATE") for each in methods]
    assert polars.scan_parquet(pattern).sort("_seq").collect()["_method"].to_list() == methods
    # Files that are no Parquet, as the manifest, are passed over only if it is said.
    read = pyarrow.dataset.dataset(events, partitioning="hive", exclude_invalid_files=True)
    assert read.to_table().sort_by("_seq")["_method"].to_pylist() == methods
    assert len(pandas.read_parquet(sorted(events.glob("*/*.parquet"))[0])) == 5


def test_every_format_holds_the_same_rows(hub: Hub, tmp_path: Path) -> None:
    for suffix in ("arrow", "ndjson", "csv"):
        export(hub, "--to", tmp_path / f"rows.{suffix}", "--where", "item=tea")
    assert polars.read_ipc(tmp_path / "rows.arrow")["count"].to_list() == [BIG]
    [line] = (tmp_path / "rows.ndjson").read_text().splitlines()
    assert json.loads(line)["count"] == BIG
    assert f'"tea",{BIG},1.25,true,2026-12-24,"a"' in (tmp_path / "rows.csv").read_text()
    export(hub, "--events", "--format", "cloudevents", "--to", tmp_path / "all")
    [part] = (tmp_path / "all").glob("day=*/*.json")
    assert [each["type"] for each in json.loads(part.read_text())][-1] == "eventhub.row.deleted"


def test_a_folder_is_brought_up_to_date(hub: Hub, tmp_path: Path) -> None:
    for what in ("--rows", "--events"):
        export(hub, what, "--to", tmp_path / what)
    post(f"{hub.url}/orders", id="d", item="new")
    for what, total in (("--rows", 3), ("--events", 6)):
        told = export(hub, what, "--to", tmp_path / what, "--continue")
        assert told.startswith(f"orders: {total} {what[2:]} up to ")
    assert duckdb.connect().execute(
        f"SELECT count(*) FROM '{tmp_path}/--events/*/*.parquet'"
    ).fetchall() == [(6,)]
    assert len(pandas.read_parquet(tmp_path / "--rows" / "rows.parquet")) == 3


def test_what_cannot_be_exported_is_named(tmp_path: Path) -> None:
    file = written(tmp_path, CONFIG)
    (tmp_path / "file").touch()
    wrong: dict[tuple[object, ...], str] = {
        ("order", "--to", "x"): "has no table 'order': did you mean orders? (bad_request)",
        ("orders", "--to", "x", "--where", "prise=3"): "did you mean price",
        ("orders", "--to", "x", "--events", "--since", "monday"): "--since: 'monday' is no time",
        ("orders", "--to", "x.csv", "--continue"): "--continue adds files to a folder",
    }
    for words, said in wrong.items():
        words = tuple(tmp_path / word if word in ("x", "x.csv") else word for word in words)
        assert said in refused(1, run("export", file, *words))
    assert sorted(each.name for each in tmp_path.iterdir()) == ["data", "eventhub.yaml", "file"]
