"""Templates of alerts: Jinja2, with the parts of Tornado's language that Gramex files use.

Templates are as trusted as the configuration, which the operator writes too; the values of a
message are only data in them. A key that a message lacks renders as empty text, and so does None.
Of Tornado's language these work::

    {% import pandas as pd %}  {% import time %}  {% from datetime import date %}
    {% raw value %}            {% autoescape None %} to the end of the template
    {% if x %} ... {% end %}   the same for `for` and `block`
    len(x), str(x), json_encode(x), ...  the functions in `FUNCTIONS`

The name in `import` is a Python module; a template file is a string: `{% import "x.html" as x %}`.
"""

import datetime
import importlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import jinja2
import markupsafe
from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.lexer import Token, TokenStream
from jinja2.parser import Parser

from eventhub.alerts.interpolation import mark
from eventhub.errors import Misconfigured, Rejected

FUNCTIONS: dict[str, Any] = {
    **{f.__name__: f for f in (len, str, int, float, round, sorted, enumerate, zip, range)},
    "datetime": datetime,
    "escape": markupsafe.escape,
    "xhtml_escape": markupsafe.escape,
    "url_escape": quote_plus,
    "json_encode": json.dumps,
}
"""Functions of Tornado templates. A column of the same name hides the function."""

_ENDED_BY_END = frozenset(("if", "for", "block"))


class Missing(jinja2.ChainableUndefined):
    """A value that the message lacks: empty text, with empty attributes and results of methods.

    A function that does not exist, as in `pd.no_such()`, is still an error.
    """

    __slots__ = ()

    def __getattr__(self, name: str) -> "Missing":
        if name.startswith("__"):
            raise AttributeError(name)
        return Missing(obj=None, name=name)

    def __getitem__(self, key: Any) -> "Missing":  # type: ignore[override]  # Jinja's never returns
        return Missing(obj=None, name=str(key))

    def __call__(self, *args: Any, **kwargs: Any) -> "Missing":  # type: ignore[override]  # as above
        """Return the result of a method of a missing value, or of None, as in `None.upper()`."""
        if self._undefined_obj is not None:
            self._fail_with_undefined_error()
        return self


class Tornado(Extension):
    """Tags that mean something else in Jinja: they are renamed, and parsed as our own tags."""

    tags = {"python_import", "python_from", "raw"}  # noqa: RUF012 - the form that Jinja declares

    def filter_stream(self, stream: TokenStream) -> Iterator[Token]:
        """Rename tags whose meaning depends on the next token, and write out each `end`."""
        tokens = list(stream)
        rest = not any(token.test("name:endautoescape") for token in tokens)
        opened: list[str] = []
        for before, token, after in zip([None, *tokens], tokens, [*tokens[1:], None], strict=False):
            if before is None or after is None or token.type != "name":
                yield token
            elif before.type == "block_begin":
                imports = token.value in ("import", "from") and after.type == "name"
                yield _rename(token, "python_" * imports + _closing(token.value, opened))
            elif rest and before.test("name:autoescape"):
                opened.append("autoescape")
                yield _rename(token, "false" if token.value == "None" else "true")
            else:
                yield token
        for tag in reversed([tag for tag in opened if tag == "autoescape"]):
            yield from _tag(f"end{tag}", tokens[-1].lineno)

    def parse(self, parser: Parser) -> nodes.Node | list[nodes.Node]:
        """Return the nodes of one of our own tags."""
        token = next(parser.stream)
        match token.value:
            case "python_import":
                return self._parse_import(parser, token.lineno)
            case "python_from":
                return self._parse_from(parser, token.lineno)
            case _:
                value = nodes.MarkSafe(parser.parse_expression())
                return nodes.Output([value], lineno=token.lineno)

    def _parse_import(self, parser: Parser, line: int) -> list[nodes.Node]:
        found: list[nodes.Node] = []
        while not found or parser.stream.skip_if("comma"):
            module = _dotted(parser)
            _import(parser, module, line)
            bound = module.partition(".")[0]
            if parser.stream.skip_if("name:as"):
                bound = parser.stream.expect("name").value
            else:
                module = bound
            found.append(self._assign(bound, [module], line))
        return found

    def _parse_from(self, parser: Parser, line: int) -> list[nodes.Node]:
        module = _dotted(parser)
        _import(parser, module, line)
        parser.stream.expect("name:import")
        found: list[nodes.Node] = []
        while not found or parser.stream.skip_if("comma"):
            name = parser.stream.expect("name").value
            if not hasattr(sys.modules[module], name):
                parser.fail(f"module {module} has no {name}", line)
            bound = name
            if parser.stream.skip_if("name:as"):
                bound = parser.stream.expect("name").value
            found.append(self._assign(bound, [module, name], line))
        return found

    def _assign(self, bound: str, path: list[str], line: int) -> nodes.Node:
        value = self.call_method("load", [nodes.Const(part) for part in path])
        return nodes.Assign(nodes.Name(bound, "store"), value, lineno=line)

    def load(self, module: str, name: str | None = None) -> Any:
        """Return a module that a template imports, or a name from it."""
        found = sys.modules[module]
        return found if name is None else getattr(found, name)


