"""`handler: MessageHandler`: an endpoint that accepts and delivers the messages of a table."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import msgspec

from eventhub.columns import Column, Columns
from eventhub.config.access import check_rule
from eventhub.config.handlers import alert, audit, columns, guarding, quota, retention, rules
from eventhub.config.handlers.alert import Alert
from eventhub.config.handlers.entry import Entry, UrlSection, headers, text
from eventhub.config.handlers.guarding import expression
from eventhub.config.handlers.open_arguments import mistakes
from eventhub.config.handlers.quota import Quota
from eventhub.config.handlers.retention import Retention
from eventhub.config.handlers.rules import Rules
from eventhub.config.reading import Struct, read_value
from eventhub.config.tree import Findings, Node, joined
from eventhub.errors import EventHubError
from eventhub.expressions import OPEN_NAMES
from eventhub.filters.arguments import Unknown
from eventhub.methods import METHODS, SEND

TimestampWord = Literal["client", "hub", "z"]
ImportWord = Literal["stop", "skip"]

_SQLITE = re.compile(r"sqlite(\+\w+)?:///(?=[^/:?])")
"""The beginning of an SQLite URL with a relative path, which starts at the YAML file's folder."""


class MessageEndpoint(Struct, frozen=True, tag_field="handler", tag="MessageHandler"):
    """An entry with `handler: MessageHandler`."""

    name: str
    pattern: str
    """The path of its URL; repeated slashes are one."""
    table: str
    columns: tuple[Column, ...] = ()
    mirror: str | None = None
    """SQLAlchemy URL of a database that gets a copy of the table, in addition to DuckDB."""
    import_: ImportWord = msgspec.field(name="import", default="stop")
    """What the first start does with rows of the mirror's table that do not fit."""
    open: str | None = None
    message_default: Mapping[str, Mapping[str, Any]] = {}
    """Method to key to value; text is an expression, any other value is used literally."""
    prepare: str | None = None
    modify: str | None = None
    alert: Alert | None = None
    auth: bool | dict[str, Any] | None = None
    rules: Rules | None = None
    send: bool = False
    """It takes messages that are not stored."""
    presence: bool = False
    """Clients may ask who is connected."""
    quota: Quota | None = None
    """What one user may write to the table in a day."""
    log: Retention | None = None
    """How long its history stays in the stream; forever by default."""
    origins: list[str] = []
    headers: dict[str, str] = {}
    default: Mapping[str, list[str]] = {}
    """Arguments of the URL that apply where the client gives none."""
    unknown: Unknown | None = None
    timestamps: list[TimestampWord] = msgspec.field(default_factory=lambda: ["client"])
    """`hub`: `timestamp` is always the hub's time. `z`: it is sent with a `Z`."""
    kwargs: Mapping[str, Any] = {}
    """As in the file, for expressions that read `handler.kwargs`."""

    @property
    def is_audit(self) -> bool:
        """Its table is written by the hub alone."""
        return self.table == audit.TABLE


def read(entry: Entry) -> MessageEndpoint:
    """Return the endpoint; its problems are in the findings."""
    url_path = entry.url_path(may_be_folder=False)
    path = entry.kwargs_path
    given = entry.members(KEYS)
    _check_not_blank(entry)
    values = entry.read(given, _READERS)
    if "table" not in values:
        values["table"] = re.sub(r"[^A-Za-z0-9_]", "_", entry.name).lstrip("_")
        # A table is shared only on purpose: a/b and a_b do not become one by accident.
        entry.section.claim(
            "default table", values["table"].lower(), entry.name, entry.kwargs, path
        )
    if values["table"] == audit.TABLE:
        values |= audit.check(entry, given, values.get("auth"))
    if "alert" in given:
        where, services = joined(path, "alert"), entry.section.services
        values["alert"] = alert.read(given["alert"], where, entry.findings, services)
    if "url" in given:
        values["mirror"] = _database(given["url"], joined(path, "url"), entry.section)
    if "import" in given:
        where = joined(path, "import")
        values["import_"] = read_value(ImportWord, given["import"], where, entry.findings)
    kwargs = entry.kwargs.plain or {}
    if not entry.findings.is_sound(joined(path, "columns")):
        # These name columns: with some columns left out, they would be reported without cause.
        values = {key: value for key, value in values.items() if key not in _NAME_COLUMNS}
    endpoint = MessageEndpoint(name=entry.name, pattern=url_path, kwargs=kwargs, **values)
    _check_open_later(entry, endpoint, given)
    _check_send(entry, endpoint, given)
    _check_defaults(entry, endpoint, given)
    return endpoint


