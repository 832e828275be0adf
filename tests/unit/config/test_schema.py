"""The JSON Schema for editors knows the keys that a file may have."""

import json
from typing import Any

from eventhub.config import json_schema
from eventhub.config.tree import InvalidConfiguration
from tests.unit.config.folder import Folder, endpoint

SCHEMA = json_schema()


def kwargs_of(handler: str) -> dict[str, Any]:
    entries = SCHEMA["properties"]["url"]["additionalProperties"]["anyOf"]
    by_handler = {each["properties"]["handler"].get("const"): each for each in entries}
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


def test_every_reference_of_the_schema_leads_somewhere() -> None:
    parts = json.dumps(SCHEMA).split('"#/$defs/')[1:]
    assert {part.partition('"')[0] for part in parts} <= SCHEMA["$defs"].keys()
