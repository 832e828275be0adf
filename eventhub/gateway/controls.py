"""Controls: which arguments that begin with `_` have an effect where. The others are refused."""

import re
from collections.abc import Iterable
from enum import Enum

from eventhub.channel import Endpoint
from eventhub.delivery.start import check_since
from eventhub.errors import Misconfigured, Rejected
from eventhub.filters.arguments import CONTROLS, GRAMEX_CONTROLS
from eventhub.filters.query import parse
from eventhub.filters.restriction import RestrictionError, check_hideable

REPLAYS = ("rows", "log")
MAX_WAIT_SECONDS = 60
"""Proxies between client and hub give up soon after it."""
MAX_SPEED = 1_000_000
_SPEED = re.compile(r"[0-9]{1,7}(\.[0-9]{1,6})?")
_SECONDS = re.compile(r"[0-9]{1,3}(\.[0-9]{1,6})?")
FORMATS = ("json", "ndjson", "csv", "html", "arrow", "parquet")
JSON_FORMATS = ("json", "ndjson")
BIGINTS = ("number", "string")
CSVS = ("plain", "safe")


class Surface(Enum):
    """A way to read, as an error names it."""

    ROWS = "a GET of rows"
    HISTORY = "a GET with _history"
    ROW = "a GET of one row"
    CHANGES = "a GET with _since"
    LIVE = "a WebSocket or an event stream"
    FILE = "a file: its name says the format"
    SCHEMA = "a GET with _schema"
    HISTORY_FILE = "a file of versions: its name says the format"


_SHAPES = frozenset(("_sort", "_limit", "_offset", "_c"))
HONOURED = {
    Surface.ROWS: _SHAPES | {"_replay", "_format", "_bigint", "_csv", "_as_of"},
    Surface.HISTORY: {"_history", "_id", "_c", "_format", "_bigint", "_csv"},
    Surface.SCHEMA: {"_schema"},
    Surface.HISTORY_FILE: {"_history", "_id", "_c", "_bigint", "_csv"},
    Surface.FILE: _SHAPES | {"_replay", "_bigint", "_csv", "_as_of"},
    Surface.ROW: {"_c", "_bigint", "_as_of"},
    Surface.CHANGES: {"_c", "_replay", "_since", "_wait", "_format", "_bigint"},
    Surface.LIVE: _SHAPES
    | {"_replay", "_since", "_format", "_bigint", "_as_of", "_speed"}
    | {"_presence"},
}


def check_honoured(asked: Iterable[str], surface: Surface) -> None:
    """Refuse controls that a reader gave and that have no effect on what it reads.

    Raises:
        Rejected: `bad_filter`, naming the control.
    """
    for name in asked:
        if name in CONTROLS and name not in HONOURED[surface]:
            raise Rejected("bad_filter", f"{name} has no effect on {surface.value}", column=name)


def check_options(asked: Iterable[str], chosen: str) -> None:
    """Refuse options of other formats than the chosen one; errors as `check_honoured`."""
    for name, formats in (("_bigint", JSON_FORMATS), ("_csv", ("csv",))):
        if name in asked and chosen not in formats:
            text = f"{name} has no effect on _format={chosen}"
            raise Rejected("bad_filter", text, column=name)


def check_writer(asked: Iterable[str]) -> None:
    """Refuse controls in the URL of a message, but `_upsert`: they belong in the message.

    Raises:
        Rejected: `bad_control`, naming the control.
    """
    for name in asked:
        if name.startswith("_") and name != "_upsert" and name not in GRAMEX_CONTROLS:
            message = f"{name} has no effect in the URL of a write: put it into the message"
            raise Rejected("bad_control", message, column=name)


def checked_choice(name: str, value: str | None, choices: tuple[str, ...]) -> str:
    """Return a value that must be one of `choices`; the first of them if there is none.

    Raises:
        Rejected: `bad_request`: it is another.
    """
    if value is None:
        return choices[0]
    if value not in choices:
        raise Rejected("bad_request", f"{name} must be one of {', '.join(choices)}", column=name)
    return value


def wait_seconds(value: str | None) -> float:
    """Return the seconds that `_wait` asks for.

    Raises:
        Rejected: `bad_filter`: not a number, or more than `MAX_WAIT_SECONDS`.
    """
    if value is None:
        return 0.0
    if not _SECONDS.fullmatch(value) or float(value) > MAX_WAIT_SECONDS:
        message = f"_wait is a number of seconds, at most {MAX_WAIT_SECONDS}, such as _wait=25"
        raise Rejected("bad_filter", message, column="_wait")
    return float(value)


def speed_of(value: str | None) -> float | None:
    """Return the multiple of the real speed that `_speed` asks for; None without one.

    Raises:
        Rejected: `bad_filter`: not a number, or more than `MAX_SPEED`.
    """
    if value is None:
        return None
    if not _SPEED.fullmatch(value) or float(value) > MAX_SPEED:
        message = f"_speed is a number from 0 to {MAX_SPEED}, such as _speed=10"
        raise Rejected("bad_filter", message, column="_speed")
    return float(value)


CHOICES = {"_replay": REPLAYS, "_format": FORMATS, "_bigint": BIGINTS, "_csv": CSVS}


def check_default(endpoint: Endpoint) -> None:
    """Check the default arguments of an endpoint as if a client had sent them.

    Raises:
        Misconfigured: naming the argument.
    """
    default, columns = endpoint.config.default, endpoint.channel.columns
    rules = endpoint.config.rules
    try:
        parse(default, columns, endpoint.config.unknown)
        if rules is not None:
            check_hideable(default, columns, rules.hideable)
        for name, choices in CHOICES.items():
            for value in default.get(name, ()):
                checked_choice(name, value, choices)
        for value in default.get("_wait", ()):
            wait_seconds(value)
        for value in default.get("_speed", ()):
            speed_of(value)
        for value in default.get("_since", ()):
            check_since(value)
    except (Rejected, RestrictionError) as error:
        raise Misconfigured(f"url: {endpoint.name}: default: {error}") from error
