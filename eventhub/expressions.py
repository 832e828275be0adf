"""Expressions: the Python expressions of a configuration as callables, compiled at the start.

An expression is trusted like the file that contains it: there is no sandbox. A name that is neither
an argument, nor bound by the expression, nor built in, is a module. Modules are imported when the
expression is compiled, so a misspelt name stops the hub instead of failing for each message.
"""

import ast
import builtins
import difflib
import importlib
import inspect
import linecache
import symtable
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Self

from eventhub.errors import Misconfigured
from eventhub.masking import without_literals, without_texts

OPEN_NAMES = ("args", "handler", "handler_current_user")
"""The names that `open:` sees."""
MESSAGE_NAMES = ("msg", *OPEN_NAMES)
"""The names that `message_default:`, `prepare:` and `modify:` see."""

_FILENAME = "<expression>"
_SOURCE_LINE = 3
"""Line of the source in the function that is made of it."""
_LENGTH = "__length"
_AWAIT = "__await"


class Placed(str):
    """The source of an expression that knows where it is written."""

    __slots__ = ("place",)
    place: str

    def __new__(cls, source: str, place: str) -> Self:
        """Make a source; `place` is `FILE:LINE` of its key."""
        made = super().__new__(cls, source)
        made.place = place
        return made

    def stripped(self) -> "Placed":
        """Return the source without white space around it, at the line where it begins."""
        text = self.strip()
        file, _, line = self.place.rpartition(":")
        # A block (`|` or `>`) begins below its key; without its line break it is none any more.
        if line.isdecimal() and "\n" in self and "\n" not in text:
            return Placed(text, f"{file}:{int(line) + 1}")
        return Placed(text, self.place)


class Expression:
    """A compiled expression; call it with a value for each of its names."""

    __slots__ = ("may_read_session", "source", "start")

    def __init__(
        self, source: str, function: Callable[..., Any], *, may_read_session: bool = False
    ) -> None:
        self.source = source
        self.may_read_session = may_read_session
        """It reads `handler.session`, or hands the handler to other code."""
        self.start = function
        """Called like the expression; returns its value, or an awaitable if it is a coroutine."""

    async def __call__(self, **values: Any) -> Any:
        """Return the value of the expression; an awaitable is awaited."""
        return await _await_if_needed(self.start(**values))


async def _await_if_needed(result: Any) -> Any:
    return await result if inspect.isawaitable(result) else result


def compile_expression(source: str, names: tuple[str, ...], *, folder: Path | None) -> Expression:
    """Compile a Python expression; line breaks in it are ignored.

    Args:
        source: the expression, which may contain `await`.
        names: the arguments of the expression.
        folder: the folder of modules that are not installed.

    Raises:
        Misconfigured: the source is not an expression, or a module in it cannot be imported.
    """
    wrapped = f"(\n{source}\n)"
    check_syntax(source)
    if folder is not None:
        _make_importable(folder)
    # A function rather than `eval` with locals, so that lambdas and comprehensions see the names.
    body = f"async def expression({', '.join(names)}):\n return await {_AWAIT}({wrapped})"
    if not _has_await(wrapped):
        body = f"def expression({', '.join(names)}):\n return {wrapped}"
    tree = ast.parse(body)
    may_read_session = _may_read_session(tree)
    scope: dict[str, Any] = {
        _LENGTH: _length,
        _AWAIT: _await_if_needed,
        **_modules(tree, _free_names(wrapped) - {*names}, names),
    }
    tree = ast.fix_missing_locations(_LengthAttribute().visit(tree))
    filename = _located(tree, source)
    exec(compile(tree, filename, "exec"), scope)  # noqa: S102 - the code of the operator
    return Expression(source, scope["expression"], may_read_session=may_read_session)


def _located(tree: ast.AST, source: str) -> str:
    """Give a tree the lines that it has in its file, for tracebacks; return the file's name.

    Tracebacks show the lines as the expression has them, without texts that may be secrets.
    """
    file, _, line = source.place.rpartition(":") if isinstance(source, Placed) else ("", "", "")
    if not line.isdecimal():
        return _FILENAME
    # A block (`|` or `>`) begins below its key, and is the only kind of text with line breaks.
    first = int(line) + ("\n" in source)
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt | ast.expr | ast.arg | ast.keyword):
            node.lineno = max(1, node.lineno + first - _SOURCE_LINE)
            node.end_lineno = max(1, (node.end_lineno or 1) + first - _SOURCE_LINE)
    shown = [f"{text}\n" for text in without_literals(source).splitlines()]
    known = linecache.cache.get(file, ())
    lines = [*known[2]] if len(known) == 4 else []
    lines += ["\n"] * (first - 1 + len(shown) - len(lines))
    lines[first - 1 : first - 1 + len(shown)] = shown
    linecache.cache[file] = (len(lines), None, lines, file)  # None: it is never read from the disk
    return file


def _may_read_session(tree: ast.AST) -> bool:
    """Return whether `handler` is used in another way than to read another attribute of it."""
    others = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr != "session"
    }
    names = (node for node in ast.walk(tree) if isinstance(node, ast.Name))
    return any(name.id == "handler" and id(name) not in others for name in names)


