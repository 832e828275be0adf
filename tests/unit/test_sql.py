"""The process of a SQLHandler gets to know its own tables, and where the log is; nothing else."""

from pathlib import Path
from typing import Any

import pytest

from eventhub.channel import Channel
from eventhub.columns import Column, Columns
from eventhub.config import Broker, Config, SqlEndpoint
from eventhub.sql import _setup, sql_processes
from projections.sql.messages import Setup

CHANNELS = {name: Channel(name, Columns([Column("text")])) for name in ("notes", "secret")}


def setup_of(broker: Broker, **entry: Any) -> Setup:
    endpoint = SqlEndpoint(name="ask", pattern="/ask", **entry)
    config = Config(path=Path("hub.yaml"), data=Path("/data"), broker=broker, endpoints=(endpoint,))
    return _setup(config, None, CHANNELS, endpoint)


@pytest.mark.parametrize(
    ("tables", "names"), [("all", ["notes", "secret"]), (["notes"], ["notes"])]
)
def test_a_process_knows_its_tables_with_their_columns(tables: Any, names: list[str]) -> None:
    setup = setup_of(Broker(url="nats://a"), tables=tables)
    assert [table.name for table in setup.tables] == names
    assert Columns(setup.tables[0].columns).signature == CHANNELS["notes"].columns.signature


def test_a_process_logs_in_as_the_hub_does() -> None:
    broker = Broker(url=["nats://a", "nats://b"], user="hub", password="secret")
    setup = setup_of(broker)
    assert (setup.servers, setup.user, setup.password) == (broker.url, "hub", "secret")
    assert setup_of(Broker(url="nats://a", token="t")).token == "t"


def test_a_process_has_a_folder_and_limits_of_its_own() -> None:
    setup = setup_of(Broker(url="nats://a"))
    assert setup.folder == "/data/sql/ask"
    assert (setup.seconds, setup.rows, setup.memory_bytes) == (30.0, 1_000_000, 1 << 30)


def test_each_handler_has_a_process() -> None:
    entries = tuple(SqlEndpoint(name=name, pattern=f"/{name}") for name in ("a", "b"))
    config = Config(
        path=Path("h.yaml"), data=Path("d"), broker=Broker(url="nats://a"), endpoints=entries
    )
    assert set(sql_processes(config, None, CHANNELS.values())) == {"a", "b"}