def _check_defaults(entry: Entry, endpoint: MessageEndpoint, given: dict[str, Node]) -> None:
    """Report a literal of `message_default:` that no column takes, unless `prepare` changes it."""
    columns = {} if endpoint.prepare else {column.name: column for column in endpoint.columns}
    defaults = given["message_default"].items if "message_default" in given else {}
    for method, section in defaults.items():
        for key, node in section.items.items():
            if key not in columns or isinstance(node.value, str):
                continue
            try:
                columns[key].convert(node.plain)
            except EventHubError as error:
                path = f"{entry.kwargs_path}.message_default.{method}.{key}"
                entry.findings.problem(node, path, error.message.removeprefix(f"{key}: "))


def _check_send(entry: Entry, endpoint: MessageEndpoint, given: dict[str, Node]) -> None:
    """Warn of what is about messages that are not stored, if the endpoint takes none."""
    text = "it has no effect without `send: true`"
    path = entry.kwargs_path
    if not endpoint.send and endpoint.rules is not None and endpoint.rules.send is not None:
        entry.findings.warn(given["rules"].items["send"], joined(path, "rules.send"), text)
    if not endpoint.send and SEND in endpoint.message_default:
        where = joined(path, f"message_default.{SEND}")
        entry.findings.warn(given["message_default"], where, text)


def _check_not_blank(entry: Entry) -> None:
    """Report a key that guards the endpoint and is present but blank."""
    for key, member in entry.kwargs.items.items():
        path = joined(entry.kwargs_path, key)
        if key == "auth":
            check_rule(member, path, entry.findings)
        elif key == "rules" and member.value is None:
            entry.findings.problem(member, path, rules.BLANK)
        elif key == "quota" and member.value is None:
            entry.findings.problem(member, path, quota.BLANK)
        elif key in ("open", "prepare") and member.value is None:
            entry.findings.problem(
                member, path, f"{key} is blank; write an expression, or remove it"
            )


# --- What an `open` restricts --------------------------------------------------------------------


def _check_open_later(entry: Entry, endpoint: MessageEndpoint, given: dict[str, Node]) -> None:
    """Check `open` once the columns of all entries with the same table are known."""
    of_table = entry.section.columns.setdefault(endpoint.table, {})
    of_table.update({column.name: column for column in endpoint.columns})
    if endpoint.open or endpoint.auth or endpoint.rules:
        entry.section.restricted[endpoint.table] = endpoint.name
    if endpoint.open:
        path = joined(entry.kwargs_path, "open")
        check = partial(_check_open, endpoint.open, of_table, given["open"], path, entry.findings)
        entry.section.checks.append(check)


def _check_open(
    source: str, of_table: Mapping[str, Column], node: Node, path: str, findings: Findings
) -> None:
    """Report arguments that `open` sets literally and that cannot restrict anything.

    If no endpoint declares columns for the table, this is a warning: the file may be a part of
    another one. Connections are refused nevertheless.
    """
    report = findings.problem if of_table else findings.warn
    for mistake in mistakes(source, Columns(of_table.values())):
        report(node, path, f"args[{mistake.key!r}] would restrict nothing: {mistake}")


