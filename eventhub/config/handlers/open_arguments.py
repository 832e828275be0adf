"""Open arguments: the arguments that an `open` expression sets literally in `args`.

An argument that is not a column restricts nothing. If its name is a literal, as in
`args.update(recpient=[...])`, the mistake is found before the hub starts; any other is found when
a client connects.
"""

import ast
from collections.abc import Iterator
from typing import Any, Final

from eventhub.columns import Columns
from eventhub.filters.restriction import RestrictionError, check_key, checked_values, restriction_of

_USERS: Final = ("handler.current_user", "handler_current_user")
_UNKNOWN: Final = object()
"""A value that is known only when the expression runs."""
_TEXT: Final = object()
"""A value that is known to be text and not the list that it must be."""


def mistakes(source: str, columns: Columns) -> Iterator[RestrictionError]:
    """Yield an error for each argument that is set literally and can never restrict anything."""
    for key, value in _settings(ast.parse(f"(\n{source}\n)", mode="eval")):
        try:
            if value is _UNKNOWN:
                check_key(key, columns)
            elif value is _TEXT:
                yield RestrictionError(key, "it is text and must be a list; write [ ] around it")
            else:
                restriction_of({key: checked_values(key, value)}, columns)
        except TypeError as error:
            yield RestrictionError(key, str(error))
        except RestrictionError as error:
            yield error


def _settings(tree: ast.AST) -> Iterator[tuple[str, Any]]:
    """Yield the keys of `args` that are literals in calls, with their values."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name, given = _method_of_args(node)
        if name in ("update", "__ior__"):
            yield from _members_of_call(given, node.keywords)
        elif name in ("setdefault", "__setitem__", "setitem"):
            # The list of `setdefault` may be filled later.
            yield from _pair(given, is_final=name != "setdefault")
        elif name == "setattr":
            yield from _members(given[0])


def _method_of_args(call: ast.Call) -> tuple[str, list[ast.expr]]:
    """Return the method of `args` that is called, and its arguments; "" for any other call."""
    match call:
        case ast.Call(func=ast.Attribute(value=owner, attr=name)) if _is_args(owner):
            return name, call.args
        case ast.Call(func=ast.Attribute(attr=name), args=[first, *rest]) if _is_args(first):
            return name, rest  # dict.update(args, ...), operator.setitem(args, ...)
        case ast.Call(func=ast.Name("setattr"), args=[_, ast.Constant("args"), value]):
            return "setattr", [value]
        case _:
            return "", []


def _is_args(node: ast.expr) -> bool:
    match node:
        case ast.Name("args") | ast.Attribute(ast.Name("handler"), "args"):
            return True
        case _:
            return False


def _members_of_call(given: list[ast.expr], named: list[ast.keyword]) -> Iterator[tuple[str, Any]]:
    for each in given:
        yield from _members(each)
    for keyword in named:
        if keyword.arg is None:
            yield from _members(keyword.value)
        else:
            yield keyword.arg, _value(keyword.value)


def _members(node: ast.expr) -> Iterator[tuple[str, Any]]:
    """Yield the members of a mapping, as far as they are literals."""
    match node:
        case ast.Dict(keys=keys, values=values):
            for key, value in zip(keys, values, strict=True):
                yield from _members(value) if key is None else _pair([key, value])
        case ast.Call(func=ast.Name("dict"), args=given, keywords=named):
            yield from _members_of_call(given, named)
        case ast.List(elts=pairs) | ast.Tuple(elts=pairs):
            for pair in pairs:
                yield from _pair(pair.elts if isinstance(pair, ast.Tuple | ast.List) else [])
        case ast.IfExp(body=one, orelse=other) | ast.BinOp(left=one, right=other):
            yield from [*_members(one), *_members(other)]
        case ast.BoolOp(values=choices):
            yield from [member for choice in choices for member in _members(choice)]
        case _:
            pass


def _pair(given: list[ast.expr], *, is_final: bool = True) -> Iterator[tuple[str, Any]]:
    match given:
        case [ast.Constant(str() as key), value, *_]:
            yield str(key), _value(value) if is_final else _UNKNOWN
        case _:
            pass


def _value(node: ast.expr) -> Any:
    match node:
        case ast.JoinedStr() | ast.Call(func=ast.Name("str")):
            return _TEXT
        case (
            ast.Attribute(value=user, attr="id")
            | ast.Subscript(value=user, slice=ast.Constant("id"))
        ) if ast.unparse(user) in _USERS:
            return _TEXT
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return _UNKNOWN
