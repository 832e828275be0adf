"""Expressions: the configuration's Python expressions as callables, compiled once at start-up.

An expression is as trusted as the file it stands in: there is no sandbox. Names that it is not
given, does not bind itself and that are not built in are modules, imported when it is compiled,
so that a misspelt name stops the hub at its start and not a client's message later.
"""

import ast
import builtins
import importlib
import inspect
import symtable
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from eventhub.errors import Misconfigured
from eventhub.masking import without_texts

OPEN_NAMES = ("args", "handler", "handler_current_user")
"""What `open:` is given."""
MESSAGE_NAMES = ("msg", *OPEN_NAMES)
"""What `message_default:`, `prepare:` and `modify:` are given."""

_FILENAME = "<expression>"
_LENGTH = "__length"
_SETTLED = "__settled"


class Expression:
    """A compiled expression; call it with a value for each of its names."""

    __slots__ = ("source", "start")

    def __init__(self, source: str, function: Callable[..., Any]) -> None:
        self.source = source
        self.start = function
        """Called like the expression; returns its value, or an awaitable of it if it waits."""

    async def __call__(self, **values: Any) -> Any:
        """Return what the expression evaluates to; an awaitable is awaited."""
        return await _settled(self.start(**values))


async def _settled(result: Any) -> Any:
    return await result if inspect.isawaitable(result) else result


def compile_expression(source: str, names: tuple[str, ...], *, folder: Path | None) -> Expression:
    """Compile a Python expression; line breaks in it mean nothing.

    Args:
        source: the expression. `await` is allowed in it.
        names: what it will be called with.
        folder: where modules are looked for that are not installed.

    Raises:
        Misconfigured: it is no expression, or a module that it names cannot be imported.
    """
    wrapped = f"(\n{source}\n)"
    _check_syntax(source, wrapped)
    if folder is not None:
        _make_importable(folder)
    # A function, not `eval` with locals: lambdas and comprehensions in it see the names too.
    body = f"async def expression({', '.join(names)}):\n return await {_SETTLED}({wrapped})"
    if not _waits(wrapped):
        body = f"def expression({', '.join(names)}):\n return {wrapped}"
    tree = ast.parse(body)
    scope: dict[str, Any] = {
        _LENGTH: _length,
        _SETTLED: _settled,
        **_modules(tree, _free_names(wrapped) - {*names}),
    }
    tree = ast.fix_missing_locations(_LengthAttribute().visit(tree))
    exec(compile(tree, _FILENAME, "exec"), scope)  # noqa: S102 - the operator's own code
    return Expression(source, scope["expression"])


def _check_syntax(source: str, wrapped: str) -> None:
    if not source.strip():
        raise Misconfigured("not a Python expression: it is empty")
    try:
        compile(wrapped, _FILENAME, "eval", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    except SyntaxError as error:
        raise Misconfigured(f"not a Python expression: {error.msg}: {_shown(source)}") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise Misconfigured(f"not a Python expression: {error}: {_shown(source)}") from None


def _waits(wrapped: str) -> bool:
    """Tell whether an expression needs a coroutine: there is an `await` in it."""
    try:
        compile(wrapped, _FILENAME, "eval")
    except SyntaxError:
        return True
    return False


def _shown(source: str) -> str:
    text = " ".join(without_texts(source).split())
    return text if len(text) <= 80 else text[:77] + "..."


def _make_importable(folder: Path) -> None:
    """Last in the path: a file beside the YAML must not replace a module that the hub needs."""
    entry = str(folder.resolve())
    if entry not in sys.path:
        sys.path.append(entry)
    importlib.invalidate_caches()


def _free_names(wrapped: str) -> set[str]:
    """Return the names that an expression neither binds itself nor finds among the built-ins."""
    free: set[str] = set()
    bound: set[str] = set(dir(builtins))
    for table in _tables(symtable.symtable(wrapped, _FILENAME, "eval")):
        for symbol in table.get_symbols():
            if symbol.is_global() and symbol.is_referenced():
                free.add(symbol.get_name())
            # An assignment expression in a comprehension binds outside of it.
            if symbol.is_assigned() and (symbol.is_global() or table.get_type() == "module"):
                bound.add(symbol.get_name())
    return free - bound


def _tables(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield table
    for child in table.get_children():
        yield from _tables(child)


def _modules(tree: ast.AST, roots: set[str]) -> dict[str, ModuleType]:
    """Import the modules that dotted names in a tree begin with, and their submodules."""
    modules = {root: _imported(root) for root in sorted(roots)}
    for node in ast.walk(tree):
        dotted = _dotted(node)
        if len(dotted) > 1 and dotted[0] in modules:
            _resolve(modules[dotted[0]], dotted)
    return modules


def _dotted(node: ast.AST) -> list[str]:
    """Return `a.b.c` as its parts; nothing for what is more than a dotted name."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.insert(0, node.attr)
        node = node.value
    return [node.id, *parts] if isinstance(node, ast.Name) else []


def _resolve(value: Any, dotted: list[str]) -> None:
    """Follow a dotted name to the first part that is no module, so that a typo is told now."""
    for depth, part in enumerate(dotted[1:], start=1):
        if not isinstance(value, ModuleType):
            return
        if not hasattr(value, part) and hasattr(value, "__path__"):
            _imported(".".join(dotted[: depth + 1]))
        if not hasattr(value, part):
            raise Misconfigured(f"module {'.'.join(dotted[:depth])} has no {part!r}")
        value = getattr(value, part)


def _imported(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:
        detail = f"{type(error).__name__}: {error}"
        raise Misconfigured(
            f"name {name!r} is not defined, and cannot be imported as a module: {detail}"
        ) from error


class _LengthAttribute(ast.NodeTransformer):
    """Makes `x.length` a call of `_length(x)`."""

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        self.generic_visit(node)
        if node.attr != "length" or not isinstance(node.ctx, ast.Load):
            return node
        return ast.Call(ast.Name(_LENGTH, ast.Load()), [node.value], [])


def _length(value: Any) -> Any:
    """JavaScript's word: the length of text or a collection; elsewhere a plain attribute."""
    if isinstance(value, str | list | tuple | dict):
        return len(value)
    return value.length
