"""Tables follow their columns: a new column is added, and any other change rebuilds them."""

from pathlib import Path

import duckdb
import pytest

from eventhub.channel import Channel
from eventhub.columns import Column, Columns, Kind
from eventhub.errors import Misconfigured
from eventhub.event import StoredEvent
from eventhub.filters.sql import quoted
from projections.store import Store
from tests.projecting import history

TEXT = Column("text", default="it's \u2028")
PLAIN = Channel("chat", Columns([TEXT]))
EVENTS = history(
    PLAIN, [("POST", "a", {"text": "hi"}), ("POST", "b", {"text": "ho"}), ("DELETE", "a", {})]
)


async def stored(path: Path, channel: Channel, events: list[StoredEvent]) -> None:
    """Store events in the tables of a channel, and close the file."""
    async with Store(path, [channel]) as store:
        await store.append(channel.name, events)


def table(path: Path, name: str, columns: str) -> list[tuple[object, ...]]:
    """Read a table of a closed file, in order of `_seq`."""
    with duckdb.connect(path, read_only=True) as connection:
        return connection.execute(f"SELECT {columns} FROM {quoted(name)} ORDER BY _seq").fetchall()


@pytest.mark.parametrize(
    ("added", "old_value"),
    [
        (Column("votes", Kind.INTEGER), None),
        (Column("votes", Kind.INTEGER, default=-3), -3),
        (Column("votes", Kind.REAL, default=0.1), 0.1),
        (Column("votes", Kind.BOOLEAN, default=True), True),
        (Column("votes", default="it's \u2028"), "it's \u2028"),
        (Column("votes", Kind.JSON, default={"a": [1]}), '{"a":[1]}'),
    ],
)
async def test_an_added_column_has_its_default_in_old_rows(
    tmp_path: Path, added: Column, old_value: object
) -> None:
    path = tmp_path / "p.duckdb"
    await stored(path, PLAIN, EVENTS)
    wider = Channel("chat", Columns([added, TEXT]))
    async with Store(path, [wider]) as store:
        assert store.progress("chat").watermark == 3
        await store.append("chat", history(wider, [("POST", "c", {})], first=4))
    expected = [("b", "ho", old_value), ("c", TEXT.default, old_value)]
    assert table(path, "chat", "id, text, votes") == expected
    assert table(path, "chat_history", "_seq, votes") == [
        (1, old_value),
        (2, old_value),
        (3, None),  # a DELETE has no row after
        (4, old_value),
    ]


async def test_an_added_column_that_others_may_have_written_is_read_from_the_log(
    tmp_path: Path,
) -> None:
    """As of a gateway that is upgraded after another one."""
    path, wider = tmp_path / "p.duckdb", Channel("chat", Columns([Column("mood"), TEXT]))
    events = history(wider, [("POST", "a", {"text": "hi", "mood": "good"})])
    await stored(path, PLAIN, events)
    async with Store(path, [wider], adds_columns=False) as store:
        assert store.progress("chat").head == 0
        await store.append("chat", events)
    assert table(path, "chat", "id, text, mood") == [("a", "hi", "good")]
    async with Store(path, [wider], adds_columns=False) as store:
        assert store.progress("chat").head == 1


@pytest.mark.parametrize(
    "columns",
    [
        [Column("text", Kind.INTEGER)],
        [Column("text", default="other")],
        [Column("renamed")],
        [],
    ],
    ids=["type", "default", "name", "gone"],
)
async def test_any_other_change_starts_over_with_empty_tables(
    tmp_path: Path, columns: list[Column]
) -> None:
    await stored(tmp_path / "p", PLAIN, EVENTS)
    async with Store(tmp_path / "p", [Channel("chat", Columns(columns))]) as store:
        progress = store.progress("chat")
    assert (progress.epoch, progress.head, progress.watermark) == ("", 0, 0)
    assert table(tmp_path / "p", "chat_history", "_seq") == []
    assert table(tmp_path / "p", "chat", "_seq") == []


async def test_nullability_and_order_of_columns_do_not_change_the_tables(tmp_path: Path) -> None:
    two = [TEXT, Column("votes", Kind.INTEGER)]
    strict = [Column("votes", Kind.INTEGER, nullable=False), TEXT]
    events = history(Channel("chat", Columns(two)), [("POST", "a", {"text": "x", "votes": 7})])
    await stored(tmp_path / "p", Channel("chat", Columns(two)), events)
    await stored(tmp_path / "p", Channel("chat", Columns(strict)), [])
    assert table(tmp_path / "p", "chat", "id, text, votes") == [("a", "x", 7)]


@pytest.mark.parametrize(
    "name",
    [
        "select",
        'a "b"; DROP TABLE c --',
        "Größe 表 \U0001f600",
        "main",
        "it's",
        "$",
        "$.row",
        "/row/id",
        "a.b[0]['c']",
        "*",
        "#-1",
        "~0~1",
        "\\",
        "event",
        "row",
        "payload",
        "sequence",
        "time",
    ],
)
async def test_any_text_can_be_the_name_of_a_table_and_a_column(tmp_path: Path, name: str) -> None:
    channel = Channel(name, Columns([Column(name)]))
    events = history(channel, [("POST", "a", {name: "1"}), ("PUT", "a", {name: "2"})])
    await stored(tmp_path / "p", channel, events)
    assert table(tmp_path / "p", name, quoted(name)) == [("2",)]
    assert table(tmp_path / "p", f"{name}_history", quoted(name)) == [("1",), ("2",)]


@pytest.mark.parametrize(
    "channel", [Channel("_Checkpoint", Columns([])), Channel("t", Columns([Column("ID")]))]
)
def test_names_that_duckdb_cannot_tell_apart_are_refused(channel: Channel) -> None:
    with pytest.raises(Misconfigured, match=channel.name):
        Store(Path("never made"), [channel])
