"""`handler: SQLHandler`: an endpoint that answers SQL about the tables of other endpoints."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, Literal

import msgspec

from eventhub.config.access import check_rule
from eventhub.config.handlers import audit, guarding
from eventhub.config.handlers.entry import Entry, headers
from eventhub.config.reading import Struct, read_struct, read_value
from eventhub.config.tree import Findings, Node, joined

_SIZE = re.compile(r"(?P<number>[1-9][0-9]{0,5}) ?(?P<unit>MiB|GiB)")
_UNITS = {"MiB": 1 << 20, "GiB": 1 << 30}
LEAST_MEMORY = 256 << 20
"""With less, DuckDB cannot sort or group even small tables."""


class SqlLimits(Struct, frozen=True):
    """`limits:` of a SQLHandler: what its queries may cost."""

    seconds: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 30.0
    """Of one query, with its wait for writes; a second later its process is killed."""
    rows: Annotated[int, msgspec.Meta(ge=1, le=10**9)] = 1_000_000
    """Of one answer; it is cut there, and says so."""
    memory: str = "1GiB"
    """Of all queries together."""
    concurrent: Annotated[int, msgspec.Meta(ge=1, le=6)] = 4
    """Queries that run at once; others wait for their turn."""

    @property
    def memory_bytes(self) -> int:
        """The limit of memory in bytes."""
        return _bytes_of(self.memory)


class SqlEndpoint(Struct, frozen=True, tag_field="handler", tag="SQLHandler"):
    """An entry with `handler: SQLHandler`."""

    name: str
    pattern: str
    tables: list[str] | Literal["all"] = "all"
    """The tables that queries see, with their histories; `all` leaves out the audit trail."""
    auth: bool | dict[str, Any] | None = None
    origins: list[str] = []
    headers: dict[str, str] = {}
    limits: SqlLimits = SqlLimits()
    kwargs: Mapping[str, Any] = {}
    """As in the file, for conditions that read `handler.kwargs`."""

    def sees(self, known: Iterable[str]) -> list[str]:
        """Return the tables that queries see, of those that the hub has."""
        if self.tables == "all":
            return [name for name in known if name != audit.TABLE]
        return list(self.tables)


def read(entry: Entry) -> SqlEndpoint:
    """Return the endpoint; its problems are in the findings."""
    path, findings = entry.kwargs_path, entry.findings
    if "auth" in entry.kwargs.items:
        check_rule(entry.kwargs.items["auth"], joined(path, "auth"), findings)
    given = entry.members(_READERS)
    values = entry.read(given, _READERS)
    endpoint = SqlEndpoint(
        name=entry.name,
        pattern=entry.url_path(may_be_folder=False),
        kwargs=entry.kwargs.plain or {},
        **values,
    )
    node = given.get("tables", entry.kwargs)
    entry.section.checks += [
        partial(_check_tables, endpoint.tables, entry, node, joined(path, "tables")),
        partial(_check_open, endpoint, entry),
    ]
    return endpoint


def _check_tables(tables: list[str] | str, entry: Entry, node: Node, path: str) -> None:
    """Report tables that no MessageHandler has, once all entries were read."""
    known = ", ".join(entry.section.columns)
    others = entry.section.columns.keys() - {audit.TABLE}
    if not known or (tables == "all" and not others):
        entry.findings.problem(node, path, "no MessageHandler has a table that could be queried")
    elif tables != "all":
        for name in tables:
            if name not in entry.section.columns:
                text = f"no MessageHandler has a table {name!r}; there are {known}"
                entry.findings.problem(node, path, text)


def _check_open(endpoint: SqlEndpoint, entry: Entry) -> None:
    """Report a handler that shows everybody what another entry restricts."""
    if endpoint.auth:
        return
    seen = endpoint.sees(entry.section.columns)
    if audit.TABLE in seen:
        text = f"auth is missing: everybody could query {audit.TABLE}"
        entry.findings.problem(entry.kwargs, entry.kwargs_path, text)
    for table, other in entry.section.restricted.items():
        if table in seen and table != audit.TABLE:
            text = (
                f"everybody can query {table}, which {other!r} restricts; give this entry an auth"
            )
            entry.findings.warn(entry.kwargs, entry.path, text)


def _tables(node: Node, path: str, findings: Findings) -> list[str] | str:
    if node.value == "all":
        return "all"
    one = replace(node, value=[node]) if isinstance(node.value, str) else node
    tables: list[str] = read_value(list[str], one, path, findings) or []
    if not tables:
        findings.problem(node, path, "name the tables, or write all")
    return list(dict.fromkeys(tables))


def _limits(node: Node, path: str, findings: Findings) -> SqlLimits | None:
    limits: SqlLimits | None = read_struct(SqlLimits, node, path, findings)
    memory = node.items.get("memory")
    if memory and isinstance(memory.value, str) and _bytes_of(memory.value) < LEAST_MEMORY:
        text = f"expected at least 256MiB, such as 512MiB or 2GiB, not {memory.value!r}"
        findings.problem(memory, joined(path, "memory"), text)
    return limits


def _bytes_of(text: str) -> int:
    found = _SIZE.fullmatch(text)
    return int(found["number"]) * _UNITS[found["unit"]] if found else 0


_READERS: dict[str, Callable[[Node, str, Findings], Any]] = {
    "tables": _tables,
    "auth": guarding.auth,
    "origins": guarding.origins,
    "headers": headers,
    "limits": _limits,
}
"""The reader of each key of `kwargs:`."""
KEYS = frozenset(_READERS)
"""The keys of `kwargs:`."""