def _rename(token: Token, value: str) -> Token:
    return Token(token.lineno, token.type, value)


def _tag(name: str, line: int) -> list[Token]:
    kinds = [("block_begin", "{%"), ("name", name), ("block_end", "%}")]
    return [Token(line, kind, value) for kind, value in kinds]


def _closing(tag: str, opened: list[str]) -> str:
    """Update the stack of open tags; return the tag, or what it ends if it is a bare `end`."""
    if tag in _ENDED_BY_END:
        opened.append(tag)
    elif tag == "end" and opened:
        return "end" + opened.pop()
    elif opened and tag == "end" + opened[-1]:
        opened.pop()
    return tag


def _dotted(parser: Parser) -> str:
    parts = [str(parser.stream.expect("name").value)]
    while parser.stream.skip_if("dot"):
        parts.append(str(parser.stream.expect("name").value))
    return ".".join(parts)


def _import(parser: Parser, module: str, line: int) -> None:
    """Import when the template is compiled, so that a missing module stops the start."""
    try:
        importlib.import_module(module)
    except ImportError as error:
        parser.fail(f"cannot import {module}: {error}", line)


class Template:
    """One compiled text of an alert."""

    def __init__(self, compiled: jinja2.Template, source: str, hidden: Iterable[str]) -> None:
        self._compiled = compiled
        self._hidden = {name: Missing(name=name) for name in hidden}
        self.literal = min((source.partition(mark)[0] for mark in ("{{", "{%")), key=len)
        """The text before the first tag, which no message can change."""
        self.is_constant = self.literal == source

    def render(self, values: Mapping[str, Any]) -> str:
        """Return the text for a message.

        Raises:
            Rejected: the template raised an error; a retry makes no difference.
        """
        try:
            return self._compiled.render({**self._hidden, **values})
        except Exception as error:  # anything that the operator's Python raises
            reason = f"{type(error).__name__}: {error}"
            raise Rejected("internal", f"{self._compiled.name}: {reason}") from error


class Templates:
    """Compiles the templates of one channel's alerts."""

    def __init__(self, folder: Path, columns: Iterable[str]) -> None:
        self.folder = folder
        """Of the YAML file: included templates and imported modules are searched in it."""
        if (
            str(folder) not in sys.path
        ):  # last, so that no file in it can replace a module of the hub
            sys.path.append(str(folder))
        self._hidden = [name for name in columns if name in FUNCTIONS]
        self._plain = _environment(folder)
        self._html = _environment(folder, autoescape=True)
        self._marking = _environment(folder, finalize=_mark)

    def compile(
        self, where: str, source: str, *, html: bool = False, marking: bool = False
    ) -> Template:
        """Return a template.

        Args:
            where: names the template in errors, as in `url: chat: alert: subject`.
            source: the text of the template.
            html: whether values are escaped.
            marking: whether values are marked, so that `parse_addresses` can tell them apart.

        Raises:
            Misconfigured: it cannot be compiled; names the line.
        """
        environment = self._html if html else self._marking if marking else self._plain
        try:
            code = environment.compile(source, where, where)
        except jinja2.TemplateSyntaxError as error:
            line = f"line {error.lineno}: {error.message} (Jinja2 template)"
            raise Misconfigured(f"{where}: {line}") from error
        template = jinja2.Template.from_code(environment, code, environment.make_globals(None))
        return Template(template, source, self._hidden)


def _environment(
    folder: Path, *, autoescape: bool = False, finalize: Callable[[Any], Any] | None = None
) -> jinja2.Environment:
    environment = _FixedFiles(
        autoescape=autoescape,  # off for headers and plain text only
        undefined=Missing,
        finalize=finalize or _none_is_empty,
        extensions=[Tornado],
        loader=jinja2.FileSystemLoader(folder),
    )
    environment.globals = dict(FUNCTIONS)
    return environment


class _FixedFiles(jinja2.Environment):
    """An environment whose templates can name other templates only in quotes, not by a value."""

    def compile(  # type: ignore[override]  # Jinja overloads it
        self, source: Any, name: Any = None, filename: Any = None, **options: Any
    ) -> Any:
        """Compile a template of the configuration, or one that another includes."""
        parsed = self.parse(source, name, filename) if isinstance(source, str) else source
        for node in parsed.find_all((nodes.Include, nodes.Extends, nodes.Import, nodes.FromImport)):
            _check_is_constant(dict(node.iter_fields())["template"], node.lineno)
        return super().compile(parsed, name, filename, **options)


def _check_is_constant(named: nodes.Expr, line: int) -> None:
    listed = named.items if isinstance(named, nodes.List | nodes.Tuple) else [named]
    if not all(isinstance(each, nodes.Const) for each in listed):
        raise jinja2.TemplateSyntaxError("write the name of the template file in quotes", line)


def _mark(value: Any) -> str:
    return mark(_none_is_empty(value))


def _none_is_empty(value: Any) -> Any:
    return "" if value is None else value
