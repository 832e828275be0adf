"""Outdated: what a process with older columns must not store, because newer ones would lose it."""

from typing import Any

from eventhub.columns import Columns
from eventhub.errors import Unavailable
from eventhub.methods import Method


def check_held(message: dict[str, Any], method: Method, newer: Columns) -> None:
    """Check that newer columns can hold a message which was converted by older ones.

    Values of columns that the newer configuration does not have are kept in the event.

    Raises:
        Unavailable: they cannot; a process with the newer configuration decides on it.
    """
    for name, value in message.items():
        if name not in newer or value is None:
            continue
        try:
            newer[name].lift(value)
        except (ValueError, TypeError, OverflowError):
            raise _refusal(f"{name} has another type") from None
    if method == "POST":
        for column in newer:
            if not column.nullable and column.default is None and message.get(column.name) is None:
                raise _refusal(f"{column.name} must be given")


def _refusal(what: str) -> Unavailable:
    text = f"in a newer configuration of this table {what}: send it again, to reach a newer process"
    return Unavailable(text)
