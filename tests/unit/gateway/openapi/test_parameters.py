"""The arguments that are described are those that the hub understands, and all of them."""

import pytest

from eventhub.columns import Column, Columns, Kind
from eventhub.errors import Rejected
from eventhub.filters.arguments import CONTROLS
from eventhub.filters.comparisons import OPERATORS, test_of
from eventhub.filters.query import parse
from eventhub.gateway.controls import CHOICES, HONOURED, Surface
from eventhub.gateway.openapi import parameters

COLUMNS = Columns([Column(kind.name.lower(), kind) for kind in Kind])
OF_TABLE = parameters.of_table("chat", COLUMNS.all)
_condition = test_of  # its name would make pytest take it for a test
del test_of


def test_every_control_of_a_url_is_described() -> None:
    described = {each["name"] for each in parameters.shared().values() if each["in"] == "query"}
    assert described | set(parameters.OF_TABLE) == set(CONTROLS)
    for name, choices in CHOICES.items():
        assert parameters.shared()[name]["schema"] == {"enum": list(choices)}


@pytest.mark.parametrize("surface", Surface)
def test_a_way_to_read_has_the_controls_that_it_honours(surface: Surface) -> None:
    found = {each["$ref"].rpartition("/")[2] for each in parameters.of_surfaces("k", surface)}
    own = {f"k.{name}" if name in parameters.OF_TABLE else name for name in HONOURED[surface]}
    assert found == {"k.filter", *own}


def test_every_condition_that_is_described_is_one_and_no_other_is() -> None:
    described = set(OF_TABLE["chat.filter"]["schema"]["properties"])
    for column in COLUMNS:
        for operator in OPERATORS[Kind.TEXT]:
            key = f"{column.name}{operator}"
            try:
                _condition(key, COLUMNS)
            except Rejected:
                # Whether a JSON column is NULL is asked without a value.
                is_bare = column.kind is Kind.JSON and operator in ("", "!")
                assert (key in described) is is_bare, key
            else:
                assert key in described, key


def test_values_inside_of_json_are_described() -> None:
    (pattern,) = OF_TABLE["chat.filter"]["schema"]["patternProperties"]
    assert pattern.startswith(r"^json\.")


def test_what_sorts_and_picks_is_described() -> None:
    for name in ("_sort", "_c"):
        for value in OF_TABLE[f"chat.{name}"]["schema"]["items"]["enum"]:
            parse({name: [value]}, COLUMNS, "refuse")


def test_headers_of_answers_are_described_once() -> None:
    assert parameters.response_headers("ETag") == {"ETag": {"$ref": "#/components/headers/ETag"}}
    assert {"ETag", "Retry-After", "EventHub-Position"} <= parameters.headers().keys()
    assert parameters.path_id()["required"]
