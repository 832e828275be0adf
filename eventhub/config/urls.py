"""The `url:` section of a configuration: its entries as endpoints.

An entry of Gramex that EventHub does not serve costs a warning; a mistake in one that it does
serve costs the start.
"""

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from eventhub.columns import BUILT_IN, Column, Columns, Digits, Kind, digits_of, kind_of
from eventhub.config.access import check_rule, is_blank
from eventhub.config.opening import mistakes
from eventhub.config.settings import (
    Alert,
    FileEndpoint,
    MessageEndpoint,
    TimestampWord,
    read_struct,
    read_value,
)
from eventhub.config.tree import Findings, Node, joined
from eventhub.errors import EventHubError, Misconfigured
from eventhub.expressions import MESSAGE_NAMES, OPEN_NAMES, compile_expression
from eventhub.filters.arguments import Unknown
from eventhub.masking import without_credentials

_METHODS = ("POST", "PUT", "DELETE")
_ENTRY_KEYS = ("pattern", "handler", "kwargs")
_MESSAGE_KEYS = [
    "url",
    "table",
    "columns",
    "open",
    "message_default",
    "prepare",
    "modify",
    "alert",
    "auth",
    "origins",
    "headers",
    "default",
    "unknown",
    "timestamps",
]
_FILE_KEYS = ("path", "default_filename")
_AUTH_KEYS = ("membership", "condition")
_COLUMN_KEYS = ("type", "nullable", "default")

# What Gramex 1.94 knows beside these: skipped with a warning, so that its files work as they are.
_GRAMEX_ENTRY = frozenset(["cache", "log", "priority", "redirect", "service"])
_GRAMEX_KWARGS = frozenset(
    [
        "allow",
        "cache",
        "cors",
        "error",
        "function",
        "handler",
        "ignore",
        "index",
        "log",
        "methods",
        "ratelimit",
        "redirect",
        "session",
        "set_xsrf",
        "template",
        "transform",
        "xsrf_cookies",
    ]
)
_GRAMEX_ALERT = frozenset(["data", "each", "notify", "schedule", "user"])
_GRAMEX_AUTH = frozenset(["action", "login_url", "query", "template"])
_GRAMEX_COLUMN = frozenset(["autoincrement", "primary_key", "unique"])

_REGULAR_EXPRESSION = re.compile(r"[][()*+?\\^$|{}]")
_FOLDER = re.compile(r"(?:\(\.[*+]\)|\.[*+])\$?$")


