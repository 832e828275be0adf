"""What `?_schema` describes is what the client may read and write, and JSON Schema itself."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from eventhub.columns import Column, Columns, Kind
from eventhub.config import ColumnRule, MessageEndpoint, Rules
from eventhub.gateway.openapi.table_schema import schema_of
from eventhub.gateway.openapi.values import Json
from tests.unit.gateway.serving import running

COLUMNS = Columns(
    [
        Column("body", nullable=False),
        Column("topic", nullable=False),
        Column("status", nullable=False, default="open"),
        Column("points", Kind.INTEGER, default=3),
    ]
).all
ENTRY = MessageEndpoint(
    name="tasks", pattern="/tasks", table="tasks", message_default={"POST": {"topic": "'Help'"}}
)


def validator(schema: Json, name: str) -> Any:
    """Return what checks a value by one definition of the document."""
    return jsonschema_rs.validator_for({**schema, "$ref": f"#/$defs/{name}"})


@pytest.fixture
def schema() -> Json:
    return schema_of(ENTRY, readable=COLUMNS, writable=COLUMNS)


def test_the_document_is_json_schema_and_describes_a_row(schema: Json) -> None:
    jsonschema_rs.meta.validate(schema)
    row = {"body": "x", "topic": "Help", "status": "open", "points": 3}
    row |= {"id": "a", "user": None, "timestamp": "2026-11-23T10:00:00"}
    assert jsonschema_rs.is_valid(schema, row)
    assert not jsonschema_rs.is_valid(schema, {**row, "other": 1})
    del row["points"]
    assert not jsonschema_rs.is_valid(schema, row)


def test_a_post_needs_what_neither_a_default_nor_the_configuration_gives(schema: Json) -> None:
    post = validator(schema, "Post")
    assert post.is_valid({"body": "x"})
    assert not post.is_valid({"topic": "Help"})
    assert schema["$defs"]["Post"]["properties"]["points"]["default"] == 3


def test_a_put_needs_the_id_and_sets_no_default(schema: Json) -> None:
    put = validator(schema, "Put")
    assert put.is_valid({"id": "a", "points": 4})
    assert not put.is_valid({"points": 4})
    assert not put.is_valid({"id": "a", "_method": "POST"})
    assert "default" not in schema["$defs"]["Put"]["properties"]["points"]


def test_keys_that_begin_with_an_underscore_are_controls(schema: Json) -> None:
    post = validator(schema, "Post")
    assert post.is_valid({"body": "x", "_key": "k", "_ref": [1], "other": 1})
    assert not post.is_valid({"body": "x", "_kye": "k"})


def test_a_strict_endpoint_takes_no_other_keys() -> None:
    entry = msgspec.structs.replace(ENTRY, unknown="refuse")
    strict = schema_of(entry, readable=COLUMNS, writable=COLUMNS)
    assert not validator(strict, "Post").is_valid({"body": "x", "other": 1})


def test_a_message_that_is_not_stored_needs_nothing_and_has_no_other_controls() -> None:
    assert "Send" not in schema_of(ENTRY, readable=COLUMNS, writable=COLUMNS)["$defs"]
    entry = msgspec.structs.replace(ENTRY, send=True)
    send = validator(schema_of(entry, readable=COLUMNS, writable=COLUMNS), "Send")
    assert send.is_valid({"_method": "SEND", "topic": "Help", "_ref": 1})
    assert send.is_valid({})
    assert not send.is_valid({"_method": "POST"})
    assert not send.is_valid({"_key": "k"})


def test_of_the_audit_trail_only_rows_are_described() -> None:
    entry = MessageEndpoint(name="audit", pattern="/audit", table="_audit")
    assert set(schema_of(entry, readable=COLUMNS, writable=COLUMNS)["$defs"]) == {"Row"}


@dataclass
class Case:
    """Which of the columns of `builders.channel` a rule leaves to a client."""

    rule: ColumnRule
    is_read: bool
    is_written: bool


@pytest.mark.parametrize(
    "case",
    [
        Case(ColumnRule(), is_read=True, is_written=True),
        Case(ColumnRule(read="none"), is_read=False, is_written=False),
        Case(ColumnRule(write="none"), is_read=True, is_written=False),
        Case(ColumnRule(read="none", write="any"), is_read=False, is_written=True),
    ],
)
async def test_a_client_gets_the_columns_that_it_may_read_and_write(
    tmp_path: Path, case: Case
) -> None:
    async with running(tmp_path, rules=Rules(columns={"votes": case.rule})) as served:
        async with served.http.get(f"{served.url}?_schema") as answer:
            assert answer.status == 200
            assert answer.content_type == "application/schema+json"
            defined = msgspec.json.decode(await answer.read())["$defs"]
        assert ("votes" in defined["Row"]["properties"]) is case.is_read
        assert ("votes" in defined["Row"]["required"]) is case.is_read
        for name in ("Post", "Put"):
            assert ("votes" in defined[name]["properties"]) is case.is_written


@pytest.mark.parametrize(
    ("path", "column"),
    [
        ("?_schema=rows", "_schema"),
        ("?_schema&_limit=1", "_limit"),
        ("?_schema&vots=1", "vots"),
        ("/r1?_schema", "_schema"),
        (".csv?_schema", "_schema"),
        ("?_schema&_since=now", "_since"),
    ],
)
async def test_what_has_no_effect_on_a_schema_is_refused(
    tmp_path: Path, path: str, column: str
) -> None:
    async with running(tmp_path) as served, served.http.get(served.url + path) as answer:
        assert answer.status == 400
        assert (await answer.json())["_error"]["column"] == column


async def test_the_columns_that_open_picks_are_described(tmp_path: Path) -> None:
    async with (
        running(tmp_path, open="args.update(_c=['text'])") as served,
        served.http.get(f"{served.url}?_schema") as answer,
    ):
        defined = msgspec.json.decode(await answer.read())["$defs"]
    assert list(defined["Row"]["properties"]) == ["text"]
    assert "votes" not in defined["Post"]["properties"]
