"""Any table and any row has a name that a broker cannot misread, and no other has the same."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventhub.channel import (
    MAX_ID_LENGTH,
    Channel,
    checked_id,
    encode_token,
    endpoints_of,
)
from eventhub.columns import Column, Columns, Kind
from eventhub.config import Config, MessageEndpoint
from eventhub.errors import Misconfigured, Rejected


def config(*tables: tuple[str, tuple[Column, ...]]) -> Config:
    endpoints = tuple(
        MessageEndpoint(name=f"e{i}", pattern=f"/{i}", table=table, columns=columns)
        for i, (table, columns) in enumerate(tables)
    )
    return Config(path=Path("hub.yaml"), data=Path("data"), endpoints=endpoints)


@given(st.text())
def test_a_token_has_nothing_that_nats_reads(text: str) -> None:
    token = encode_token(text)
    assert token
    assert not set(token) & set(" .*>/\\\t\r\n")


@given(st.text(), st.text())
def test_two_texts_never_share_a_token(one: str, other: str) -> None:
    assert (encode_token(one) == encode_token(other)) == (one == other)


def test_plain_names_are_their_own_token() -> None:
    channel = Channel("simple", Columns([]))
    assert channel.stream == "EH_simple"
    assert channel.subject("Xjs3k") == "eh.simple.Xjs3k"


@pytest.mark.parametrize(("value", "text"), [("a", "a"), (7, "7"), (1.5, "1.5"), ("x" * 200,) * 2])
def test_an_id_is_text_and_a_number_is_taken_as_its_text(value: object, text: str) -> None:
    assert checked_id(value) == text


@pytest.mark.parametrize(
    "value", [None, "", True, [], {}, "x" * (MAX_ID_LENGTH + 1), "a\nb", "a\x00", "a\x85"]
)
def test_what_is_no_id_is_refused(value: object) -> None:
    with pytest.raises(Rejected) as caught:
        checked_id(value)
    assert caught.value.code == "bad_id"


def test_endpoints_with_one_table_share_the_channel_and_all_columns() -> None:
    one, other = endpoints_of(
        config(("chat", (Column("a"),)), ("chat", (Column("b"), Column("a"))))
    )
    assert one.channel is other.channel
    assert one.channel.columns.names == ("a", "b", "id", "user", "timestamp")
    assert one.name == "e0"


def test_endpoints_with_one_table_may_not_differ_about_a_column() -> None:
    with pytest.raises(Misconfigured, match="e1: column a differs"):
        endpoints_of(config(("chat", (Column("a"),)), ("chat", (Column("a", Kind.INTEGER),))))


@pytest.mark.parametrize("tables", [("Chat", "chat"), ("chat", "chat_history"), ("x_HISTORY", "X")])
def test_tables_that_are_one_to_duckdb_are_refused(tables: Any) -> None:
    with pytest.raises(Misconfigured, match="get in each other's way"):
        endpoints_of(config(*((table, ()) for table in tables)))
