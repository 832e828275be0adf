"""Reading: a mapping of the file as a frozen struct, a value as the type of a field."""

import re
from dataclasses import replace
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from eventhub.config.tree import MAPPING, Findings, Node, joined

IN_FILES = frozenset(
    ("password", "secret", "token", "credentials", "public_key", "secret_access_key")
)
"""Keys whose value may be in a separate file: `password_file:` instead of `password:`."""

PERIOD = re.compile(r"[1-9][0-9]{0,4}[smhd]", re.ASCII)
"""A length of time: a number and `s`, `m`, `h` or `d`."""
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

_MEANINGS = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
_BOUNDS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}


class Struct(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of everything that a file may contain: an unknown key is an error."""


def read_struct(
    cls: type[msgspec.Struct], node: Node, path: str, findings: Findings, **given: Any
) -> Any:
    """Return a mapping as a struct, or None if it has problems.

    Args:
        cls: the struct; a field that is a struct itself is read in the same way.
        node: the mapping.
        path: the dotted keys that lead to it.
        findings: where problems are reported.
        given: values of fields that are not keys of the mapping.
    """
    fields = {f.encode_name: f for f in msgspec.structs.fields(cls) if f.name not in given}
    before = len(findings.problems)
    values = dict(given)
    for key, member in _with_files(node, path, findings).items():
        where = joined(path, key)
        if key in fields:
            values[fields[key].name] = read_value(fields[key].type, member, where, findings)
        else:
            findings.unknown(member, path, key, fields)
    for key, known in fields.items():
        if known.required and known.name not in values:
            findings.missing(node, path, key)
    return cls(**values) if len(findings.problems) == before else None


def read_value(
    type_: Any, node: Node, path: str, findings: Findings, expected: str | None = None
) -> Any:
    """Return a value as the type of a field, or None if it does not fit.

    Text is converted where the field is a number or a truth value: variables are always text.

    Args:
        type_: the type of the field.
        node: the value.
        path: the dotted keys that lead to it.
        findings: where problems are reported.
        expected: what an error says was expected; by default it is told from the type.
    """
    if not check_number(node, path, findings):
        return None
    struct = _struct_in(type_)
    if struct is not None and node.value is not None:
        return read_struct(struct, node, path, findings)
    try:
        return msgspec.convert(node.plain, type_, strict=False)
    except msgspec.ValidationError:
        findings.unexpected(node, path, expected or _meaning(type_), _words(type_))


def check_number(node: Node, path: str, findings: Findings) -> bool:
    """Report a number that YAML 1.1 does not read in tens, as `010` or `12:30`."""
    is_number = isinstance(node.value, int | float) and not isinstance(node.value, bool)
    if is_number and "_" not in node.word and node.word:
        text = f"YAML reads {node.word} as {node.value}"
        findings.problem(node, path, f"{text}; write a number without a colon and leading zeros")
        return False
    return True


def seconds_of(period: str) -> int:
    """Return a `PERIOD` in seconds."""
    return int(period[:-1]) * _SECONDS[period[-1]]


def _struct_in(type_: Any) -> type[msgspec.Struct] | None:
    """Return the struct of `Struct` or `Struct | None`."""
    choices = get_args(type_) if isinstance(type_, UnionType) else (type_,)
    structs = [t for t in choices if isinstance(t, type) and issubclass(t, msgspec.Struct)]
    return structs[0] if structs else None


def _meaning(type_: Any) -> str:
    """Return what a field expects, in the words of an error message."""
    arguments = get_args(type_)
    match get_origin(type_):
        case origin if origin is Annotated:
            return f"{_meaning(arguments[0])} {_bounds(arguments[1])}"
        case origin if origin is Literal:
            values = ", ".join(map(str, arguments))
            return f"one of {values}" if len(arguments) > 1 else values
        case origin if origin in (Union, UnionType):
            return " or ".join(_meaning(each) for each in arguments if each is not NoneType)
        case origin if origin is list:
            return f"a list of {_meaning(arguments[0]).removeprefix('one of ')}"
        case origin if origin is dict:
            return f"a mapping of names to {_meaning(arguments[1])}"
        case _:
            return _MEANINGS.get(type_, MAPPING)


def _words(type_: Any) -> list[str]:
    """Return the words that a field allows; nothing if it allows any text."""
    arguments = get_args(type_)
    if get_origin(type_) is Literal:
        return [word for word in arguments if isinstance(word, str)]
    return [word for argument in arguments for word in _words(argument)]


def _bounds(meta: msgspec.Meta) -> str:
    if meta.ge is not None and meta.le is not None:
        return f"from {meta.ge} to {meta.le}"
    bounds = {word: getattr(meta, name) for name, word in _BOUNDS.items()}
    return "of " + " and ".join(
        f"{word} {bound}" for word, bound in bounds.items() if bound is not None
    )


def _with_files(node: Node, path: str, findings: Findings) -> dict[str, Node]:
    """Return the members, with `password_file: FILE` replaced by the password in the file."""
    members = {}
    for key, member in findings.mapping(node, path).items():
        name = key.removesuffix("_file")
        if name == key or name not in IN_FILES:
            members[key] = member
        elif name in node.items:
            findings.problem(member, path, f"give either {name} or {key}, not both")
        else:
            members[name] = _content(member, joined(path, key), findings)
    return members


def _content(node: Node, path: str, findings: Findings) -> Node:
    """Return the text of the file that a value names, without the line break at its end."""
    try:
        text = findings.text_of(node.folder / str(node.value))
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        findings.problem(node, path, f"cannot read the file: {reason}")
        return replace(node, value="")
    secret = text.rstrip("\r\n")
    findings.masks.add_secret(secret)
    return replace(node, value=secret)