def check_syntax(source: str) -> None:
    """Check that a text is an expression, without importing or running anything.

    Raises:
        Misconfigured: it is not.
    """
    wrapped = f"(\n{source}\n)"
    if not source.strip():
        raise Misconfigured("not a Python expression: it is empty")
    try:
        compile(wrapped, _FILENAME, "eval", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    except SyntaxError as error:
        text = f"not a Python expression: {error.msg}: {_excerpt(source)}"
        raise Misconfigured(text) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise Misconfigured(f"not a Python expression: {error}: {_excerpt(source)}") from None


def _has_await(wrapped: str) -> bool:
    """Tell whether an expression contains `await`, and so needs a coroutine."""
    try:
        compile(wrapped, _FILENAME, "eval")
    except SyntaxError:
        return True
    return False


def _excerpt(source: str) -> str:
    text = " ".join(without_texts(source).split())
    return text if len(text) <= 80 else text[:77] + "..."


def _make_importable(folder: Path) -> None:
    """Add a folder to the end of the path, so that its files replace no module of the hub."""
    entry = str(folder.resolve())
    if entry not in sys.path:
        sys.path.append(entry)
    importlib.invalidate_caches()


def _free_names(wrapped: str) -> set[str]:
    """Return the names that an expression does not bind, and that are not built in."""
    free: set[str] = set()
    bound: set[str] = set(dir(builtins))
    for table in _tables(symtable.symtable(wrapped, _FILENAME, "eval")):
        for symbol in table.get_symbols():
            if symbol.is_global() and symbol.is_referenced():
                free.add(symbol.get_name())
            # An assignment expression in a comprehension binds a name outside of it.
            if symbol.is_assigned() and (symbol.is_global() or table.get_type() == "module"):
                bound.add(symbol.get_name())
    return free - bound


def _tables(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield table
    for child in table.get_children():
        yield from _tables(child)


def _modules(tree: ast.AST, roots: set[str], names: tuple[str, ...]) -> dict[str, ModuleType]:
    """Import the modules at the beginning of dotted names in a tree, and their submodules."""
    modules = {root: _import(root, names) for root in sorted(roots)}
    for node in ast.walk(tree):
        dotted = _dotted_name(node)
        if len(dotted) > 1 and dotted[0] in modules:
            _resolve(modules[dotted[0]], dotted)
    return modules


def _dotted_name(node: ast.AST) -> list[str]:
    """Return the parts of `a.b.c`; nothing for any other expression."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.insert(0, node.attr)
        node = node.value
    return [node.id, *parts] if isinstance(node, ast.Name) else []


def _resolve(value: Any, dotted: list[str]) -> None:
    """Follow a dotted name to the first part that is not a module, and report a missing part."""
    for depth, part in enumerate(dotted[1:], start=1):
        if not isinstance(value, ModuleType):
            return
        module = ".".join(dotted[:depth])
        if not hasattr(value, part) and hasattr(value, "__path__"):
            _import_part(f"{module}.{part}")
        if not hasattr(value, part):
            hint = _did_you_mean(part, dir(value))
            raise Misconfigured(f"module {module} has no {part!r}{hint}")
        value = getattr(value, part)


def _import(name: str, names: tuple[str, ...]) -> ModuleType:
    """Import a module; `names` are the arguments that a misspelt name may stand for."""
    try:
        return importlib.import_module(name)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name == name:
            modules = {path.stem for entry in sys.path for path in Path(entry).glob("*.py")}
            listed = f"one of {', '.join(names)}" if len(names) <= 5 else "a variable"
            raise Misconfigured(
                f"name {name!r} is not defined: it is neither {listed}, nor a"
                " module that is installed or in the folder of the file"
                + (_did_you_mean(name, names) or _did_you_mean(name, sorted(modules), cutoff=0.8))
            ) from error
        detail = f"{type(error).__name__}: {error}"
        raise Misconfigured(f"module {name} cannot be imported: {detail}") from error


def _import_part(name: str) -> None:
    """Import a module of a package, if there is one."""
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise Misconfigured(f"module {name} cannot be imported: {error}") from error
    except Exception as error:
        detail = f"{type(error).__name__}: {error}"
        raise Misconfigured(f"module {name} cannot be imported: {detail}") from error


def _did_you_mean(word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=cutoff)
    return f" (did you mean {near[0]!r}?)" if near else ""


class _LengthAttribute(ast.NodeTransformer):
    """Makes `x.length` a call of `_length(x)`."""

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        self.generic_visit(node)
        if node.attr != "length" or not isinstance(node.ctx, ast.Load):
            return node
        return ast.Call(ast.Name(_LENGTH, ast.Load()), [node.value], [])


def _length(value: Any) -> Any:
    """Return the length of text or a collection, as in JavaScript; else the attribute `length`."""
    if isinstance(value, str | list | tuple | dict):
        return len(value)
    return value.length
