"""A SQLHandler is described with the body that it reads, and the formats that it has."""

import jsonschema_rs
from msgspec.structs import replace

from eventhub.config import SqlEndpoint, SqlLimits
from eventhub.gateway import sql
from eventhub.gateway.openapi.queries import fragment_of

ENTRY = SqlEndpoint(name="sql", pattern="/sql")


def test_the_body_is_the_one_that_is_read() -> None:
    post = fragment_of("sql", ENTRY, [], ()).paths["/sql"]["post"]
    schema = post["requestBody"]["content"]["application/json"]["schema"]
    assert jsonschema_rs.is_valid(schema, {"sql": "SELECT 1", "params": {"a": 1}, "rows": 0})
    assert not jsonschema_rs.is_valid(schema, {"sql": "SELECT 1", "other": 1})
    assert not jsonschema_rs.is_valid(schema, {"rows": 1})


def test_every_format_is_described() -> None:
    get = fragment_of("sql", ENTRY, [], ()).paths["/sql"]["get"]
    kinds = {kind.partition(";")[0] for kind in sql.CONTENT.values()} | {"text/html"}
    assert set(get["responses"]["200"]["content"]) == kinds
    formats = [
        each["schema"]["enum"] for each in get["parameters"] if each.get("name") == "_format"
    ]
    assert formats == [list(sql.FORMATS)]
    assert set(sql.FORMATS) == {*sql.CONTENT, "html"}


def test_a_file_that_another_entry_has_is_not_described() -> None:
    assert "/sql.csv" not in fragment_of("sql", ENTRY, [], {"/sql.csv"}).paths


def test_operations_say_the_limits_of_their_handler() -> None:
    limits = SqlLimits(rows=7, seconds=2, memory="512MiB")
    paths = fragment_of("sql", replace(ENTRY, limits=limits), [], ()).paths
    said = [each["x-limits"] for members in paths.values() for each in members.values()]
    assert said == [{"rows": 7, "seconds": 2, "memory": "512MiB"}] * len(said)
    assert len(said) > 2