class UrlSection:
    """Reads `url:`; afterwards holds the endpoints, and where `duckdb:` URLs put the projection."""

    def __init__(self, findings: Findings, *, services: Collection[str]) -> None:
        self._findings = findings
        self._services = services
        """Names under `email:`, which alerts may use."""
        self.endpoints: list[MessageEndpoint] = []
        self.files: list[FileEndpoint] = []
        self.projections: list[tuple[Node, str, Path]] = []
        """Each with the key that names it."""
        self._opens: list[tuple[MessageEndpoint, Node, str]] = []
        self._owners: dict[tuple[str, str], str] = {}

    def read(self, section: Node) -> None:
        """Read all entries."""
        for name, node in self._findings.mapping(section, "url").items():
            self._entry(name, node, joined("url", name))
        self._check_open()

    def _check_open(self) -> None:
        """Tell what an `open` plainly sets that is no column: it would restrict nothing.

        An endpoint without columns of its own is a snippet, whose table is to come; its
        connections are refused all the same.
        """
        columns: dict[str, dict[str, Column]] = {}
        for endpoint in self.endpoints:
            of_table = columns.setdefault(endpoint.table, {})
            of_table.update({column.name: column for column in endpoint.columns})
        for endpoint, node, path in self._opens:
            of_table = columns[endpoint.table]
            tell = self._findings.problem if of_table else self._findings.warn
            for mistake in mistakes(endpoint.open or "", Columns(of_table.values())):
                text = f"args[{mistake.key!r}] would restrict nothing: {mistake}"
                tell(node, path, text)

    def _entry(self, name: str, node: Node, path: str) -> None:
        named = self._findings.mapping(node, path).get("handler")
        if named is None:
            self._findings.problem(node, path, "handler is missing")
            return
        handler = str(named.plain).removeprefix("gramex.handlers.")
        if handler not in ("MessageHandler", "FileHandler"):
            self._findings.warn(named, path, f"handler {handler} is not served")
            return
        entry = self._known(node, path, _ENTRY_KEYS, _GRAMEX_ENTRY)
        if "pattern" not in entry:
            self._findings.problem(node, path, "pattern is missing")
            return
        kwargs = entry.get("kwargs", replace(node, value=None))
        read = self._message_endpoint if handler == "MessageHandler" else self._file_endpoint
        read(name, entry["pattern"], kwargs, path)

    def _known(
        self, node: Node, path: str, keys: Iterable[str], gramex: frozenset[str]
    ) -> dict[str, Node]:
        """Return the members with a known key that have a value."""
        known = {}
        for key, member in self._findings.mapping(node, path).items():
            if key in keys:
                known[key] = member
            elif key in gramex:
                self._findings.warn(member, path, f"{key} has no effect here")
            else:
                self._findings.unknown(member, path, key, keys)
        return {key: member for key, member in known.items() if member.value is not None}

    def _claim(self, what: str, value: str, name: str, node: Node, path: str) -> None:
        """Refuse what another entry has already."""
        owner = self._owners.setdefault((what, value), name)
        if owner != name:
            self._findings.problem(node, path, f"{what} {value} is that of {owner!r} too")

    def _pattern(self, name: str, node: Node, path: str, *, may_be_folder: bool) -> str:
        path = joined(path, "pattern")
        pattern = re.sub("/+", "/", str(node.value))
        if may_be_folder:
            pattern = _FOLDER.sub("", pattern)
        if not pattern.startswith("/"):
            self._findings.problem(node, path, f"{pattern!r} does not begin with /")
        elif _REGULAR_EXPRESSION.search(pattern):
            self._findings.problem(node, path, f"{pattern!r}: regular expressions are not served")
        self._claim("pattern", pattern, name, node, path)
        return pattern

    # --- FileHandler

    def _file_endpoint(self, name: str, pattern: Node, node: Node, path: str) -> None:
        kwargs_path = joined(path, "kwargs")
        kwargs = self._known(node, kwargs_path, (*_FILE_KEYS, "auth", "headers"), _GRAMEX_KWARGS)
        if "auth" in node.items:
            check_rule(node.items["auth"], joined(kwargs_path, "auth"), self._findings)
        if "auth" in kwargs and kwargs["auth"].value is not False:
            # Served without it, it would be open to all.
            self._findings.warn(kwargs["auth"], path, "files behind auth are not served")
            return
        if "path" not in kwargs:
            self._findings.problem(node, kwargs_path, "path is missing")
            return
        values = {
            key: read_value(str, kwargs[key], joined(kwargs_path, key), self._findings)
            for key in _FILE_KEYS
            if key in kwargs
        }
        values["path"] = node.folder / (values["path"] or "")
        if "headers" in kwargs:
            values["headers"] = self._headers(kwargs["headers"], joined(kwargs_path, "headers"))
        url = self._pattern(name, pattern, path, may_be_folder=True)
        self.files.append(FileEndpoint(name=name, pattern=url, **values))

    # --- MessageHandler

    def _message_endpoint(self, name: str, pattern: Node, node: Node, path: str) -> None:
        before = len(self._findings.problems)
        url = self._pattern(name, pattern, path, may_be_folder=False)
        path = joined(path, "kwargs")
        given = self._known(node, path, _MESSAGE_KEYS, _GRAMEX_KWARGS)
        self._check_not_blank(node, path)
        readers: dict[str, Callable[[Node, str], Any]] = {
            "table": self._table,
            "columns": self._columns,
            "message_default": self._message_default,
            "open": self._open,
            "prepare": self._hook,
            "modify": self._hook,
            "alert": self._alert,
            "auth": self._auth,
            "origins": self._origins,
            "headers": self._headers,
            "default": self._default,
            "unknown": self._unknown,
            "timestamps": self._timestamps,
        }
        values = {
            key: read(given[key], joined(path, key))
            for key, read in readers.items()
            if key in given
        }
        if "table" not in values:
            values["table"] = re.sub(r"[^A-Za-z0-9_]", "_", name).lstrip("_")
            # Whoever means to share a table says so; a/b and a_b are not one by accident.
            self._claim("default table", values["table"].lower(), name, node, path)
        if "url" in given:
            values["mirror"] = self._database(given["url"], joined(path, "url"))
        endpoint = MessageEndpoint(name=name, pattern=url, kwargs=node.plain or {}, **values)
        self.endpoints.append(endpoint)
        if endpoint.open and len(self._findings.problems) == before:
            self._opens.append((endpoint, given["open"], joined(path, "open")))

    def _table(self, node: Node, path: str) -> str:
        table = str(node.plain)
        if not isinstance(node.value, str) or not table or table.startswith("_"):
            self._findings.problem(node, path, "a table's name is text that does not begin with _")
        return table

    def _database(self, node: Node, path: str) -> str | None:
        """Note where a `duckdb:` URL puts the projection; return any other as the mirror's."""
        url = node.value
        if not isinstance(url, str) or "://" not in url:
            self._findings.problem(node, path, f"{node.plain!r} is not the URL of a database")
            return None
        if not url.startswith("duckdb:"):
            self._findings.warn(
                node,
                path,
                "the table is kept in the DuckDB projection; the mirror to"
                f" {without_credentials(url)} is not made yet",
            )
            return url
        file = url.removeprefix("duckdb:///")
        if file in (url, "", ":memory:"):
            self._findings.problem(node, path, "use duckdb:///FILE: the projection is a file")
        self.projections.append((node, path, node.folder / file))
        return None

    def _hook(self, node: Node, path: str, names: tuple[str, ...] = MESSAGE_NAMES) -> str:
        source = node.value
        if not isinstance(source, str):
            self._findings.problem(node, path, f"{node.plain!r} is not a Python expression")
            return ""
        try:
            compile_expression(source, names, folder=node.folder)
        except Misconfigured as error:
            self._findings.problem(node, path, error.message)
        return source

    def _open(self, node: Node, path: str) -> str:
        return self._hook(node, path, OPEN_NAMES)

    def _message_default(self, node: Node, path: str) -> dict[str, dict[str, Any]]:
        defaults: dict[str, dict[str, Any]] = {}
        for name, section in self._findings.mapping(node, path).items():
            method = name.upper()
            if method not in _METHODS or method in defaults:
                self._findings.unknown(section, path, name, _METHODS)
                continue
            where = joined(path, name)
            defaults[method] = {
                key: self._default_value(key, value, joined(where, key))
                for key, value in self._findings.mapping(section, where).items()
            }
        return defaults

    def _default_value(self, key: str, node: Node, path: str) -> Any:
        if key.startswith("_"):
            self._findings.problem(node, path, "keys that begin with _ are controls")
        return self._hook(node, path) if isinstance(node.value, str) else node.plain

    def _alert(self, node: Node, path: str) -> Alert | None:
        members = {}
        for key, member in self._findings.mapping(node, path).items():
            if key in _GRAMEX_ALERT:
                self._findings.warn(member, path, f"{key} has no effect here")
            elif key == "methods":
                members[key] = _methods(member)
            elif member.value is not None:
                members[key] = member
        alert: Alert | None = read_struct(Alert, replace(node, value=members), path, self._findings)
        if not self._services:
            self._findings.warn(
                node, path, "there is no service under email: its mails are only shown in the log"
            )
        elif alert and alert.service is not None and alert.service not in self._services:
            known = ", ".join(self._services)
            self._findings.problem(node, path, f"email has no service {alert.service!r}: {known}")
        return alert

    def _check_not_blank(self, node: Node, path: str) -> None:
        """Tell of what guards the endpoint, is there, and says nothing."""
        for key, member in node.items.items():
            if key == "auth":
                check_rule(member, joined(path, key), self._findings)
            elif key in ("open", "prepare") and member.value is None:
                text = "it is blank, which checks nothing: write an expression, or leave it out"
                self._findings.problem(member, joined(path, key), text)

    def _auth(self, node: Node, path: str) -> bool | dict[str, Any]:
        if isinstance(node.value, dict):
            known = self._known(node, path, _AUTH_KEYS, _GRAMEX_AUTH)
            if "condition" in known and not is_blank(known["condition"]):
                where = joined(path, "condition")
                self._hook(
                    known["condition"].items.get("function", known["condition"]), where, OPEN_NAMES
                )
            return {key: member.plain for key, member in known.items()}
        value: bool = read_value(bool, node, path, self._findings)
        return value

    def _origins(self, node: Node, path: str) -> list[str]:
        if isinstance(node.value, str):
            return [node.value]
        origins: list[str] = read_value(list[str], node, path, self._findings)
        return origins

    def _headers(self, node: Node, path: str) -> dict[str, str]:
        members = self._findings.mapping(node, path)
        return {key: self._text(member, joined(path, key)) for key, member in members.items()}

    def _default(self, node: Node, path: str) -> dict[str, list[str]]:
        default = {}
        for key, member in self._findings.mapping(node, path).items():
            values = member.value if isinstance(member.value, list) else [member]
            default[key] = [self._text(value, joined(path, key)) for value in values]
        return default

    def _unknown(self, node: Node, path: str) -> Unknown | None:
        unknown: Unknown | None = read_value(Unknown, node, path, self._findings)
        return unknown

    def _timestamps(self, node: Node, path: str) -> list[str]:
        one = replace(node, value=[node]) if isinstance(node.value, str) else node
        words: list[str] = read_value(list[TimestampWord], one, path, self._findings)
        return words

    def _text(self, node: Node, path: str) -> str:
        match node.value:
            case None:
                return ""
            case bool():
                return str(node.value).lower()
            case str() | int() | float():
                return str(node.value)
            case _:
                self._findings.problem(node, path, f"expected text, not {node.plain!r}")
                return ""

    # --- Columns

    def _columns(self, node: Node, path: str) -> tuple[Column, ...]:
        columns = []
        names = {name: name for name in BUILT_IN}
        for name, member in self._findings.mapping(node, path).items():
            column = self._column(name, member, joined(path, name))
            if name in BUILT_IN:
                if column is not None and column.kind is not Kind.TEXT:
                    self._findings.problem(member, path, f"{name} is always text")
                continue
            other = names.setdefault(name.lower(), name)
            if not name or name.startswith("_"):
                self._findings.problem(member, path, f"{name!r} cannot be the name of a column")
            elif other != name:
                self._findings.problem(member, path, f"{name!r} is {other!r} to a database")
            elif column is not None:
                columns.append(column)
        return tuple(columns)

    def _column(self, name: str, node: Node, path: str) -> Column | None:
        if not isinstance(node.value, dict):
            node = replace(node, value={"type": node})
        says = self._known(node, path, _COLUMN_KEYS, _GRAMEX_COLUMN)
        kind, digits = self._kind(says["type"], path) if "type" in says else (Kind.TEXT, None)
        if kind is None:
            return None
        nullable = "nullable" not in says or read_value(
            bool, says["nullable"], joined(path, "nullable"), self._findings
        )
        column = Column(name, kind, nullable=bool(nullable), digits=digits)
        if "default" not in says:
            return column
        try:
            return replace(column, default=column.convert(says["default"].plain))
        except EventHubError as error:
            self._findings.problem(says["default"], joined(path, "default"), error.message)
            return None

    def _kind(self, node: Node, path: str) -> tuple[Kind | None, Digits | None]:
        try:
            return kind_of(str(node.plain)), digits_of(str(node.plain))
        except Misconfigured as error:
            self._findings.problem(node, path, error.message)
            return None, None


def _methods(node: Node) -> Node:
    """Take `POST, PUT` for a list of two, in any case."""
    if isinstance(node.value, str):
        names = [name for name in re.split(r"[,\s]+", node.value) if name]
        return replace(node, value=[replace(node, value=name.upper()) for name in names])
    if isinstance(node.value, list):
        return replace(node, value=[replace(n, value=str(n.plain).upper()) for n in node.value])
    return node
