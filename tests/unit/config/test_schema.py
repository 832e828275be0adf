"""The JSON Schema for editors knows the keys that a file may have."""

import json
from textwrap import dedent
from typing import Any

import jsonschema_rs
import pytest
import yaml

from eventhub.config import json_schema
from eventhub.config.tree import InvalidConfiguration
from tests.unit.config.folder import Folder, endpoint

SCHEMA = json_schema()


def kwargs_of(handler: str) -> dict[str, Any]:
    entries = SCHEMA["properties"]["url"]["additionalProperties"]["allOf"]
    by_handler = {each["if"]["properties"]["handler"]["const"]: each["then"] for each in entries}
    found: dict[str, Any] = by_handler[handler]["properties"]["kwargs"]["properties"]
    return found


def test_every_key_of_the_schema_is_one_that_a_file_may_have(folder: Folder) -> None:
    for key in SCHEMA["properties"]:
        assert "unknown key" not in problems(folder, f"{key}:\n")
    for key in kwargs_of("MessageHandler"):
        assert "unknown key" not in problems(folder, endpoint(f"{key}:"))
    for key in kwargs_of("OIDCAuth"):
        entry = f"{{pattern: /in, handler: OIDCAuth, kwargs: {{{key}: x}}}}"
        assert "unknown key" not in problems(folder, f"url: {{in: {entry}}}")
    for key in SCHEMA["$defs"]["Broker"]["properties"]:
        assert "unknown key" not in problems(folder, f"broker: {{{key}: x}}")


def problems(folder: Folder, text: str) -> str:
    try:
        folder.load(text)
    except InvalidConfiguration as error:
        return error.message
    return ""


def test_schema_has_bounds_words_and_files_of_secrets() -> None:
    port = SCHEMA["$defs"]["Server"]["properties"]["port"]
    assert {"type": "integer", "minimum": 0, "maximum": 65535, "default": 8080} in port["anyOf"]
    assert "password_file" in SCHEMA["$defs"]["EmailService"]["properties"]
    assert "smtp" in SCHEMA["$defs"]["EmailService"]["properties"]["type"]["enum"]
    assert "alert" in kwargs_of("MessageHandler")


RIGHT = [
    "methods: 'POST, PUT'",
    "to: [ann@example.org]\n  condition: user=ann",
    "notify: true\n  to if 1 < 2: ann@example.org",
]
"""What an `alert:` may contain."""


def errors(text: str) -> list[list[str | int]]:
    """Return the keys that lead to each value that an editor marks."""
    loaded = yaml.load(dedent(text), yaml.BaseLoader)
    found = jsonschema_rs.validator_for(SCHEMA).iter_errors(loaded)
    return [list(error.instance_path) for error in found]


@pytest.mark.parametrize("alert", RIGHT)
def test_an_editor_marks_nothing_in_a_right_file(folder: Folder, alert: str) -> None:
    text = endpoint(f"cors: x\ntable if 1 < 2: x\nalert:\n  {alert}")
    assert problems(folder, text) == ""
    assert errors(text) == []
    assert errors("url: {form: {pattern: /form, handler: FormHandler, kwargs: {x: y}}}") == []


def test_an_editor_marks_the_wrong_key_alone() -> None:
    kwargs = ["url", "chat", "kwargs"]
    assert errors(endpoint("colums: x")) == [kwargs]
    assert errors(endpoint("alert: {too: x}")) == [[*kwargs, "alert"]]
    assert errors(endpoint("rules: {reed: own}")) == [[*kwargs, "rules"]]
    assert errors("server: {prot: x}") == [["server"]]
    assert errors("url: {a: {patern: /a, handler: MessageHandler}}") == [["url", "a"]] * 2


def test_every_reference_of_the_schema_leads_somewhere() -> None:
    parts = json.dumps(SCHEMA).split('"#/$defs/')[1:]
    assert {part.partition('"')[0] for part in parts} <= SCHEMA["$defs"].keys()
