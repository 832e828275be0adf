"""A MessageHandler is described with its own columns, and without files of others."""

from dataclasses import replace

import msgspec

from eventhub.gateway.openapi.messages import Described, fragment_of
from tests.unit.alerts.builders import make_endpoint

COLUMNS = make_endpoint().channel.columns.all
ENTRY = Described("chat", make_endpoint(), COLUMNS, COLUMNS, [], ())


def test_only_the_columns_that_a_client_may_read_are_described() -> None:
    shown = [column for column in ENTRY.columns if column.name != "votes"]
    assert b"votes" in msgspec.json.encode(fragment_of(ENTRY).schemas)
    found = fragment_of(replace(ENTRY, columns=shown, writable=shown))
    text = msgspec.json.encode([found.paths, found.parameters, found.schemas])
    assert b"votes" not in text


def test_messages_have_the_columns_that_a_client_may_write() -> None:
    others = [column for column in COLUMNS if column.name != "votes"]
    for columns, writable, in_rows in ((COLUMNS, others, True), (others, COLUMNS, False)):
        found = fragment_of(replace(ENTRY, columns=columns, writable=writable)).schemas
        assert ("votes" in found["chat.Row"]["properties"]) is in_rows
        for name in ("chat.Message", "chat.Change", "chat.Form"):
            assert ("votes" in found[name]["properties"]) is not in_rows


def test_a_file_that_another_entry_has_is_not_described() -> None:
    paths = fragment_of(replace(ENTRY, taken={"/chat.csv"})).paths
    assert "/chat.csv" not in paths
    assert "/chat.parquet" in paths


def test_a_pattern_that_ends_in_a_slash_has_rows_and_no_files() -> None:
    endpoint = replace(
        ENTRY.endpoint, config=msgspec.structs.replace(ENTRY.endpoint.config, pattern="/chat/")
    )
    assert set(fragment_of(replace(ENTRY, endpoint=endpoint)).paths) == {"/chat/", "/chat/{id}"}
