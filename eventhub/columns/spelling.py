"""Spelling: how values are sent to clients where that differs from how they are stored.

A DECIMAL, which is stored as text, is sent as a JSON number with all of its digits. `timestamp` is
sent with a `Z` if the endpoint is configured so. Numbers that JavaScript would round are sent as
text to clients that ask for it.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec

EXACT = 2**53
"""Up to here a double, and so a number of JavaScript, is the whole number that was written."""
STAMP_FORM = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?"
"""A `timestamp` of this form is sent with a `Z`; other text, set by an expression, is not."""
_STAMP = re.compile(STAMP_FORM, re.ASCII)
_NUMBER = re.compile(r"-?\d+(\.\d+)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Spelling:
    """How messages and rows of a table are sent. Hashable; false if they are sent as stored."""

    decimals: frozenset[str] = frozenset()
    """The DECIMAL columns."""
    stamp: str = ""
    """The column that is sent with a `Z`; empty for none."""
    wide: frozenset[str] = frozenset()
    """Columns whose numbers beyond `EXACT` are sent as text."""

    def __bool__(self) -> bool:
        return bool(self.decimals or self.stamp or self.wide)

    def spell(self, message: dict[str, Any]) -> dict[str, Any]:
        """Return a frame or a row as it is sent."""
        spelled = message.copy()
        for name in self.decimals & message.keys():
            value = message[name]
            if isinstance(value, str) and _NUMBER.fullmatch(value):
                is_text = name in self.wide and abs(Decimal(value)) > EXACT
                spelled[name] = value if is_text else msgspec.Raw(value.encode())
        for name in self.wide & message.keys():
            value = message[name]
            if type(value) is int and abs(value) > EXACT:
                spelled[name] = str(value)
        value = message.get(self.stamp)
        if isinstance(value, str) and _STAMP.fullmatch(value):
            spelled[self.stamp] = f"{value}Z"
        return spelled

    def spell_record(self, record: dict[str, Any]) -> dict[str, Any]:
        """Return a frame of the history, which holds two rows, as it is sent."""
        rows = {name: self.spell(record[name]) for name in ("row", "was") if record[name]}
        return {**record, **rows}

    def numbers(self, message: dict[str, Any]) -> dict[str, Any]:
        """Return a message for expressions and templates, with each DECIMAL as a `Decimal`."""
        found = {}
        for name in self.decimals & message.keys():
            value = message[name]
            if isinstance(value, str) and _NUMBER.fullmatch(value):
                found[name] = Decimal(value)
        return {**message, **found} if found else message


AS_STORED = Spelling()
