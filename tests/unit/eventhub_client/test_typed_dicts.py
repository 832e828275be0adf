"""A JSON Schema becomes a module that Python reads, whatever its columns are called."""

from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventhub_client.typed_dicts import module_of, type_of

URL = "http://hub/messages"


def made(schema: dict[str, Any]) -> dict[str, Any]:
    """Return what a module defines."""
    names: dict[str, Any] = {}
    exec(module_of({"$defs": {"Row": schema}}, URL), names)
    return names


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ({"type": "string", "format": "date"}, "str"),
        ({"type": ["integer", "string", "null"]}, "int | str | None"),
        ({"type": ["number", "boolean"]}, "float | bool"),
        ({"type": "array", "items": {"type": "integer"}}, "list[int]"),
        ({"type": "object"}, "dict[str, Any]"),
        ({"const": "POST"}, "Literal['POST']"),
        ({"enum": ["a", 1, None]}, "Literal['a', 1, None]"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "str | None"),
        ({}, "Any"),
        ({"type": "a kind of a newer draft"}, "Any"),
    ],
)
def test_a_schema_is_the_type_of_its_values(schema: dict[str, Any], kind: str) -> None:
    assert type_of(schema) == kind


def test_keys_that_are_not_required_may_be_left_out() -> None:
    schema = {"properties": {"a": {"type": "string"}, "b": {}}, "required": ["a"], "title": "x"}
    row = made(schema)["Row"]
    assert (row.__required_keys__, row.__optional_keys__) == ({"a"}, {"b"})
    assert get_type_hints(row)["a"] is str


NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1) | st.sampled_from(
    ["class", "the body", 'a"b', "a\\", "None", '"""']
)


@given(st.lists(NAMES, unique=True), NAMES)
def test_any_name_of_a_column_and_any_title_make_a_module(names: list[str], title: str) -> None:
    schema = {"properties": {name: {"type": "string"} for name in names}, "title": title}
    assert set(made(schema)["Row"].__optional_keys__) == set(names)


@pytest.mark.parametrize("schema", [{}, {"$defs": {}}, {"$defs": 3}])
def test_what_is_no_schema_of_an_endpoint_is_an_error(schema: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="is not an endpoint of a hub"):
        module_of(schema, URL)
