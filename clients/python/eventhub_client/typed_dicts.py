"""Typed dicts: Python types of the rows and messages of an endpoint, from its JSON Schema."""

from collections.abc import Iterator, Mapping
from keyword import iskeyword
from typing import Any

Schema = Mapping[str, Any]
_METHODS = {"Post": "a POST", "Put": "a PUT", "Send": "a SEND"}
_PRIMITIVES = {
    "string": "str",
    "integer": "int",
    "number": "float",
    "boolean": "bool",
    "null": "None",
    "object": "dict[str, Any]",
}
_HEAD = '''"""Types of {url}, by `python -m eventhub_client types`.

Make them again after a change of the columns.
"""

from typing import Any, Literal, NotRequired, TypedDict
'''


def module_of(schema: Schema, url: str) -> str:
    """Return the text of a module with a TypedDict for each definition of a schema.

    Args:
        schema: what a hub answers to `GET URL?_schema`.
        url: of the endpoint.

    Raises:
        ValueError: it is no such schema.
    """
    definitions = schema.get("$defs")
    if not isinstance(definitions, Mapping) or "Row" not in definitions:
        raise ValueError(f"{url} is not an endpoint of a hub")
    parts = [_typed_dict(name, each) for name, each in definitions.items() if name.isidentifier()]
    return "\n\n".join([_HEAD.format(url=_text(url)), *parts])


def _typed_dict(name: str, schema: Schema) -> str:
    required = schema.get("required", ())
    what = f"A message of {_METHODS[name]}" if name in _METHODS else "A row"
    note = f'"""{what} of {_text(schema.get("title", "this endpoint"))}."""'
    fields = {
        key: type_of(each) if key in required else f"NotRequired[{type_of(each)}]"
        for key, each in schema.get("properties", {}).items()
    }
    if all(map(_is_plain, fields)):
        lines = [f"class {name}(TypedDict):", f"    {note}", ""]
        lines += [f"    {key}: {kind}" for key, kind in fields.items()]
    else:  # a class has no such names
        lines = [f"{name} = TypedDict(", f"    {name!r},", "    {"]
        lines += [f"        {key!r}: {kind}," for key, kind in fields.items()]
        lines += ["    },", ")", note]
    return "\n".join(lines) + "\n"


def _is_plain(key: str) -> bool:
    """Tell whether a class may have an attribute with this very name."""
    # Python composes other identifiers, and mangles those that begin with `__`.
    return key.isascii() and key.isidentifier() and not iskeyword(key) and key[:2] != "__"


def type_of(schema: Schema) -> str:
    """Return the Python type of the values that a JSON Schema admits."""
    return " | ".join(dict.fromkeys(_types(schema))) or "Any"


def _types(schema: Schema) -> Iterator[str]:
    if "const" in schema or "enum" in schema:
        values = schema.get("enum", [schema.get("const")])
        if all(isinstance(value, str | int | bool | None) for value in values):
            yield f"Literal[{', '.join(map(repr, values))}]"
        else:
            yield "Any"
        return
    if some := schema.get("anyOf") or schema.get("oneOf"):
        for each in some:
            yield type_of(each)
        return
    kinds = schema.get("type", [])
    for kind in [kinds] if isinstance(kinds, str) else kinds:
        if kind == "array":
            yield f"list[{type_of(schema.get('items', {}))}]"
        else:
            yield _PRIMITIVES.get(kind, "Any")


def _text(given: object) -> str:
    """Return a text that does not end the docstring that it is in."""
    text = str(given).replace("\\", "/").replace('"', "'")
    return "".join(each if each.isprintable() else " " for each in text)
