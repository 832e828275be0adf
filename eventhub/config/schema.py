"""Schema: what a file may contain as a JSON Schema, for editors that complete and check YAML.

It is wider than `eventhub check`, which has the last word: any value may be text with a variable.
"""

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
    for name in (*(kind.__name__ for kind in _ENDPOINTS.values()), "Column", "Digits"):
        definitions.pop(name, None)
    for definition in definitions.values():
        _add_files(definition)
    named = (*SECTIONS, "archive", "console")
    properties: dict[str, Any] = {name: references[name] for name in named}
    properties["email"] = {"type": "object", "additionalProperties": references["service"]}
    properties["variables"] = {"type": "object"}
    properties["import"] = {}
    other = {"properties": {"handler": {"not": {"enum": [*HANDLERS]}}}}
    properties["url"] = {"type": "object", "additionalProperties": {"anyOf": [*entries, other]}}
    ignored = {"deprecated": True, "description": "A section of Gramex without effect."}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of EventHub",
        "type": "object",
        "properties": {**dict.fromkeys(sorted(GRAMEX_SECTIONS), ignored), **_wide(properties)},
        "patternProperties": {r"\sif\s": {}},
        "additionalProperties": False,
        "$defs": {name: _wide(definition) for name, definition in definitions.items()},
    }


def _entry(handler: str, definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an entry of `url:` with this handler."""
    known = definitions[_ENDPOINTS[handler].__name__]["properties"]
    kwargs = {
        key: _AS_WRITTEN.get(key, known.get(key, {})) for key in sorted(HANDLERS[handler].keys)
    }
    return {
        "type": "object",
        "properties": {
            "pattern": {"type": "string"},
            "handler": {"const": handler},
            "kwargs": {"type": "object", "properties": kwargs},
        },
        "required": ["pattern", "handler"],
    }


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
