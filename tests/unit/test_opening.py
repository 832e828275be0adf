"""What a command opens is where the configuration says, and belongs to no running hub."""

from pathlib import Path

import pytest

from eventhub import config
from eventhub.channel import endpoints_of
from eventhub.config import Config
from eventhub.errors import Misconfigured, Rejected
from eventhub.opening import channel_of, channels_of, open_store, projection_path

FILE = """
url:
  notes: {pattern: /notes, handler: MessageHandler, kwargs: {columns: {body: TEXT}}}
  again: {pattern: /again, handler: MessageHandler, kwargs: {table: notes}}
  tasks: {pattern: /tasks, handler: MessageHandler, kwargs: {columns: {body: TEXT}}}
"""


def loaded(folder: Path, more: str = "") -> Config:
    path = folder / "eventhub.yaml"
    path.write_text(more + FILE)
    return config.load(path, environ={})


def test_endpoints_of_one_table_share_a_channel(tmp_path: Path) -> None:
    channels = channels_of(endpoints_of(loaded(tmp_path)))
    assert [channel.name for channel in channels] == ["notes", "tasks"]


def test_a_table_that_does_not_exist_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    assert channel_of(loaded(tmp_path), "tasks").name == "tasks"
    with pytest.raises(Rejected, match=r"has no table .?note.?\W.*notes"):
        channel_of(loaded(tmp_path), "note")


def test_the_tables_are_in_the_data_folder_unless_the_file_names_another(tmp_path: Path) -> None:
    assert projection_path(loaded(tmp_path)) == tmp_path / "data" / "projection.duckdb"
    elsewhere = tmp_path / "elsewhere" / "tables.duckdb"
    named = loaded(tmp_path, f"projection: {{path: '{elsewhere}'}}\n")
    assert projection_path(named) == elsewhere


async def test_tables_are_opened_where_they_can_be_made_and_nowhere_else(tmp_path: Path) -> None:
    named = loaded(tmp_path, f"projection: {{path: '{tmp_path}/new/tables.duckdb'}}\n")
    async with open_store(named, endpoints_of(named)) as store:
        assert set(store.tables) == {"notes", "tasks"}
    impossible = loaded(tmp_path, f"projection: {{path: '{tmp_path}/eventhub.yaml/t.duckdb'}}\n")
    with pytest.raises(Misconfigured, match=r"eventhub\.yaml/t\.duckdb: "):
        async with open_store(impossible, endpoints_of(impossible)):
            pass
