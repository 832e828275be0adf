"""Messages: what the hub and the process of a SQLHandler say to each other, as lines of JSON."""

from typing import Any, Literal

import msgspec

from eventhub.columns import Column
from eventhub.config import Snapshots
from eventhub.jetstream import TlsFiles
from eventhub.queries import Format

SOCKET = "queries.sock"
ANSWERS = "answers"
"""The folder of answers, next to the socket."""
MAX_LINE = 64 << 20
"""Bytes of one line: a question has at most a message's."""


class Table(msgspec.Struct, frozen=True):
    """A table to keep."""

    name: str
    columns: list[Column]


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """All that the process gets to know, on its standard input, at whose end it ends too."""

    name: str
    """Of the handler."""
    folder: str
    tables: list[Table]
    servers: list[str]
    token: str | None = None
    user: str | None = None
    password: str | None = None
    credentials: str | None = None
    domain: str | None = None
    inbox_prefix: str | None = None
    tls: TlsFiles = TlsFiles()
    seconds: float
    rows: int
    memory_bytes: int
    rest_seconds: float | None = None
    """The tables are followed so long after the last query; None: always."""
    snapshots: Snapshots | None = None
    """From where empty tables, or those that rested long, are taken; None: from the log alone."""
    log_level: str = "info"
    log_format: Literal["auto", "json", "console"] = "auto"


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """A question, with the name of the file for its answer."""

    sql: str
    parameters: dict[str, Any]
    format: Format
    at_least: str
    rows: int
    file: str


class Refusal(msgspec.Struct, frozen=True):
    """Why there is no answer."""

    code: str
    message: str
    column: str | None = None


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What the file holds, or why there is none."""

    refused: Refusal | None = None
    rows: int = 0
    size: int = 0
    columns: list[tuple[str, str]] = []
    position: str = ""
    truncated: bool = False
