"""Schema: what a file may contain as a JSON Schema, for editors that complete and check YAML.

It is wider than `eventhub check`, which has the last word: any value may be text with a variable.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from eventhub.columns import TYPES
from eventhub.config.handlers import (
    HANDLERS,
    Alert,
    FileEndpoint,
    LogoutEndpoint,
    MessageEndpoint,
    OidcEndpoint,
    SimpleAuthEndpoint,
    SqlEndpoint,
)
from eventhub.config.handlers.alert import GRAMEX_ALERT
from eventhub.config.handlers.entry import GRAMEX_ENTRY, GRAMEX_KWARGS
from eventhub.config.loader import GRAMEX_SECTIONS, SECTIONS
from eventhub.config.reading import IN_FILES
from eventhub.config.settings import Archive, Console, EmailService

_ENDPOINTS = {
    each.__struct_config__.tag: each
    for each in (
        MessageEndpoint,
        FileEndpoint,
        SqlEndpoint,
        SimpleAuthEndpoint,
        OidcEndpoint,
        LogoutEndpoint,
    )
}
_CONDITIONAL: dict[str, Any] = {r"\sif\s": {}}
"""Keys with a condition, which are not checked."""
_VARIABLE = {"type": "string", "pattern": r"\$"}
_TEXTS = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
_COLUMN = {
    "anyOf": [
        {"type": "string", "examples": list(TYPES)},
        {
            "type": "object",
            "properties": {
                "type": {"type": "string"},
                "nullable": {"type": "boolean"},
                "default": {},
            },
        },
    ]
}
_AS_WRITTEN: dict[str, Any] = {
    "columns": {"type": "object", "additionalProperties": _COLUMN},
    "credentials": {"type": "object", "additionalProperties": {"type": ["string", "object"]}},
    "users_file": {"type": "string"},
    "client_secret_file": {"type": "string"},
    "scope": _TEXTS,
    "attributes": {"type": ["array", "object"], "items": {"type": "string"}},
    "message_default": {"type": "object", "additionalProperties": {"type": "object"}},
    "url": {"type": "string"},
    "path": {"type": "string"},
    "default": {"type": "object"},
    "headers": {"type": "object"},
    "origins": _TEXTS,
    "tables": _TEXTS,
    "timestamps": _TEXTS,
}
"""Keys of `kwargs:` that a file writes in another form than the structs hold them."""


def json_schema() -> dict[str, Any]:
    """Return the schema of a configuration file (JSON Schema, draft 2020-12)."""
    sections = {
        **SECTIONS,
        "archive": Archive,
        "console": Console,
        "service": EmailService,
        "alert": Alert,
    }
    structs = [*sections.values(), *_ENDPOINTS.values()]
    found, definitions = msgspec.json.schema_components(
        structs, schema_hook=lambda _: {"type": "string"}, ref_template="#/$defs/{name}"
    )
    references = dict(zip([*sections, *_ENDPOINTS], found, strict=True))
    entries = [_entry(name, definitions) for name in HANDLERS]
    definitions["Alert"]["properties"]["methods"] = _TEXTS
    definitions["Alert"]["properties"] |= _without_effect(GRAMEX_ALERT)
    for name in (*(kind.__name__ for kind in _ENDPOINTS.values()), "Column", "Digits"):
        definitions.pop(name, None)
    for definition in definitions.values():
        _add_files(definition)
        definition["patternProperties"] = _CONDITIONAL
    named = (*SECTIONS, "archive", "console")
    properties: dict[str, Any] = {name: references[name] for name in named}
    properties["email"] = {"type": "object", "additionalProperties": references["service"]}
    properties["variables"] = {"type": "object"}
    properties["import"] = {}
    handler = {"anyOf": [{"enum": [*HANDLERS]}, {"type": "string"}]}
    entry = {"type": "object", "properties": {"handler": handler}, "allOf": entries}
    entry["required"] = ["handler"]
    properties["url"] = {"type": "object", "additionalProperties": entry}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of EventHub",
        "type": "object",
        "properties": {**_without_effect(GRAMEX_SECTIONS), **_wide(properties)},
        "patternProperties": _CONDITIONAL,
        "additionalProperties": False,
        "$defs": {name: _wide(definition) for name, definition in definitions.items()},
    }


def _entry(handler: str, definitions: dict[str, Any]) -> dict[str, Any]:
    """Return what holds for an entry of `url:` if it has this handler.

    A condition on the handler, not a choice of whole entries: an editor marks the wrong key then,
    instead of the entry.
    """
    known = definitions[_ENDPOINTS[handler].__name__]["properties"]
    kwargs = {
        key: _AS_WRITTEN.get(key, known.get(key, {})) for key in sorted(HANDLERS[handler].keys)
    }
    inside = {
        "type": "object",
        "properties": {**_without_effect(GRAMEX_KWARGS), **kwargs},
        "patternProperties": _CONDITIONAL,
        "additionalProperties": False,
    }
    keys = {"pattern": {"type": "string"}, "handler": {}, "kwargs": inside}
    return {
        "if": {"properties": {"handler": {"const": handler}}, "required": ["handler"]},
        "then": {
            "properties": {**_without_effect(GRAMEX_ENTRY), **keys},
            "patternProperties": _CONDITIONAL,
            "additionalProperties": False,
            "required": ["pattern"],
        },
    }


def _without_effect(keys: Iterable[str]) -> dict[str, Any]:
    """Return the schemas of keys that only Gramex has."""
    return {key: {"deprecated": True, "description": "Without effect."} for key in sorted(keys)}


def _add_files(definition: dict[str, Any]) -> None:
    """Add `password_file` and the like, which replace a value."""
    properties = definition.get("properties", {})
    for key in IN_FILES & properties.keys():
        properties[f"{key}_file"] = {"type": "string", "description": f"The file that holds {key}."}
    required = [key for key in definition.get("required", ()) if key not in IN_FILES]
    definition["required"] = required


def _wide(schema: Any) -> Any:
    """Return a schema whose numbers and truth values may be text with a variable, too."""
    if isinstance(schema, list):
        return [_wide(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    wide = {key: _wide(value) for key, value in schema.items()}
    if schema.get("type") in ("integer", "number", "boolean"):
        return {"anyOf": [wide, _VARIABLE]}
    return wide
