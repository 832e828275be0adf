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
def test_token_contains_nothing_that_nats_interprets(text: str) -> None:
    token = encode_token(text)
    assert token
    assert not set(token) & set(" .*>/\\\t\r\n")


@given(st.text(), st.text())
def test_two_texts_never_have_the_same_token(one: str, other: str) -> None:
    assert (encode_token(one) == encode_token(other)) == (one == other)


def test_plain_name_is_its_own_token() -> None:
    channel = Channel("simple", Columns([]))
    assert channel.stream == "EH_simple"
    assert channel.subject("Xjs3k") == "eh.simple.Xjs3k"


@pytest.mark.parametrize(("value", "text"), [("a", "a"), (7, "7"), (1.5, "1.5"), ("x" * 200,) * 2])
def test_number_as_an_id_becomes_its_text(value: object, text: str) -> None:
    assert checked_id(value) == text


@pytest.mark.parametrize(
    "value", [None, "", True, [], {}, "x" * (MAX_ID_LENGTH + 1), "a\nb", "a\x00", "a\x85"]
)
def test_invalid_id_is_refused(value: object) -> None:
    with pytest.raises(Rejected) as caught:
        checked_id(value)
    assert caught.value.code == "bad_id"


def test_endpoints_of_one_table_share_a_channel_with_all_columns() -> None:
    one, other = endpoints_of(
        config(("chat", (Column("a"),)), ("chat", (Column("b"), Column("a"))))
    )
    assert one.channel is other.channel
    assert one.channel.columns.names == ("a", "b", "id", "user", "timestamp")
    assert one.name == "e0"


def test_endpoints_of_one_table_that_declare_a_column_differently_are_refused() -> None:
    with pytest.raises(Misconfigured, match="declared differently"):
        endpoints_of(config(("chat", (Column("a"),)), ("chat", (Column("a", Kind.INTEGER),))))


@pytest.mark.parametrize("tables", [("Chat", "chat"), ("chat", "chat_history"), ("x_HISTORY", "X")])
def test_tables_with_the_same_name_in_duckdb_are_refused(tables: Any) -> None:
    with pytest.raises(Misconfigured, match="clash"):
        endpoints_of(config(*((table, ()) for table in tables)))