# --- One key each --------------------------------------------------------------------------------


def _table(node: Node, path: str, findings: Findings) -> str:
    table = str(node.plain)
    is_own = table.startswith("_") and table != audit.TABLE
    if not isinstance(node.value, str) or not table or is_own:
        findings.problem(node, path, "the name of a table must be text that does not begin with _")
    return table


def _database(node: Node, path: str, section: UrlSection) -> str | None:
    """Record the file that a `duckdb:` URL names for the projection; return any other URL."""
    url = node.value
    if not isinstance(url, str) or "://" not in url:
        text = f"{node.plain!r} is not the URL of a database, such as sqlite:///FILE"
        section.findings.problem(node, path, text)
        return None
    if not url.startswith("duckdb:"):
        return _SQLITE.sub(lambda match: f"{match[0]}{node.folder.absolute()}/", url)
    file = url.removeprefix("duckdb:///")
    if file in (url, "", ":memory:"):
        section.findings.problem(node, path, "the projection is a file: write duckdb:///FILE")
    section.projections.append((node, path, node.folder / file))
    return None


def _open(node: Node, path: str, findings: Findings) -> str:
    return expression(node, path, findings, OPEN_NAMES)


_SECTIONS = (*METHODS, SEND)
"""Of `message_default:`."""


def _message_default(node: Node, path: str, findings: Findings) -> dict[str, dict[str, Any]]:
    defaults: dict[str, dict[str, Any]] = {}
    for name, section in findings.mapping(node, path).items():
        method = name.upper()
        if method not in _SECTIONS or method in defaults:
            findings.unknown(section, path, name, _SECTIONS)
            continue
        where = joined(path, name)
        defaults[method] = {
            key: _default_value(key, value, joined(where, key), findings)
            for key, value in findings.mapping(section, where).items()
        }
    return defaults


_QUOTES = "; text needs quotes of its own inside those of YAML, as \"'text'\""


def _default_value(key: str, node: Node, path: str, findings: Findings) -> Any:
    findings.ambiguous(node, path)
    if key.startswith("_"):
        findings.problem(node, path, f"{key} is a control, which cannot have a default")
    if not isinstance(node.value, str):
        return node.plain
    return expression(node, path, findings, hint=_QUOTES)


def _default(node: Node, path: str, findings: Findings) -> dict[str, list[str]]:
    default = {}
    for key, member in findings.mapping(node, path).items():
        values = member.value if isinstance(member.value, list) else [member]
        default[key] = [text(value, joined(path, key), findings) for value in values]
    return default


def _flag(node: Node, path: str, findings: Findings) -> bool:
    value: bool = read_value(bool, node, path, findings)
    return value


def _unknown(node: Node, path: str, findings: Findings) -> Unknown | None:
    unknown: Unknown | None = read_value(Unknown, node, path, findings)
    return unknown


def _timestamps(node: Node, path: str, findings: Findings) -> list[str]:
    one = replace(node, value=[node]) if isinstance(node.value, str) else node
    words: list[str] = read_value(list[TimestampWord], one, path, findings)
    return words


_READERS: dict[str, Callable[[Node, str, Findings], Any]] = {
    "table": _table,
    "columns": columns.read,
    "open": _open,
    "message_default": _message_default,
    "prepare": expression,
    "modify": expression,
    "auth": guarding.auth,
    "rules": rules.read,
    "quota": quota.read,
    "log": retention.read,
    "origins": guarding.origins,
    "send": _flag,
    "presence": _flag,
    "headers": headers,
    "default": _default,
    "unknown": _unknown,
    "timestamps": _timestamps,
}
"""The reader of each key of `kwargs:`, except `url` and `alert`, which need other sections too."""
KEYS = frozenset((*_READERS, "url", "import", "alert"))
"""The keys of `kwargs:`."""
_NAME_COLUMNS = frozenset(("open", "default", "alert", "rules"))
